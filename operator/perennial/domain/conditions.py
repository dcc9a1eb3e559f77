"""Conditions: set one among others, keep the time of its last change."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from perennial.api.common import Condition

Truth = Literal["True", "False", "Unknown"]
MESSAGE_LIMIT = 4000


def condition(
    before: Sequence[Condition], type_: str, status: Truth, reason: str, message: str, *, generation: int, now: datetime
) -> list[Condition]:
    """``before`` with the condition ``type_`` set; its transition time changes only with its status."""
    old = find(before, type_)
    since = old.last_transition_time if old and old.status == status else now
    new = Condition(
        type=type_, status=status, reason=reason, message=message[:MESSAGE_LIMIT],
        last_transition_time=since.replace(microsecond=0), observed_generation=generation,
    )  # fmt: skip
    kept = [each for each in before if each.type != type_]
    return sorted([*kept, new], key=lambda each: each.type)


def without(before: Sequence[Condition], type_: str) -> list[Condition]:
    """``before`` without the condition ``type_``."""
    return [each for each in before if each.type != type_]


def find(conditions: Sequence[Condition], type_: str) -> Condition | None:
    """The condition ``type_``, if it is set."""
    return next((each for each in conditions if each.type == type_), None)


def is_true(conditions: Sequence[Condition], type_: str) -> bool:
    """Whether the condition ``type_`` is set and True."""
    found = find(conditions, type_)
    return found is not None and found.status == "True"
