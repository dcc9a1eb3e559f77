"""Reads what the container before this one has written: entity rows with the features that Feast has of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from perennial.contracts.request import FEAST_FOLDER, FEAST_ROWS, FEAST_SEEN, FeastSource
from perennial.contracts.result import FeastSeen
from perennial_components.failure import RunError
from perennial_components.ingest import files


def named(source: FeastSource) -> str:
    """The source in a message."""
    return f"data.source.feast (Secret {source.secret}, key {source.key})"


def read(environ: Mapping[str, str]) -> tuple[Iterator[Any], FeastSeen]:
    """The rows as tables (Arrow) of cleaned text, and what was read of the repository.

    Raises RunError (SourceInvalid) where nobody has looked features up before, DataRejected as ``files.read`` does.
    """
    folder = environ.get(FEAST_FOLDER, "")
    if not folder:
        raise RunError(
            "SourceInvalid",
            "data.source.feast: features are looked up in the Job of a run alone: use spec.engine type Embedded",
        )
    seen = msgspec.json.decode((Path(folder) / FEAST_SEEN).read_bytes(), type=FeastSeen)
    return files.read([(Path(folder) / FEAST_ROWS).as_uri()], "Parquet", environ), seen
