"""Reads one or many CSV files; nothing that follows depends on their names, dates or order."""

import fnmatch
import hashlib
from collections.abc import Mapping
from io import BytesIO

import obstore.exceptions
import pandas as pd

from perennial.contracts import objects
from perennial.contracts.request import RunRequest
from perennial_components.failure import RunError, nearest
from perennial_components.records import Ingested
from perennial_components.storage import store_message
from perennial_components.table import MISSING_TEXTS

_GLOB = frozenset("*?[")


def ingest(request: RunRequest, credentials: Mapping[str, str]) -> tuple[pd.DataFrame, Ingested]:
    """All rows at ``request.source`` as text, missing cells as NA, and what was read.

    Raises RunError: DataUnavailable when nothing is there or the store cannot be reached, DataRejected when the files
    are no CSV, have no rows, or lack a column that the request names.
    """
    contents = fetch(request.source, credentials)
    parsed = sorted((objects.sha256(data), name, data) for name, data in contents.items())
    table = pd.concat([_parse(name, data) for _, name, data in parsed], ignore_index=True)
    if table.empty:
        raise RunError("DataRejected", f"there are no rows in {request.source} ({_files(len(parsed))})")
    _require_columns(request, tuple(table.columns))
    digest = hashlib.sha256("".join(sha for sha, _, _ in parsed).encode()).hexdigest()
    return table, Ingested(sha256=digest, rows=len(table), files=len(parsed), columns=tuple(table.columns))


def fetch(source: str, credentials: Mapping[str, str]) -> dict[str, bytes]:
    """The objects that ``source`` names, by address; ``*``, ``?`` and ``[…]`` match within one path segment."""
    try:
        if not _GLOB & set(source):
            return {source: objects.read(source, credentials)}
        names = matching(source, credentials)
        contents = {name: objects.read(name, credentials) for name in names}
    except FileNotFoundError as error:
        raise RunError("DataUnavailable", f"there is nothing at {source}") from error
    except (obstore.exceptions.BaseError, OSError, ValueError) as error:
        raise RunError("DataUnavailable", f"{source} cannot be read: {store_message(error)}") from error
    if not contents:
        raise RunError("DataUnavailable", f"no file matches {source}")
    return contents


def matching(source: str, credentials: Mapping[str, str]) -> list[str]:
    """The addresses that match the pattern ``source``, sorted."""
    patterns = source.split("/")
    first = next(i for i, part in enumerate(patterns) if _GLOB & set(part))
    found = objects.listing("/".join(patterns[:first]) + "/", credentials)
    return sorted(name for name in found if _matches(name.split("/"), patterns))


def _matches(parts: list[str], patterns: list[str]) -> bool:
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))


def _parse(name: str, data: bytes) -> pd.DataFrame:
    try:
        table = pd.read_csv(
            BytesIO(data), dtype=str, keep_default_na=False, na_values=list(MISSING_TEXTS), encoding="utf-8-sig"
        )
    except pd.errors.EmptyDataError as error:
        raise RunError("DataRejected", f"{name} is empty: not even a header") from error
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise RunError("DataRejected", f"{name} is no CSV in UTF-8: {error}") from error
    table.columns = [str(column).strip() for column in table.columns]
    # Cells of blanks are missing too, and text is compared without the blanks around it.
    table = table.apply(lambda column: column.astype("str").str.strip())
    return table.replace("", pd.NA)


def _require_columns(request: RunRequest, columns: tuple[str, ...]) -> None:
    wanted = (
        request.target.column,
        *request.numeric,
        *request.categorical,
        *request.split.key,
        *request.slices,
        *(check.column for check in request.checks),
        *([request.time] if request.time else []),
    )
    absent = [name for name in dict.fromkeys(wanted) if name not in columns]
    if absent:
        named = {request.time: ", which data.time names,"}
        lines = "\n".join(
            f"column {name!r}{named.get(name, '')} is not in the data{nearest(name, columns)}" for name in absent
        )
        raise RunError("DataRejected", f"{lines}\ncolumns are: {', '.join(columns)}")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
