"""Entity rows with the features that were known of them at their time."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore
from feast.errors import FeastError

from perennial.contracts.request import SQL_URL, FeastSource
from perennial.contracts.result import FeastSeen
from perennial_components.failure import RunError, last_lines
from perennial_components.feast.entities import ROW, frame, times
from perennial_components.feast.repository import FIELD, Lookup, asked_for, opened
from perennial_components.ingest import files, sql

_AGAIN = (
    "OperationalError",
    "ConnectionError",
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "FlightUnavailableError",
)
"""What clients raise of a store that does not answer: another attempt may find it."""


def history(source: FeastSource, environ: Mapping[str, str]) -> tuple[Any, FeastSeen]:
    """The entity rows of ``source`` (an Arrow table: their cells as text, as they were read) with a column for each
    feature, as it was known at the row's event_timestamp; and what was read.

    No feature is known to a row that lacks a key of its view. ``environ`` has the configuration of the repository and
    the credentials of the store and the database. Raises RunError as ``ingest`` does.
    """
    with opened(source, environ) as store:
        asked = asked_for(store, source)
        rows = entity_rows(source, environ)
        at = times(rows)
        columns = {name: rows[name] for name in rows.column_names}
        for lookup in asked.lookups:
            for name, values in _looked_up(store, lookup, rows, at).items():
                column = f"{lookup.name}__{name}" if source.full_names else name
                _require_new(column, columns, rows)
                columns[column] = values
    seen = FeastSeen(project=store.project, features=asked.features, views=asked.views, service=source.service)
    return pa.table(columns), seen


def entity_rows(source: FeastSource, environ: Mapping[str, str]) -> Any:
    """The entity rows as an Arrow table of cleaned text. Raises RunError as ``ingest`` does."""
    if source.sql:
        read, where = sql.read(source.sql, environ.get(SQL_URL, "")), sql.named(source.sql)
    else:
        read = files.read(files.names(source.rows, environ), source.format, environ)
        where = source.rows
    table = pa.concat_tables(list(read), promote_options="default")
    if not table.num_rows:
        raise RunError("DataRejected", f"{FIELD}.entities: there are no rows in {where}")
    return table


def _looked_up(store: FeatureStore, lookup: Lookup, rows: Any, at: Any) -> dict[str, Any]:
    """The features of one lookup for all ``rows``, Arrow by the feature's name."""
    asked, which = frame(rows, at, lookup.keys)
    if asked.empty:
        raise RunError(
            "DataRejected",
            f"{FIELD}.entities: no row has all of {', '.join(lookup.keys)}, which features are looked up by",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            answer = store.get_historical_features(asked.rename(columns=lookup.names), list(lookup.features)).to_arrow()
        except Exception as error:  # noqa: BLE001 - what each kind of offline store raises is its own
            raise _refused(lookup, error) from None
    order = _order(lookup, answer, len(asked), which)
    names = [reference.rpartition(":")[2] for reference in lookup.features]
    return {name: answer[name].take(order) for name in names}


def _order(lookup: Lookup, answer: Any, asked: int, which: Any) -> Any:
    """For each row its place in the answer (Arrow), null where nothing is known of it.

    Feast's file store leaves rows out of which everything was known later only. Where several views are looked up at
    once it also leaves out rows that are alike in the keys of one of them: then RunError (DataRejected) is raised.
    """
    numbers = answer[ROW].to_numpy().astype(np.int64)
    if lookup.several and len(numbers) != asked:
        raise RunError(
            "DataRejected",
            f"{FIELD}: {lookup.name} is computed from several views, and of {asked} entity rows the offline store gave "
            f"{len(numbers)}: leave out rows of times before anything was known and rows that are alike in the keys of "
            "one of the views, or name features of one view",
        )
    places = np.full(asked, -1)
    places[numbers] = np.arange(len(numbers))
    found = pa.array(places).take(pa.array(which, from_pandas=True))
    return pc.if_else(pc.less(found, 0), pa.scalar(None, pa.int64()), found)


def _require_new(name: str, columns: Mapping[str, Any], rows: Any) -> None:
    if name not in columns:
        return
    other = "a column of the entity rows" if name in rows.column_names else "a feature of another view"
    raise RunError(
        "DataRejected",
        f"{FIELD}: the feature {name!r} has the name of {other}: set fullFeatureNames: true, which names it "
        "view__feature, or rename the column",
    )


def _refused(lookup: Lookup, error: Exception) -> RunError:
    said = " ".join(last_lines(error).split("\n(at ")[0].split())[:1000]
    what = f"{FIELD}: the features of {lookup.name} cannot be read"
    if isinstance(error, FileNotFoundError):
        return RunError("SourceInvalid", f"{what}: the offline store has no such file: {said}")
    again = isinstance(error, ConnectionError | TimeoutError) or type(error).__name__ in _AGAIN
    if again and not isinstance(error, FeastError):
        return RunError("DataUnavailable", f"{what}: the offline store does not answer: {said}")
    return RunError("DataRejected", f"{what}: {said}")
