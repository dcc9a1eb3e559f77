"""Asks a repository as a run's container does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from perennial.contracts.request import FEAST_STORE, FeastSource
from perennial.contracts.result import FeastSeen
from perennial_components.failure import RunError
from perennial_components.feast.core import history

ROWS = "driver_id,shop,event_timestamp,late\n"


@dataclass(frozen=True)
class Shop:
    """A repository in ``folder`` with this feature_store.yaml."""

    folder: Path
    settings: str

    def source(self, rows: str, *features: str, **more: Any) -> FeastSource:
        """What asks for ``features`` of these entity rows (CSV)."""
        path = self.folder / f"rows-{abs(hash(rows))}.csv"
        path.write_text(rows, encoding="utf-8")
        made = FeastSource(secret="store", key="feature_store.yaml", image="", features=features, rows=path.as_uri())
        return msgspec.structs.replace(made, **more)

    def ask(self, rows: str, *features: str, **more: Any) -> tuple[list[dict[str, Any]], FeastSeen]:
        """The rows, and what was read."""
        table, seen = history(self.source(rows, *features, **more), {FEAST_STORE: self.settings})
        return table.to_pylist(), seen

    def refused(self, rows: str, *features: str, **more: Any) -> tuple[str, str]:
        """Reason and message of the refusal."""
        try:
            self.ask(rows, *features, **more)
        except RunError as error:
            return error.reason, error.message
        raise AssertionError("it was not refused")
