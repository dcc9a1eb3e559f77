"""Reads a table from a database, by SQLAlchemy. Its URL comes from the environment and goes nowhere."""

import datetime as dt
import decimal
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import sqlalchemy
from sqlalchemy import exc

from perennial.contracts.request import SqlSource
from perennial_components.failure import RunError
from perennial_components.ingest.cells import TEXT, as_text, cleaned
from perennial_components.ingest.files import require_unique

_ROWS = 10_000
"""Rows that are fetched at once."""
_CONNECT_SECONDS = 15
_SECRET = 4
"""Characters from which a password is looked for in what a driver says."""
_DRIVERS = {"postgresql": "psycopg"}
"""What the image of the components brings."""
_REFUSED = (exc.ProgrammingError, exc.DataError, exc.NotSupportedError, exc.IntegrityError, exc.ResourceClosedError)
_BY_ARROW = (float, bool, dt.date, dt.datetime)


def named(source: SqlSource) -> str:
    """The source in a message: never its URL."""
    return f"data.source.sql (Secret {source.secret}, key {source.key})"


def read(source: SqlSource, url: str) -> Iterator[Any]:
    """The rows of the query as tables (Arrow) of cleaned text, through a cursor of the server where it has them.

    Raises RunError: SourceInvalid when the URL is none, or of a database that the image cannot read, DataUnavailable
    when it cannot be had, DataRejected when it refuses the query or gives values that are none of one cell.
    """
    where, target = named(source), _url(source, url)
    try:
        engine = sqlalchemy.create_engine(target, connect_args=_timeout(target), poolclass=sqlalchemy.NullPool)
        options: dict[str, Any] = {"stream_results": True, "max_row_buffer": _ROWS, "no_parameters": True}
        if target.get_backend_name() == "postgresql":
            options["postgresql_readonly"] = True
        with engine.connect().execution_options(**options) as connection:
            rows = connection.exec_driver_sql(source.query.strip().rstrip(";"))
            header = list(rows.keys())
            require_unique(where, header)
            yield pa.table([pa.array([], TEXT) for _ in header], names=header)
            for part in rows.partitions(_ROWS):
                columns = zip(header, zip(*part, strict=True), strict=True)
                yield pa.table([_texts(cells, name, where) for name, cells in columns], names=header)
    except (exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise RunError("SourceInvalid", f"{where}: {_no_driver(target, error)}") from None
    except _REFUSED as error:
        raise RunError("DataRejected", f"{where}: the query is refused: {_told(error, target)}") from None
    except RunError:
        raise
    except Exception as error:  # noqa: BLE001 - what a driver says may hold the password: nothing passes unread
        raise RunError("DataUnavailable", f"{where}: the database cannot be read: {_told(error, target)}") from None


def _url(source: SqlSource, text: str) -> sqlalchemy.URL:
    where, text = named(source), text.strip()
    if not text:
        raise RunError("SourceInvalid", f"{where}: the entry is empty: it is to hold the database's URL")
    try:
        # Others call PostgreSQL so, too.
        return sqlalchemy.make_url(re.sub("^postgres://", "postgresql://", text))
    except (exc.ArgumentError, ValueError):
        raise RunError(
            "SourceInvalid",
            f"{where}: the entry is no SQLAlchemy URL, such as postgresql://user:password@host:5432/database "
            "(percent-encode what is special in the password)",
        ) from None


def _timeout(url: sqlalchemy.URL) -> dict[str, Any]:
    ours = url.drivername in {"postgresql", "postgresql+psycopg"} and "connect_timeout" not in url.query
    return {"connect_timeout": _CONNECT_SECONDS} if ours else {}


def _no_driver(url: sqlalchemy.URL, error: Exception) -> str:
    missing = getattr(error, "name", None)
    brought = ", ".join(f"{driver} for {dialect}://" for dialect, driver in _DRIVERS.items())
    lacks = f"the driver {missing!r}" if missing else "a SQLAlchemy dialect"
    return f"{url.drivername}:// needs {lacks}, which the image of the components lacks (it has {brought})"


def _told(error: Exception, url: sqlalchemy.URL) -> str:
    """What the driver said, in one line, without the URL and its password."""
    said = getattr(error, "orig", None) or error
    text = " ".join(f"{said}".split()) or type(said).__name__
    password = str(url.password or "")
    for secret in (url.render_as_string(hide_password=False), password, quote(password, safe="")):
        text = text.replace(secret, "***") if len(secret) >= _SECRET else text
    return text if len(text) <= 400 else text[:397] + "..."


def _texts(cells: Sequence[Any], column: str, where: str) -> Any:
    """A column of Python values as cleaned text."""
    kinds = {type(cell) for cell in cells} - {type(None)}
    if len(kinds) == 1 and kinds <= set(_BY_ARROW):
        return cleaned(as_text(_array(cells, next(iter(kinds))), column, where))
    if unknown := kinds - set(_WORDS):
        name = min(kind.__name__ for kind in unknown)
        raise RunError(
            "DataRejected",
            f"{where}: column {column!r} holds {name}, which is no value of one cell: cast it in the query, such as "
            f"CAST({column} AS text)",
        )
    return cleaned(pa.array([None if cell is None else _WORDS[type(cell)](cell) for cell in cells], TEXT))


def _array(cells: Sequence[Any], kind: type) -> Any:
    if kind is dt.datetime:
        zoned = any(cell is not None and cell.tzinfo for cell in cells)
        return pa.array(cells, pa.timestamp("us", "UTC" if zoned else None))
    return pa.array(cells)


def _of_one(value: Any) -> str:
    return str(as_text(_array([value], type(value)), "", "")[0].as_py())


_WORDS: dict[type, Callable[[Any], str]] = {
    str: str,
    int: str,
    decimal.Decimal: lambda value: f"{value:f}",
    uuid.UUID: str,
    dt.time: lambda value: value.isoformat(),
    **dict.fromkeys(_BY_ARROW, _of_one),
}
