"""Quarantine: a mark on a ModelVersion that keeps it out of one deployment, whatever the deployment's spec says."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from perennial.api.common import format_time, parse_time
from perennial.api.version import ModelVersion
from perennial.contracts.names import quarantine_annotation

ROLLED_BACK = "RolledBack"
ROLLOUT_FAILED = "RolloutFailed"
_CAUSE = re.compile(r"[A-Z][A-Za-z]{0,63}")
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Quarantined:
    """Why and since when; ``cause`` is a condition's reason, ``action`` the monitor's action, if it was one."""

    reason: str
    since: datetime
    cause: str = ROLLED_BACK
    action: str = ""

    def annotation(self) -> str:
        """The annotation's value."""
        value = {"reason": self.reason, "since": format_time(self.since), "cause": self.cause, "action": self.action}
        return json.dumps(value, sort_keys=True)


def read(annotation: str) -> Quarantined:
    """The mark in ``annotation``. One that does not parse (a person wrote it?) still keeps the version out."""
    try:
        value = json.loads(annotation)
        cause = str(value.get("cause", ""))
        return Quarantined(
            reason=str(value["reason"]),
            since=parse_time(value["since"]).astimezone(UTC),
            cause=cause if _CAUSE.fullmatch(cause) else "VersionQuarantined",
            action=str(value.get("action") or ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Quarantined(reason=annotation or "quarantined by hand", since=_BEGINNING, cause="VersionQuarantined")


def quarantines(versions: Iterable[ModelVersion], deployment: str) -> dict[str, Quarantined]:
    """The marks against ``deployment`` by version name."""
    key = quarantine_annotation(deployment)
    return {
        version.metadata.name: read(version.metadata.annotations[key])
        for version in versions
        if key in version.metadata.annotations
    }
