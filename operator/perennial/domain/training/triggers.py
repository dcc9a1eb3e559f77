"""Why a run is to be started: a new or changed spec, a DriftMonitor's action, a request by annotation, other data, the
schedule; in this order.

A run takes in all that waits for one when it starts: it reads the spec and the data of that time, so it answers them
all. What comes later waits for its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from perennial.api.deployment import ModelDeployment
from perennial.api.drift import DriftMonitor
from perennial.api.run import TrainingStatus, Trigger
from perennial.api.training import ModelTraining
from perennial.api.verdict import Action
from perennial.contracts.names import ANNOTATION_REQUEST
from perennial.domain.training import schedule
from perennial.domain.training.request import spec_hash
from perennial.domain.training.state import Draft

HANDLED_LIMIT = 50
SUSPENDED = "Suspended"
"""Outcome of a run that spec.suspend ended."""
TRAIN, CANCEL, REPRODUCE, CHECK = "train", "cancel", "reproduce", "check"
_ID_LIMIT, _BY_LIMIT = 128, 256


@dataclass(frozen=True)
class Asked:
    """A Retrain action of the DriftMonitor ``monitor``; ``deployment`` is what it watches."""

    monitor: str
    deployment: str
    action: Action
    with_rollback: bool = False
    """The monitor asked for a rollback in the same breath: that its version has left service is then as wanted."""


@dataclass(frozen=True)
class Request:
    """What a person asks for by annotation, ``about`` a model or a version; ``refusal`` says why it is not done,
    whatever the state of things. ``by`` is the user's name, where the annotation has it.
    """

    id: str
    verb: str = ""
    about: str = ""
    refusal: str = ""
    by: str = ""


@dataclass(frozen=True)
class Pending:
    """What waits: the changed spec's hash (or ""), actions newest first, a request, the digest of other data (or ""),
    the schedule's time (or ""), and what the last run was started for where spec.suspend ended that.
    """

    spec: str = ""
    actions: tuple[Asked, ...] = ()
    request: Request | None = None
    data: str = ""
    schedule: str = ""
    suspended: Trigger | None = None

    def __bool__(self) -> bool:
        return bool(self.spec or self.actions or self.request or self.data or self.schedule or self.suspended)


def pending(training: ModelTraining, monitors: Sequence[DriftMonitor], now: datetime) -> Pending:
    """All that no run has answered yet."""
    status = training.status
    digest = spec_hash(training.spec)
    return Pending(
        spec=digest if digest != status.spec_hash else "",
        actions=tuple(asked for asked in asked_of(training, monitors) if asked.action.id not in status.handled_actions),
        request=requested(training),
        data=status.data.wanted if training.spec.data.poll else "",
        schedule=schedule.due(training, now),
        suspended=_suspended(status),
    )


def requested(training: ModelTraining) -> Request | None:
    """What a person asks for and has not been answered."""
    request = _request(training.metadata.annotations.get(ANNOTATION_REQUEST, ""))
    return request if request and request.id != training.status.handled_request else None


def _suspended(status: TrainingStatus) -> Trigger | None:
    last = next(iter(status.runs), None)
    return last.trigger if last and last.outcome == SUSPENDED and not last.reproduces else None


def asked_of(training: ModelTraining, monitors: Sequence[DriftMonitor]) -> tuple[Asked, ...]:
    """The newest Retrain actions that name this training, newest first, as many as a status can acknowledge."""
    found = [
        Asked(monitor.metadata.name, monitor.spec.deployment, action, _with_rollback(action, monitor.status.actions))
        for monitor in monitors
        if monitor.spec.training == training.metadata.name
        for action in monitor.status.actions
        if action.kind == "Retrain"
    ]
    found.sort(key=lambda asked: (asked.action.since, asked.action.id), reverse=True)
    return tuple(found[:HANDLED_LIMIT])


def _with_rollback(action: Action, others: Sequence[Action]) -> bool:
    return any(
        each.kind == "Rollback" and each.version == action.version and each.since == action.since for each in others
    )


def stale(asked: Asked, deployments: Sequence[ModelDeployment]) -> str:
    """Why the action is about what is no longer so; empty when its version is still the one in service."""
    found = next((each for each in deployments if each.metadata.name == asked.deployment), None)
    serving = found.status.stable.version if found and found.status.stable else ""
    if serving == asked.action.version or asked.with_rollback:
        return ""
    now = f"{serving} serves there now" if serving else "nothing serves there now"
    return f"DriftMonitor {asked.monitor} asked for it because of {asked.action.version}, and {now}"


def handled(training: ModelTraining, monitors: Sequence[DriftMonitor], answered: Sequence[Asked]) -> list[str]:
    """The status' handled actions with ``answered`` among them: those that their monitors still show, newest first."""
    known = {*training.status.handled_actions, *(asked.action.id for asked in answered)}
    shown = [asked.action.id for asked in asked_of(training, monitors)]
    return [each for each in dict.fromkeys(shown) if each in known]


def first(waiting: Pending, current: Sequence[Asked]) -> Trigger | None:
    """The trigger that a run starting now is recorded with; ``current`` are the actions that still hold."""
    if waiting.spec:
        return Trigger(type="Spec", id=waiting.spec)
    if waiting.suspended:
        return waiting.suspended
    if current:
        return Trigger(type="Drift", id=current[0].action.id, by=f"DriftMonitor/{current[0].monitor}")
    if waiting.request and waiting.request.verb == TRAIN and not waiting.request.refusal:
        return asked_for(waiting.request)
    if waiting.data:
        return Trigger(type="Data", id=waiting.data)
    if waiting.schedule:
        return Trigger(type="Schedule", id=waiting.schedule)
    return None


def asked_for(request: Request) -> Trigger:
    """The trigger of a run that a person asks for."""
    return Trigger(type="Request", id=request.id, by=request.by)


def refuse(draft: Draft, request: Request, why: str) -> None:
    """Says to a person why nothing comes of the request, which is heard with that."""
    draft.set(handled_request=request.id)
    draft.event("RequestRefused", f"request {request.id} was refused: {why}", warning=True)


def because(trigger: Trigger, current: Sequence[Asked]) -> str:
    """The trigger for people."""
    match trigger.type:
        case "Spec":
            return "the spec is new or has changed"
        case "Request":
            return f"{trigger.by} requested it ({trigger.id})" if trigger.by else f"it was requested ({trigger.id})"
        case "Data":
            return f"the data have changed (SHA-256 {trigger.id[:12]}…)"
        case "Schedule":
            return f"its time was {trigger.id}"
        case "Drift":
            why = current[0].action.reason if current else ""
            return f"{trigger.by} asked for it: {why or trigger.id}"


def _request(value: str) -> Request | None:
    parts = value.split("/", 3)
    if not value:
        return None
    if len(parts) < 3 or not parts[2]:
        said = f"{value[:200]!r} does not read <verb>/<model>/<id>; write {TRAIN}/<model>/<a new id>"
        return Request(value[:_ID_LIMIT], refusal=said)
    verb, identity, by = parts[0], parts[2][:_ID_LIMIT], parts[3][:_BY_LIMIT] if len(parts) > 3 else ""
    verbs = (TRAIN, CANCEL, REPRODUCE, CHECK)
    refusal = "" if verb in verbs else f"a ModelTraining knows the verbs {', '.join(verbs)}, not {verb!r}"
    return Request(identity, verb, parts[1], refusal, by)
