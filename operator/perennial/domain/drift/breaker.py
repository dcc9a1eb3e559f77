"""The loop breaker: a retrain that did not cure what it was asked to cure does not simply run again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from perennial.api.common import seconds
from perennial.api.drift import MonitorSpec
from perennial.api.verdict import Action, MonitorStatus
from perennial.domain.drift.decision import SIGNAL, Call

NOT_CURED, RETRAIN_REJECTED = "NotCured", "RetrainRejected"


@dataclass(frozen=True)
class Last:
    """The last Retrain, the version that it made (or ""), whether that was rejected or is kept out here, and whether
    the ModelTraining's spec has changed since.
    """

    action: Action
    made: str
    rejected: bool
    training_changed: bool


def uncured(
    spec: MonitorSpec,
    status: MonitorStatus,
    last: Last,
    serving: str,
    since: datetime | None,
    called: Sequence[Call],
) -> tuple[str, str] | None:
    """The reason and message of HumanNeeded where another Retrain would do as little as the last one; else None.

    ``called`` is what calls for it now, about the version ``serving``, promoted at ``since``. Whoever has changed the
    training since has a new attempt.
    """
    action = last.action
    if last.training_changed:
        return None
    if last.rejected and action.version == serving and not _well_since(status, serving, action.since):
        return RETRAIN_REJECTED, _rejected_message(spec, last)
    again = next((each for each in called if action.verdict in {"", each.verdict}), None)
    if last.made != serving or again is None or _cured(spec, status, last, again, since):
        return None
    return NOT_CURED, _not_cured_message(spec, last)


def _cured(spec: MonitorSpec, status: MonitorStatus, last: Last, call: Call, since: datetime | None) -> bool:
    """Whether the version that the retrain made has ever been as it was to be."""
    if call.verdict != SIGNAL:
        return _well_since(status, last.made, last.action.since)
    # The verdict says nothing of a signal. Its first chunk may be without a figure, so the second one counts too.
    chunk = timedelta(seconds=seconds(spec.window.length) / spec.window.chunks)
    return since is None or call.began > since + 2 * chunk


def _well_since(status: MonitorStatus, version: str, since: datetime) -> bool:
    """Whether ``version`` has been found Healthy after ``since``, also when it served before."""
    if status.version == version and status.last_healthy is not None and status.last_healthy > since:
        return True
    return any(
        each.version == version and each.verdict == "Healthy" and each.until is not None and each.until > since
        for each in status.history
    )


def _not_cured_message(spec: MonitorSpec, last: Last) -> str:
    return (
        f"{last.made} was trained because of {last.action.version} ({_why(last)}) and has not been well since: another "
        f"retrain would do no better. Look at the data that ModelTraining {spec.training} reads; then "
        f"kubectl perennial train {spec.training}, or edit its spec"
    )


def _rejected_message(spec: MonitorSpec, last: Last) -> str:
    return (
        f"{last.made} was trained because of {last.action.version} ({_why(last)}) and is rejected or kept out here: "
        f"another retrain of the same would be too. See why (kubectl describe modelversion {last.made}); then edit the "
        f"spec of ModelTraining {spec.training}, or approve {last.made}"
    )


def _why(last: Last) -> str:
    return last.action.verdict or "drift"
