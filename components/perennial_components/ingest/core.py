"""Takes in the rows of a run; nothing that follows depends on where they stood, or in which order."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from perennial.contracts.prepare import Rename
from perennial.contracts.request import SQL_URL, RunRequest
from perennial.contracts.result import FeastSeen
from perennial_components.failure import RunError, nearest
from perennial_components.ingest import features, files, sql
from perennial_components.ingest.digest import version_of
from perennial_components.ingest.kinds import type_of
from perennial_components.records import Ingested


def ingest(request: RunRequest, credentials: Mapping[str, str]) -> tuple[pd.DataFrame, Ingested]:
    """All rows of the request's source as text, missing cells as NA, and what was read.

    Rows stand in the order of their digests and columns in that of their names: the same data makes the same table.
    Every column is kept: the side of a row may depend on all of them. ``credentials`` are the store's, and the URL of
    the database.

    Raises RunError: SourceInvalid when nothing is there, DataUnavailable when the store or database cannot be reached,
    DataRejected when
    what is there is no table, has no rows, or lacks a column that the request names.
    """
    _give_memory_back()
    seen: FeastSeen | None = None
    if request.feast:
        (read, seen), count = features.read(credentials), 0
        where = features.named(request.feast)
    elif request.sql:
        read, count = sql.read(request.sql, credentials.get(SQL_URL, "")), 0
        where = sql.named(request.sql)
    else:
        found = files.names(request.source, credentials)
        read, count = files.read(found, request.format, credentials), len(found)
        where = f"{request.source} ({'1 file' if count == 1 else f'{count} files'})"
    table = _together(read)
    if not table.num_rows:
        raise RunError("DataRejected", f"there are no rows in {where}")
    _require_columns(request, tuple(table.column_names))
    version = version_of(table)
    columns = {name: table[name] for name in sorted(table.column_names)}
    del table
    ordered = _in_order(columns, pa.array(version.order))
    told = Ingested(
        sha256=version.sha256,
        rows=ordered.num_rows,
        files=count,
        columns=tuple(ordered.column_names),
        types=tuple(map(type_of, ordered.columns)),
        feast=seen,
    )
    return ordered.to_pandas(), told


def _give_memory_back() -> None:
    """Arrow's usual allocator keeps what was freed between pieces still in use: a third of a large table."""
    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())


def _together(parts: Iterable[Any]) -> Any:
    """One table; a part without some column lacks its values."""
    return pa.concat_tables(list(parts), promote_options="default")


def _in_order(columns: dict[str, Any], order: Any) -> Any:
    """The table with its rows in ``order``. Takes the columns out of ``columns`` one by one, so that no more than one
    stands in memory twice.
    """
    ordered = {}
    for name in list(columns):
        ordered[name] = columns.pop(name).combine_chunks().take(order)
    return pa.table(ordered)


def _require_columns(request: RunRequest, columns: tuple[str, ...]) -> None:
    """Columns are wanted by the names that they have when they are used: those of the split before the preparation, all
    others after it.
    """
    prepared = set(columns)
    for step in request.prepare:
        if isinstance(step, Rename):
            prepared = (prepared - {step.source}) | {step.to}
    split = request.split
    as_read = (*split.key, *filter(None, (split.group,)), *((split.by_time.column,) if split.by_time else ()))
    later = (
        request.target.column,
        *request.numeric,
        *request.categorical,
        *(each.column for each in request.datetime),
        *(each.column for each in request.text),
        *request.slices,
        *(check.column for check in request.checks),
        *((request.time,) if request.time else ()),
    )
    absent = dict.fromkeys(name for name in later if name not in prepared)
    absent |= dict.fromkeys(name for name in as_read if name not in columns)
    if absent:
        named = {request.time: ", which data.time names,"}
        known = sorted(prepared.union(columns).difference(absent))
        lines = "\n".join(
            f"column {name!r}{named.get(name, '')} is not in the data{nearest(name, known)}" for name in absent
        )
        raise RunError("DataRejected", f"{lines}\ncolumns are: {', '.join(columns)}")
