"""Steps that the API server refuses: what the status may say then, and in which words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from perennial.api.common import Condition
from perennial.api.deployment import DeploymentStatus
from perennial.domain.conditions import Truth, condition, find
from perennial.domain.plan import Event

CHILD_REFUSED, NAME_TAKEN = "ChildRefused", "NameTaken"
KUBEFLOW = "Kubeflow"
"""Begins the reasons of what Kubeflow Pipelines does not do, or not now."""
REASONS = frozenset({CHILD_REFUSED, NAME_TAKEN})

_SAYS_LITTLE = frozenset({"Starting", "Settled", "WaitingForPods", "RollingBack", "Recreating", *REASONS})
"""Reasons of Progressing in whose place a refusal stands: the others say what a person or a clock has to do."""
_MESSAGE_LIMIT = 1000


@dataclass(frozen=True)
class Refusal:
    """``message`` names the object and has the API server's own words. ``apart``: nothing else rested on the step."""

    reason: str
    message: str
    apart: str = ""

    @classmethod
    def of(cls, thing: str, apart: str, reason: str, message: str) -> "Refusal":
        """The refusal of ``thing`` (such as ``Service heart``); ``reason`` and ``message`` are the API server's."""
        if reason.startswith(KUBEFLOW):
            return cls(reason, f"{thing}: {message}"[:_MESSAGE_LIMIT], apart)
        known = reason if reason in REASONS else CHILD_REFUSED
        return cls(known, f"{thing} was refused: {message}"[:_MESSAGE_LIMIT], apart)


def apply_refusals(
    before: Any, decided: Any, refusals: Sequence[Refusal], generation: int, now: datetime
) -> tuple[Any, tuple[Event, ...]]:
    """The status that may be written although steps were refused, and what is to be said; both are of one kind.

    Where all refused steps stand apart, everything else was done: the decided status holds, with the refusal in its
    conditions. So a rollout whose pods cannot be made has begun, and its time runs. Otherwise what was decided has not
    come about (a promotion whose Service was refused serves nobody): only conditions, counts and observedGeneration
    are written, the rest stays as it was and is decided anew.
    """
    refusal = Refusal(refusals[0].reason, "; ".join(dict.fromkeys(each.message for each in refusals)))
    whole = all(each.apart for each in refusals)
    status = decided if whole else _undone(before, decided)
    conditions: list[Condition] = list(status.conditions)
    for type_, truth in _told(conditions, decided.conditions, whole=whole):
        old = find(before.conditions, type_)
        (said,) = condition(
            [old] if old else [], type_, truth, refusal.reason, refusal.message, generation=generation, now=now
        )
        conditions = [*(each for each in conditions if each.type != type_), said]
    changes: dict[str, Any] = {
        "observed_generation": generation, "conditions": sorted(conditions, key=lambda each: each.type),
    }  # fmt: skip
    if isinstance(status, DeploymentStatus):
        changes["phase"] = {"Healthy": "Degraded", "": "Pending"}.get(status.phase, status.phase)
    known = any(each.message == refusal.message for each in before.conditions)
    return status.model_copy(update=changes), () if known else (Event("Warning", refusal.reason, refusal.message),)


def _undone(before: Any, decided: Any) -> Any:
    """As before; of what serves, where that is still the same, it is said whether it does."""
    if not isinstance(decided, DeploymentStatus) or before.stable != decided.stable:
        return before
    was, ready = find(before.conditions, "Ready"), find(decided.conditions, "Ready")
    conditions = list(before.conditions)
    if ready and (was is None or was.status != ready.status):
        conditions = [*(each for each in conditions if each.type != "Ready"), ready]
    return before.model_copy(
        update={"conditions": conditions, "replicas": decided.replicas, "ready_replicas": decided.ready_replicas}
    )


def _told(status: Sequence[Condition], decided: Sequence[Condition], *, whole: bool) -> list[tuple[str, Truth]]:
    """The conditions that have to say it, with the status that each has then."""
    progressing, degraded, ready = (find(decided, "Progressing"), find(status, "Degraded"), find(status, "Ready"))
    if progressing is None:
        return [("Ready", "False")]
    told: list[tuple[str, Truth]] = []
    if not whole or progressing.reason in _SAYS_LITTLE:
        told.append(("Progressing", progressing.status if whole else "False"))
    if degraded is None or degraded.status != "True" or (not whole and degraded.reason in REASONS):
        told.append(("Degraded", "True"))
    if ready is None or ready.status != "True":
        told.append(("Ready", "False"))
    return told
