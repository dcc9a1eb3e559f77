"""The data of a run between components: a table of text, and the meaning of its cells.

Cells stay text until they are encoded: whether "63" and "63.0" came from one file or two then makes no difference.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.contracts.signature import category_of

MISSING_TEXTS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")
"""What counts as missing in a CSV, besides nothing at all."""


def write_table(table: pd.DataFrame, path: str) -> None:
    """Keeps a table of text for the next component."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path, index=False)


def read_table(path: str, columns: list[str] | None = None) -> pd.DataFrame:
    """The table that :func:`write_table` kept."""
    return pd.read_parquet(path, columns=columns)


def numbers(column: Any) -> NDArray[np.float64]:
    """The cells as float64: NaN where missing or no number (see :func:`unreadable`); infinities stay."""
    return np.array(pd.to_numeric(column, errors="coerce"), dtype=np.float64)


def unreadable(column: Any) -> NDArray[np.bool_]:
    """Where a cell holds text that is no finite number."""
    values = numbers(column)
    return np.asarray(column.notna(), dtype=bool) & ~np.isfinite(values)


def category_texts(column: Any) -> NDArray[np.object_]:
    """The cells as ``category_of`` has them, None where missing."""
    codes, uniques = pd.factorize(column)
    texts = np.array([*(category_of(value) for value in uniques), None], dtype=object)
    return np.asarray(texts[codes], dtype=object)
