"""Reads tables from files, CSV or Parquet, one file at a time."""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BufferedReader, BytesIO, RawIOBase
from typing import Any, BinaryIO, Literal
from urllib.parse import urlsplit

import obstore
import obstore.exceptions
import pyarrow as pa
from obstore.store import from_url
from pyarrow import csv, parquet

from perennial.contracts import objects
from perennial.contracts.names import STORE_CA
from perennial_components.failure import Reason, RunError
from perennial_components.ingest.cells import TEXT, as_text, cleaned
from perennial_components.storage import store_message

Format = Literal["CSV", "Parquet"]
_BLOCK = 2 << 20
"""Bytes of a CSV that are parsed at once: no row may be longer."""
_ROWS = 1 << 16
_INDEX = re.compile(r"__index_level_\d+__")
"""Where pandas keeps the places that rows once had: nothing of the data."""
_FINAL = (
    FileNotFoundError,
    PermissionError,
    ValueError,
    obstore.exceptions.NotFoundError,
    obstore.exceptions.PermissionDeniedError,
    obstore.exceptions.UnauthenticatedError,
    obstore.exceptions.InvalidPathError,
    obstore.exceptions.NotSupportedError,
    obstore.exceptions.UnknownConfigurationKeyError,
)
"""What a store says of an address or of credentials: it says the same of the next attempt."""


def names(source: str, credentials: Mapping[str, str]) -> list[str]:
    """The addresses that ``source`` means, sorted; ``*``, ``?`` and ``[…]`` match within one path segment.

    Raises RunError (SourceInvalid) when none matches, or the server cannot list. In a web address ``?`` begins
    a query.
    """
    web = urlsplit(source).scheme in {"http", "https"}
    if not set(source) & set("*[" if web else "*?["):
        return [source]
    if web:
        raise RunError(
            "SourceInvalid",
            f"{source}: a web server has no listing to match * and [ against: name one file, or put the files into an "
            "object store (s3://, gs://, az://)",
        )
    try:
        found = matching(source, credentials)
    except (obstore.exceptions.BaseError, OSError, ValueError) as error:
        raise _unavailable(source, error) from error
    if not found:
        raise RunError("SourceInvalid", f"no file matches {source}")
    return found


def matching(source: str, credentials: Mapping[str, str]) -> list[str]:
    """The addresses that match the pattern ``source``, sorted."""
    patterns = source.split("/")
    first = next(i for i, part in enumerate(patterns) if set(part) & set("*?["))
    found = objects.listing("/".join(patterns[:first]) + "/", credentials)
    return sorted(name for name in found if _matches(name.split("/"), patterns))


def _matches(parts: list[str], patterns: list[str]) -> bool:
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))


def read(addresses: Sequence[str], format: Format, credentials: Mapping[str, str]) -> Iterator[Any]:  # noqa: A002
    """The tables (Arrow) at ``addresses`` as cleaned text, in their order. Raises RunError as ingest does."""
    for name in addresses:
        if format == "Parquet":
            yield from _parquet(name, _content(name, credentials))
        else:
            yield from _csv(name, _opened(name, credentials))


def _content(name: str, credentials: Mapping[str, str]) -> bytes:
    try:
        return bytes(_get(name, credentials).bytes()) if _has_query(name) else objects.read(name, credentials)
    except FileNotFoundError as error:
        raise RunError("SourceInvalid", f"there is nothing at {name}") from error
    except (obstore.exceptions.BaseError, OSError, ValueError) as error:
        raise _unavailable(name, error) from error


def _opened(name: str, credentials: Mapping[str, str]) -> BinaryIO:
    """The file at ``name``, of which no more is in memory than what is read."""
    try:
        return BufferedReader(_Body(_get(name, credentials).stream(min_chunk_size=_BLOCK)), _BLOCK)
    except (obstore.exceptions.BaseError, OSError, ValueError):
        # Once more, in the way that says what is wrong with the store.
        return BytesIO(_content(name, credentials))


def _get(name: str, credentials: Mapping[str, str]) -> Any:
    if not _has_query(name):
        return obstore.get(*objects.open_store(name, credentials))
    # An address with a query is no path in a store: it is a store of one file.
    client: Any = {"allow_http": True}
    if authority := credentials.get(STORE_CA, "").strip():
        client["root_certificate"] = authority
    return obstore.get(from_url(name, client_options=client), "")


def _has_query(name: str) -> bool:
    parts = urlsplit(name)
    return parts.scheme in {"http", "https"} and bool(parts.query)


class _Body(RawIOBase):
    """The body of an answer as a file."""

    def __init__(self, parts: Iterable[Any]) -> None:
        self._parts, self._rest = iter(parts), memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._parts, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _unavailable(source: str, error: Exception) -> RunError:
    reason: Reason = "SourceInvalid" if isinstance(error, _FINAL) else "DataUnavailable"
    return RunError(reason, f"{source} cannot be read: {store_message(error)}")


def _csv(name: str, file: BinaryIO) -> Iterator[Any]:
    wrong: list[Any] = []

    def refused(row: Any) -> str:
        wrong.append(row)
        return "error"

    try:
        reader = csv.open_csv(
            file,
            # In one thread, for only so it is known which row is wrong.
            read_options=csv.ReadOptions(use_threads=False, block_size=_BLOCK),
            parse_options=csv.ParseOptions(newlines_in_values=True, invalid_row_handler=refused),
            convert_options=csv.ConvertOptions(default_column_type=TEXT, strings_can_be_null=False),
        )
        header = _header(name, reader.schema.names)
        yield pa.table([pa.array([], TEXT) for _ in header], names=header)
        for batch in reader:
            yield pa.table([cleaned(column) for column in batch.columns], names=header)
    except obstore.exceptions.BaseError as error:
        raise _unavailable(name, error) from error
    except pa.ArrowInvalid as error:
        raise RunError("DataRejected", _no_csv(name, wrong, str(error))) from None
    except UnicodeDecodeError as error:
        raise RunError("DataRejected", f"{name} is no CSV in UTF-8: its header is not: {error}") from None


def _no_csv(name: str, wrong: list[Any], said: str) -> str:
    """Why a file is refused, without the cells of a row: the parser's own words end with them."""
    if "Empty CSV file" in said:
        return f"{name} is empty: not even a header"
    if "straddl" in said:
        return f"{name} is no CSV: a row has more than {_BLOCK >> 20} MiB, or a quotation mark is never closed"
    if not wrong:
        return f"{name} is no CSV in UTF-8: {said.splitlines()[0][:200]}"
    row = wrong[0]
    return (
        f"{name} is no CSV: row {row.number} (the header is 1) has {row.actual_columns} cells, the header has "
        f"{row.expected_columns}"
    )


def _header(name: str, given: list[str]) -> list[str]:
    """The columns' names without the blanks around them; the ones without a name are named after their place."""
    columns = [column.strip() or f"Unnamed: {place}" for place, column in enumerate(given)]
    require_unique(name, columns)
    return columns


def require_unique(where: str, columns: list[str]) -> None:
    """Raises RunError (DataRejected) when two columns have one name."""
    twice = [column for column in dict.fromkeys(columns) if columns.count(column) > 1]
    if twice:
        raise RunError(
            "DataRejected",
            f"{where}: more than one column is called {', '.join(map(repr, twice))}: give each a name of its own",
        )


def _parquet(name: str, content: bytes) -> Iterator[Any]:
    try:
        file = parquet.ParquetFile(pa.BufferReader(content))
        given = [column for column in file.schema_arrow.names if not _INDEX.fullmatch(column)]
        header = _header(name, given)
        yield pa.table([pa.array([], TEXT) for _ in header], names=header)
        for batch in file.iter_batches(batch_size=_ROWS, columns=given):
            texts = [cleaned(as_text(column, title, name)) for title, column in zip(header, batch.columns, strict=True)]
            yield pa.table(texts, names=header)
    except (pa.ArrowException, OSError) as error:
        raise RunError("DataRejected", f"{name} is no Parquet: {str(error).splitlines()[0][:200]}") from None
