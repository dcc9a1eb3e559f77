"""An object that its definition lets in and that is none to us: its status says which field is wrong.

The API server's schema lets an empty list or object stand where any scalar may; an older schema let in more than that.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from perennial.api.common import Object
from perennial.domain.conditions import condition
from perennial.domain.plan import Event, Plan

REASON = "SpecInvalid"
_FIELDS = 5
_BRANCHES = frozenset({"float", "int", "str", "bool"})


def plan_for(kind: type[Object], raw: Mapping[str, Any], now: datetime) -> Plan | None:
    """What is written about an object that cannot be read: its condition Ready; None where it can be."""
    try:
        kind.model_validate(raw)
    except ValidationError as error:
        message = told(error)
    else:
        return None
    status_type: Any = kind.model_fields["status"].annotation
    try:
        status = status_type.model_validate(raw.get("status") or {})
    except ValidationError:
        status = status_type()
    generation = raw["metadata"].get("generation", 0)
    known = any(each.reason == REASON and each.message == message for each in status.conditions)
    ready = condition(status.conditions, "Ready", "False", REASON, message, generation=generation, now=now)
    return Plan(
        status=status.model_copy(update={"conditions": ready, "observed_generation": generation}),
        events=() if known else (Event("Warning", REASON, message),),
    )


def told(error: ValidationError) -> str:
    """The fields and what is wrong with each, without their values."""
    found: dict[str, str] = {}
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        place = [part for part in each["loc"] if part not in _BRANCHES]
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
        found[path] = "must be a number, text or truth" if len(place) < len(each["loc"]) else each["msg"]
    shown = [f"{path}: {why}" for path, why in list(found.items())[:_FIELDS]]
    more = len(found) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")
