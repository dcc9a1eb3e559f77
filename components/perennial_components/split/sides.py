"""Which rows are held out, and which belong together, by the columns as they were read."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.contracts.request import ByTime, RunRequest
from perennial_components.failure import RunError
from perennial_components.split.hashing import held_out, row_hashes
from perennial_components.storage import Sides
from perennial_components.table import unix_seconds


def sides(request: RunRequest, table: pd.DataFrame) -> Sides:
    """The side of every row of ``table``, which is as ingest read it: what is prepared later moves no row.

    Raises RunError (DataRejected) where ``split.byTime`` finds a row without a time, or all rows on one side.
    """
    split = request.split
    if split.by_time:
        return _by_time(split.by_time, table)
    key = split.key or ((split.group,) if split.group else ())
    held = held_out(table, test=split.test, seed=split.seed, key=key)
    groups = _numbered(row_hashes(table[[split.group]])) if split.group else None
    return Sides(held, groups)


def _by_time(split: ByTime, table: pd.DataFrame) -> Sides:
    column = table[split.column]
    seconds = unix_seconds(column)
    if untimed := int(np.isnan(seconds).sum()):
        example = column[np.isnan(seconds)].iloc[0]
        raise RunError(
            "DataRejected",
            f"split.byTime: column {split.column!r} holds no time in {untimed} of {len(column)} rows, for example"
            f" {example}: it takes ISO 8601 dates or Unix seconds",
        )
    held = seconds >= unix_seconds(pd.Series([split.start], dtype="str"))[0]
    if held.all() or not held.any():
        where = "all" if held.all() else "none"
        raise RunError(
            "DataRejected", f"split.byTime.from: {where} of the {len(held)} rows are of {split.start} or later"
        )
    return Sides(held, _numbered(seconds))


def _numbered(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """Equal values have one number, in the values' order."""
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)
