"""The version of a run's data: what it holds, whatever it was read from."""

import hashlib
import json
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_BATCH = 1 << 16
_HEADER = "perennial-table-1"


class Version(NamedTuple):
    """``sha256`` (hex) of a table and ``order`` [N], which puts its rows into the order that they are trained in."""

    sha256: str
    order: NDArray[np.int64]


def version_of(table: Any) -> Version:
    """The version of an Arrow table of text (large_string, null where a cell is missing).

    Equal for the same rows and columns in any order; another one when any cell, name or number of equal rows differs.
    A whole number is the same with and without ``.0``, for a column that has a gap somewhere is often written so.

    Each row has a SHA-256 of its own, over the lengths of its cells (-1 is missing) and their UTF-8, columns by name:
    lengths first, so that two rows whose cells join to one text differ. The version is the SHA-256 over the columns'
    names and these digests, sorted. So two tables of one version, or two different rows that stand in an arbitrary
    order, would be a collision of SHA-256; for want of any shorter hash nothing else needs to be argued.
    Takes 32 bytes a row and a batch of rows besides the table.
    """
    names = sorted(table.column_names)
    rows = np.empty((table.num_rows, 32), dtype=np.uint8)
    place = 0
    for batch in table.select(names).to_batches(max_chunksize=_BATCH):
        found = _row_digests([_comparable(column) for column in batch.columns])
        rows[place : place + batch.num_rows] = np.frombuffer(found, dtype=np.uint8).reshape(-1, 32)
        place += batch.num_rows
    words = rows.view(">u8")
    order = np.lexsort((words[:, 3], words[:, 2], words[:, 1], words[:, 0]))
    total = hashlib.sha256(json.dumps([_HEADER, names, table.num_rows]).encode())
    for start in range(0, len(order), _BATCH):
        total.update(rows[order[start : start + _BATCH]].tobytes())
    return Version(total.hexdigest(), order)


def _comparable(column: Any) -> Any:
    if not pc.any(pc.ends_with(column, ".0")).as_py():
        return column
    return pc.replace_substring_regex(column, r"^(-?\d+)\.0$", r"\1")


def _row_digests(columns: list[Any]) -> bytes:
    """The SHA-256 of each row, one after the other."""
    lengths = np.column_stack([pc.fill_null(pc.binary_length(column), -1).to_numpy() for column in columns])
    heads, width = lengths.astype("<i8").tobytes(), 8 * len(columns)
    joined = pc.binary_join_element_wise(
        *columns, pa.scalar("", pa.large_string()), null_handling="replace", null_replacement=""
    )
    _, offsets, data = joined.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[joined.offset : joined.offset + len(joined) + 1].tolist()
    body = memoryview(data) if data is not None else memoryview(b"")
    found, start = [], ends[0]
    for row, end in enumerate(ends[1:]):
        digest = hashlib.sha256(heads[row * width : row * width + width])
        digest.update(body[start:end])
        found.append(digest.digest())
        start = end
    return b"".join(found)
