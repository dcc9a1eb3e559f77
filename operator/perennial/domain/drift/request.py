"""What people ask of a monitor by the request annotation: a report."""

from dataclasses import dataclass

from perennial.api.drift import DriftMonitor
from perennial.contracts.names import ANNOTATION_REQUEST

_ID_LIMIT = 128


@dataclass(frozen=True)
class Request:
    """One that was not handled yet; ``refusal`` says what is wrong with it."""

    identity: str
    refusal: str = ""


def pending(monitor: DriftMonitor) -> Request | None:
    """The request that waits for an answer."""
    value = monitor.metadata.annotations.get(ANNOTATION_REQUEST, "")
    verb, _, rest = value.partition("/")
    name, _, identity = rest.partition("/")
    identity = (identity or value)[:_ID_LIMIT]
    if not value or identity == monitor.status.handled_request:
        return None
    if verb != "report" or not name or identity == value[:_ID_LIMIT]:
        return Request(identity, f"it reads {value[:200]!r}; write report/{monitor.metadata.name}/<id>")
    if name != monitor.metadata.name:
        return Request(identity, f"it is about {name[:63]}")
    return Request(identity)
