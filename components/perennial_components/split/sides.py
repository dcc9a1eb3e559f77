"""Which rows are held out, and which belong together, by the columns as they were read."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.contracts.request import ByTime, RunRequest
from perennial_components.failure import RunError
from perennial_components.split.hashing import held_out, row_hashes
from perennial_components.storage import Sides
from perennial_components.table import unix_seconds

Places = NDArray[np.int64]


def sides(request: RunRequest, table: pd.DataFrame, places: Places | None = None) -> Sides:
    """The side of every row of ``table``, which is as ingest read it: what is prepared moves no row. ``places`` are
    those of the rows that the preparation leaves, where it has left some out: the others are not asked.

    Raises RunError (DataRejected) where ``split.byTime`` finds a row without a time, or all rows on one side, and where
    ``split.group`` finds one without a group.
    """
    split = request.split
    if split.by_time:
        return _by_time(split.by_time, _at(table[split.by_time.column], places))
    key = split.key or ((split.group,) if split.group else ())
    held = held_out(table, test=split.test, seed=split.seed, key=key)
    held = held if places is None else held[places]
    return Sides(held, _groups(split.group, _at(table[split.group], places)) if split.group else None)


def _at(column: Any, places: Places | None) -> Any:
    return column if places is None else column.iloc[places]


def _groups(name: str, column: Any) -> Places:
    if without := int(column.isna().sum()):
        raise RunError(
            "DataRejected",
            f"split.group: column {name!r} is missing in {without} of {len(column)} rows, and nothing says where they"
            " belong: a filter in data.prepare with missing: Drop leaves them out",
        )
    return _numbered(row_hashes(column.to_frame()))


def _by_time(split: ByTime, column: Any) -> Sides:
    seconds = unix_seconds(column)
    if untimed := int(np.isnan(seconds).sum()):
        example = column[np.isnan(seconds)].iloc[0]
        raise RunError(
            "DataRejected",
            f"split.byTime: column {split.column!r} holds no time in {untimed} of {len(column)} rows, for example"
            f" {example}: it takes ISO 8601 dates or Unix seconds",
        )
    start = unix_seconds(pd.Series([split.start], dtype="str"))[0]
    if np.isnan(start):
        raise RunError("DataRejected", f"split.byTime.from: {split.start} is no time")
    held = seconds >= start
    if held.all() or not held.any():
        where = "all" if held.all() else "none"
        raise RunError(
            "DataRejected", f"split.byTime.from: {where} of the {len(held)} rows are of {split.start} or later"
        )
    return Sides(held, _numbered(seconds))


def _numbered(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """Equal values have one number, in the values' order."""
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)
