"""Why a run is to be started: a new or changed spec, a DriftMonitor's action, a request by annotation; in this order.

A run takes in all that waits for one when it starts: it reads the spec and the data of that time, so it answers them
all. What comes later waits for its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from perennial.api.deployment import ModelDeployment
from perennial.api.drift import DriftMonitor
from perennial.api.run import Trigger
from perennial.api.training import ModelTraining
from perennial.api.verdict import Action
from perennial.contracts.names import ANNOTATION_REQUEST
from perennial.domain.training.request import spec_hash

HANDLED_LIMIT = 50
VERB = "train"


@dataclass(frozen=True)
class Asked:
    """A Retrain action of the DriftMonitor ``monitor``; ``deployment`` is what it watches."""

    monitor: str
    deployment: str
    action: Action
    with_rollback: bool = False
    """The monitor asked for a rollback in the same breath: that its version has left service is then as wanted."""


@dataclass(frozen=True)
class Pending:
    """What waits: the changed spec's hash (or ""), actions newest first, the request's id (or ""), refused or not."""

    spec: str = ""
    actions: tuple[Asked, ...] = ()
    request: str = ""
    refusal: str = ""

    def __bool__(self) -> bool:
        return bool(self.spec or self.actions or self.request)


def pending(training: ModelTraining, monitors: Sequence[DriftMonitor]) -> Pending:
    """All that no run has answered yet."""
    status = training.status
    digest = spec_hash(training.spec)
    identity, refusal = _request(training.metadata.annotations.get(ANNOTATION_REQUEST, ""))
    return Pending(
        spec=digest if digest != status.spec_hash else "",
        actions=tuple(asked for asked in asked_of(training, monitors) if asked.action.id not in status.handled_actions),
        request=identity if identity != status.handled_request else "",
        refusal=refusal if identity != status.handled_request else "",
    )


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
    if current:
        return Trigger(type="Drift", id=current[0].action.id, by=f"DriftMonitor/{current[0].monitor}")
    if waiting.request and not waiting.refusal:
        return Trigger(type="Request", id=waiting.request)
    return None


def _request(value: str) -> tuple[str, str]:
    """The request's id, and why it is refused, if it is."""
    parts = value.split("/")
    if not value:
        return "", ""
    if len(parts) != 3 or not parts[2]:
        return value[:128], f"{value[:200]!r} does not read <verb>/<model>/<id>; write {VERB}/<model>/<a new id>"
    if parts[0] != VERB:
        return parts[2][:128], f"a ModelTraining knows the verb {VERB}, not {parts[0]!r}"
    return parts[2][:128], ""
