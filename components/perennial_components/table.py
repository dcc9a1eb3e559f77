"""The data of a run between components: a table of text, and the meaning of its cells.

Cells stay text until they are encoded: whether "63" and "63.0" came from one file or two then makes no difference.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from perennial.contracts.signature import category_of

MISSING_TEXTS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")
"""What counts as missing, whatever the data is read from, besides nothing at all."""
_YEAR_1, _YEAR_10000 = -62135596800, 253402300800


def write_table(table: pd.DataFrame, path: str) -> None:
    """Keeps a table of text for the next component."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path, index=False)


def read_table(path: str, columns: list[str] | None = None) -> pd.DataFrame:
    """The table that :func:`write_table` kept, or some columns of it."""
    # Without the read-ahead a large table takes a quarter less memory.
    return pq.read_table(path, columns=columns, pre_buffer=False).to_pandas()


def numbers(column: Any) -> NDArray[np.float64]:
    """The cells as float64: NaN where missing or no number (see :func:`unreadable`); infinities stay."""
    texts = pa.array(column, from_pandas=True)
    try:
        # The same numbers in an eighth of the time and memory, where there is no other text among them.
        return np.array(texts.cast(pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowException:
        return np.array(pd.to_numeric(column, errors="coerce"), dtype=np.float64)


def unreadable(column: Any) -> NDArray[np.bool_]:
    """Where a cell holds text that is no finite number."""
    values = numbers(column)
    return np.asarray(column.notna(), dtype=bool) & ~np.isfinite(values)


def unix_seconds(column: Any) -> NDArray[np.float64]:
    """The cells as Unix seconds: a number is such, all else is read as ISO 8601, in UTC where it names no zone.

    NaN where a cell is missing, is neither, or lies outside of the years 1 to 9999 (as milliseconds do).
    """
    # The parser takes "now" and "today", which a run that is repeated would read otherwise.
    dates = column.where(column.str.match(r"\d", na=False))
    microseconds = pd.to_datetime(dates, format="ISO8601", utc=True, errors="coerce").to_numpy("datetime64[us]")
    given = numbers(column)
    found = np.where(np.isnan(given), microseconds.astype(np.float64) / 1e6, given)
    return np.where((found >= _YEAR_1) & (found < _YEAR_10000), found, np.nan)


def category_texts(column: Any) -> NDArray[np.object_]:
    """The cells as ``category_of`` has them, None where missing."""
    codes, uniques = pd.factorize(column)
    texts = np.array([*(category_of(value) for value in uniques), None], dtype=object)
    return np.asarray(texts[codes], dtype=object)
