"""Entity rows as Feast wants them: typed, where everything here is text."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast import ValueType

from perennial_components.failure import RunError, nearest
from perennial_components.feast.repository import FIELD
from perennial_components.table import unix_seconds

TIMESTAMP = "event_timestamp"
ROW = "perennial_row"
"""The column by which an answer's rows are known again."""
_WHERE = f"{FIELD}.entities"
_WHOLE = {ValueType.INT32, ValueType.INT64}
_NUMBERS = {ValueType.FLOAT, ValueType.DOUBLE}
_TEXTS = {ValueType.STRING, ValueType.UUID, ValueType.TIME_UUID, ValueType.UNKNOWN}
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def times(rows: Any) -> Any:
    """The column event_timestamp of the Arrow table ``rows``, which is text: a pandas Series in UTC, of nanoseconds.

    Raises RunError (DataRejected) where there is none, or it holds what is no time.
    """
    if TIMESTAMP not in rows.column_names:
        raise RunError(
            "DataRejected",
            f"{_WHERE}: the rows have no column {TIMESTAMP!r}{nearest(TIMESTAMP, rows.column_names)}, the time as of "
            f"which features are looked up: name the column so\ncolumns are: {', '.join(rows.column_names)}",
        )
    seconds = unix_seconds(rows[TIMESTAMP].to_pandas())
    if wrong := int(np.isnan(seconds).sum()):
        raise RunError(
            "DataRejected",
            f"{_WHERE}: column {TIMESTAMP!r} is missing or no time (ISO 8601 or Unix seconds) in {wrong} of "
            f"{rows.num_rows} rows",
        )
    found = pd.Series(pd.to_datetime(np.round(seconds * 1e6).astype(np.int64), unit="us", utc=True))
    return found.dt.as_unit("ns")


def frame(rows: Any, at: Any, keys: dict[str, Any]) -> tuple[pd.DataFrame, Any]:
    """The different ones among ``rows``, by ``keys`` (column: Feast value type) and the times ``at``, and for each row
    which of them it is (Int64, missing where a key is: it is nobody's).

    A column ``perennial_row`` counts them. Raises RunError (DataRejected) for a column that is not there or holds what
    is no such value.
    """
    if absent := [name for name in keys if name not in rows.column_names]:
        lines = "\n".join(
            f"{_WHERE}: the rows have no column {name!r}{nearest(name, rows.column_names)}, which the features are "
            "looked up by"
            for name in absent
        )
        raise RunError("DataRejected", f"{lines}\ncolumns are: {', '.join(rows.column_names)}")
    typed = pd.DataFrame({name: typed_column(rows[name], name, kind) for name, kind in keys.items()})
    typed[TIMESTAMP] = at.to_numpy(dtype="datetime64[ns]")
    there = typed.notna().all(axis=1)
    groups = typed[there].groupby(list(typed.columns), sort=False)
    which = pd.Series(pd.NA, index=typed.index, dtype="Int64")
    which[there] = groups.ngroup()
    distinct = typed[there].drop_duplicates(ignore_index=True)
    for name, kind in keys.items():
        distinct[name] = _plain(distinct[name], kind)
    distinct[TIMESTAMP] = distinct[TIMESTAMP].dt.tz_localize("UTC")
    distinct[ROW] = np.arange(len(distinct))
    return distinct, which


def typed_column(texts: Any, name: str, kind: Any) -> Any:
    """A column of text (Arrow) as values of the Feast type ``kind``, missing ones as NA."""
    try:
        if kind in _TEXTS:
            return texts.to_pandas().astype(object)
        if kind in _WHOLE:
            plain = pc.replace_substring_regex(texts, r"^([-+]?\d+)\.0+$", r"\1")
            return pd.array(plain.cast(pa.int64()).to_pylist(), dtype="Int64")
        if kind in _NUMBERS:
            return pd.array(texts.cast(pa.float64()).to_pylist(), dtype="Float64")
    except pa.ArrowInvalid:
        raise _not(name, kind) from None
    if kind == ValueType.BOOL:
        found = [None if each is None else _TRUTH.get(each.lower(), each) for each in texts.to_pylist()]
        if any(isinstance(each, str) for each in found):
            raise _not(name, kind)
        return pd.array(found, dtype="boolean")
    if kind == ValueType.UNIX_TIMESTAMP:
        seconds, missing = unix_seconds(texts.to_pandas()), texts.is_null().to_numpy()
        if (np.isnan(seconds) & ~missing).any():
            raise _not(name, kind)
        return pd.to_datetime(seconds, unit="s")
    raise RunError("DataRejected", f"{_WHERE}: column {name!r} is to be {kind.name}, which no text stands for")


def _plain(column: Any, kind: Any) -> Any:
    """Without missing values, as NumPy has them: what stores know."""
    if kind in _WHOLE:
        return column.astype("int64")
    if kind in _NUMBERS:
        return column.astype("float64")
    return column.astype("bool") if kind == ValueType.BOOL else column


def _not(name: str, kind: Any) -> RunError:
    return RunError(
        "DataRejected",
        f"{_WHERE}: column {name!r} holds text that is no {kind.name}, which its entity has for it in the registry",
    )
