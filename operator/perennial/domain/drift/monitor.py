"""A monitor's decision: the verdict on the window that has just closed, and what follows from it."""

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from perennial.api.common import seconds
from perennial.api.drift import DriftMonitor
from perennial.api.verdict import Action, BaselineStatus, MonitorStatus
from perennial.domain.conditions import condition, find, is_true, without
from perennial.domain.drift.decision import described
from perennial.domain.drift.evidence import Evidence
from perennial.domain.drift.follow import follow, rebase
from perennial.domain.drift.policy import Reaction, Situation, react, with_actions
from perennial.domain.drift.request import Request, pending
from perennial.domain.drift.verdict import Judgement, judge
from perennial.domain.drift.window import Geometry
from perennial.domain.plan import Event, Plan

READY, SUSPECT, HUMAN, SIGNALS, DISAGREES = (
    "Ready", "LabelsSuspect", "HumanNeeded", "SignalsBreached", "MonitorsDisagree",
)  # fmt: skip
JUDGED = {"Healthy": "Judged", "Drifting": "Judged", "PerformanceLoss": "Judged"}
"""The reason of Ready by verdict; the other verdicts are their own reason."""
SUSPECT_MESSAGE = (
    "{version} has had more feedback than predictions: tokens are being replayed, so labels are not judged; rotate the "
    "feedback key and look at who sends feedback"
)


class Blocked(Exception):
    """Nothing can be judged now; carries the :class:`Problem`."""

    def __init__(self, reason: str, message: str, retry: float | None = None) -> None:
        super().__init__(message)
        self.problem = Problem(reason, message, retry)


@dataclass(frozen=True)
class Problem:
    """Why no window can be judged now; asked again after ``retry`` seconds. The verdict stands as it is."""

    reason: str
    message: str
    retry: float | None = None


@dataclass(frozen=True)
class Snapshot:
    """``situation`` is None while nothing serves; ``evidence`` is None with a problem, or when the window that ends at
    ``end`` (Unix ms) has been judged. ``baseline``: what it is compared with.
    """

    monitor: DriftMonitor
    end: int = 0
    problem: Problem | None = None
    situation: Situation | None = None
    evidence: Evidence | None = None
    baseline: BaselineStatus | None = None


def is_judged(monitor: DriftMonitor, version: str, end: int) -> bool:
    """Whether the status already says what the window that ends at ``end`` (Unix ms) shows about ``version``."""
    status, ready = monitor.status, find(monitor.status.conditions, READY)
    return (
        ready is not None
        and ready.reason in {*JUDGED.values(), "InsufficientData", "NoTraffic", "NoMetrics"}
        and status.observed_generation == monitor.metadata.generation
        and status.version == version
        and status.window_end is not None
        and int(status.window_end.timestamp()) == end // 1000
    )


@dataclass(frozen=True)
class Decision:
    """The plan; where ``tell`` is set, the ``judgement`` is to be told in a report."""

    plan: Plan
    judgement: Judgement | None = None
    tell: bool = False


def decide(snapshot: Snapshot, now: datetime) -> Decision:
    """A status at each chunk's close, and what people ask for; nothing in between."""
    monitor = snapshot.monitor
    if monitor.metadata.deletion_timestamp:
        return Decision(Plan())
    version = snapshot.situation.version if snapshot.situation else monitor.status.version
    request = pending(monitor)
    if snapshot.problem:
        plan = _blocked(monitor, rebase(monitor.status, version, now), snapshot.problem, now)
        return _answered(Decision(plan), request, f"no window can be judged: {snapshot.problem.message}")
    wait = Geometry.of(monitor.spec).until_next(now.timestamp())
    if snapshot.evidence is None or snapshot.situation is None:
        return Decision(Plan(requeue=wait))
    if is_judged(monitor, version, snapshot.end):
        earlier = judge(monitor.spec, snapshot.evidence, version, monitor.status.signals)
        return _answered(Decision(Plan(status=monitor.status, requeue=wait), earlier), request, "")
    return _answered(_judged(snapshot, snapshot.situation, snapshot.evidence, now), request, "")


def _judged(snapshot: Snapshot, situation: Situation, evidence: Evidence, now: datetime) -> Decision:
    """Of the window that has just closed."""
    monitor, before, version = snapshot.monitor, snapshot.monitor.status, situation.version
    status = rebase(before, version, now)
    judgement = judge(monitor.spec, evidence, version, status.signals)
    status = follow(
        status, judgement, version,
        end=datetime.fromtimestamp(snapshot.end / 1000, UTC).replace(microsecond=0),
        length=_length(monitor, judgement), now=now,
    )  # fmt: skip
    status = status.model_copy(update={"baseline": snapshot.baseline})
    reaction = react(monitor.spec, status, situation, judgement.message, now)
    status = with_actions(status, reaction)
    spoken = _conditions(monitor, judgement, reaction, evidence, version)
    status = _with_conditions(monitor, status, spoken, now)
    plan = Plan(
        status=status,
        events=_events(before, status, judgement, reaction, spoken),
        requeue=Geometry.of(monitor.spec).until_next(now.timestamp()),
        outcomes={"verdict": judgement.verdict},
    )
    changed = (before.verdict, before.cause, before.version) != (status.verdict, status.cause, status.version)
    return Decision(plan, judgement, tell=changed or bool(reaction.actions or reaction.observed))


def _answered(decision: Decision, request: Request | None, refusal: str) -> Decision:
    """With the answer to ``request``."""
    if request is None or decision.plan.status is None:
        return decision
    plan = dataclasses.replace(
        decision.plan, status=decision.plan.status.model_copy(update={"handled_request": request.identity})
    )
    refusal = request.refusal or refusal
    if refusal:
        said = Event("Warning", "RequestRefused", f"request {request.identity} was refused: {refusal}")
        return dataclasses.replace(decision, plan=dataclasses.replace(plan, events=(*plan.events, said)))
    return dataclasses.replace(decision, plan=plan, tell=True)


def _length(monitor: DriftMonitor, judgement: Judgement) -> timedelta:
    """Of the window that shows the verdict."""
    window = monitor.spec.window
    return timedelta(seconds=seconds(window.fast if judgement.fast and window.fast else window.length))


def _blocked(monitor: DriftMonitor, status: MonitorStatus, problem: Problem, now: datetime) -> Plan:
    """The verdict stands; the condition says why there is no new one."""
    generation = monitor.metadata.generation
    old = find(monitor.status.conditions, READY)
    changed = old is None or old.reason != problem.reason
    conditions = condition(
        status.conditions, READY, "False", problem.reason, problem.message, generation=generation, now=now
    )
    return Plan(
        status=status.model_copy(update={"conditions": conditions, "observed_generation": generation}),
        events=(Event("Warning", problem.reason, problem.message),) if changed else (),
        requeue=problem.retry,
    )


Spoken = dict[str, tuple[str, str, str]]
"""(Status, reason, message) by condition; one without a message is not there."""


def _conditions(
    monitor: DriftMonitor, judgement: Judgement, reaction: Reaction, evidence: Evidence, version: str
) -> Spoken:
    truth = {"NoMetrics": "False", "InsufficientData": "Unknown"}.get(judgement.verdict, "True")
    waiting = f". No action yet: {reaction.waiting}" if reaction.waiting else ""
    suspect = SUSPECT_MESSAGE.format(version=version) if evidence.labels_suspect else ""
    human = reaction.human or ("", "")
    return {
        READY: (
            truth, JUDGED.get(judgement.verdict, judgement.verdict),
            f"{judgement.verdict}: {judgement.message}{waiting}",
        ),
        SUSPECT: ("True", "MoreThanPredicted", suspect),
        HUMAN: ("True", *human),
        SIGNALS: ("True", "OutOfBounds", _breached(judgement)),
        DISAGREES: ("True", "Stricter", reaction.disagreement),
    }  # fmt: skip


def _breached(judgement: Judgement) -> str:
    """Which signals are out of bounds."""
    return "; ".join(f"{described(each)}, for {each.consecutive} chunks" for each in judgement.signals if each.breached)


def _with_conditions(monitor: DriftMonitor, status: MonitorStatus, spoken: Spoken, now: datetime) -> MonitorStatus:
    generation, conditions = monitor.metadata.generation, status.conditions
    for type_, (truth, reason, message) in spoken.items():
        conditions = without(conditions, type_) if not message else condition(
            conditions, type_, truth, reason, message, generation=generation, now=now  # type: ignore[arg-type]
        )  # fmt: skip
    return status.model_copy(update={"conditions": conditions, "observed_generation": generation})


def _events(
    before: MonitorStatus, status: MonitorStatus, judgement: Judgement, reaction: Reaction, spoken: Spoken
) -> tuple[Event, ...]:
    events: list[Event] = []
    if before.verdict != status.verdict or before.version != status.version or before.cause != status.cause:
        calm = judgement.verdict in {"Healthy", "InsufficientData"}
        text = f"{status.version}: {judgement.message}"
        events.append(Event("Normal" if calm else "Warning", judgement.verdict, text))
    asked: list[tuple[Action, str, str]] = [(each, each.kind, "asked for") for each in reaction.actions]
    asked += [(each, f"Would{each.kind}", "would be asked for") for each in reaction.observed]
    events += [
        Event("Normal", reason, f"{said}, because of {action.version}: {action.reason}")
        for action, reason, said in asked
    ]
    events += [
        Event("Warning", type_, message)
        for type_, (_, _, message) in spoken.items()
        if type_ != READY and message and not is_true(before.conditions, type_)
    ]
    return tuple(events)
