"""A monitor's decision: the verdict on the window that has just closed, and what follows from it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from perennial.api.common import seconds
from perennial.api.drift import DriftMonitor
from perennial.api.verdict import MonitorStatus
from perennial.domain.conditions import condition, find, is_true, without
from perennial.domain.drift.policy import Reaction, Situation, react, with_actions
from perennial.domain.drift.verdict import Evidence, Judgement, follow, judge, rebase
from perennial.domain.drift.window import Geometry
from perennial.domain.plan import Event, Plan

READY, SUSPECT, HUMAN = "Ready", "LabelsSuspect", "HumanNeeded"
JUDGED = {"Healthy": "Judged", "Drifting": "Judged", "PerformanceLoss": "Judged"}
"""The reason of Ready by verdict; the other verdicts are their own reason."""
SUSPECT_MESSAGE = (
    "{version} has had more feedback than predictions: tokens are being replayed, so labels are not judged; rotate the "
    "feedback key and look at who sends feedback"
)


@dataclass(frozen=True)
class Problem:
    """Why no window can be judged now; asked again after ``retry`` seconds. The verdict stands as it is."""

    reason: str
    message: str
    retry: float | None = None


@dataclass(frozen=True)
class Snapshot:
    """``situation`` is None while nothing serves; ``evidence`` is None with a problem, or when the window that ends at
    ``end`` (Unix ms) has been judged.
    """

    monitor: DriftMonitor
    end: int = 0
    problem: Problem | None = None
    situation: Situation | None = None
    evidence: Evidence | None = None


def is_judged(monitor: DriftMonitor, version: str, end: int) -> bool:
    """Whether the status already says what the window that ends at ``end`` (Unix ms) shows about ``version``."""
    status, ready = monitor.status, find(monitor.status.conditions, READY)
    return (
        ready is not None
        and ready.reason in {*JUDGED.values(), "InsufficientData", "NoMetrics"}
        and status.observed_generation == monitor.metadata.generation
        and status.version == version
        and status.window_end is not None
        and int(status.window_end.timestamp()) == end // 1000
    )


def decide(snapshot: Snapshot, now: datetime) -> Plan:
    """The plan: a status at each chunk's close, nothing in between."""
    monitor = snapshot.monitor
    if monitor.metadata.deletion_timestamp:
        return Plan()
    before, version = monitor.status, snapshot.situation.version if snapshot.situation else monitor.status.version
    status = rebase(before, version, now)
    if snapshot.problem:
        return _blocked(monitor, status, snapshot.problem, now)
    wait = Geometry.of(monitor.spec).until_next(now.timestamp())
    if snapshot.evidence is None or snapshot.situation is None:
        return Plan(requeue=wait)
    judgement = judge(monitor.spec, snapshot.evidence, version)
    status = follow(
        status, judgement, version,
        end=datetime.fromtimestamp(snapshot.end / 1000, UTC).replace(microsecond=0),
        length=timedelta(seconds=seconds(monitor.spec.window.length)), now=now,
    )  # fmt: skip
    reaction = react(monitor.spec.policy, status, snapshot.situation, judgement.message, now)
    status = with_actions(status, reaction.actions)
    suspect = SUSPECT_MESSAGE.format(version=version) if snapshot.evidence.labels_suspect else ""
    status = _conditions(monitor, status, judgement, reaction, suspect, now)
    return Plan(
        status=status,
        events=_events(before, status, judgement, reaction, suspect),
        requeue=wait,
        outcomes={"verdict": judgement.verdict},
    )


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


def _conditions(
    monitor: DriftMonitor, status: MonitorStatus, judgement: Judgement, reaction: Reaction, suspect: str, now: datetime
) -> MonitorStatus:
    generation = monitor.metadata.generation
    truth = {"NoMetrics": "False", "InsufficientData": "Unknown"}.get(judgement.verdict, "True")
    waiting = f". No action yet: {reaction.waiting}" if reaction.waiting else ""
    conditions = condition(
        status.conditions, READY, truth, JUDGED.get(judgement.verdict, judgement.verdict),  # type: ignore[arg-type]
        f"{judgement.verdict}: {judgement.message}{waiting}", generation=generation, now=now,
    )  # fmt: skip
    for type_, reason, message in ((SUSPECT, "MoreThanPredicted", suspect), (HUMAN, "BudgetSpent", reaction.exhausted)):
        conditions = without(conditions, type_) if not message else condition(
            conditions, type_, "True", reason, message, generation=generation, now=now
        )  # fmt: skip
    return status.model_copy(update={"conditions": conditions, "observed_generation": generation})


def _events(
    before: MonitorStatus, status: MonitorStatus, judgement: Judgement, reaction: Reaction, suspect: str
) -> tuple[Event, ...]:
    events: list[Event] = []
    if before.verdict != status.verdict or before.version != status.version:
        calm = judgement.verdict in {"Healthy", "InsufficientData"}
        text = f"{status.version}: {judgement.message}"
        events.append(Event("Normal" if calm else "Warning", judgement.verdict, text))
    events += [
        Event("Normal", action.kind, f"asked for, because of {action.version}: {action.reason}")
        for action in reaction.actions
    ]
    for type_, message in ((SUSPECT, suspect), (HUMAN, reaction.exhausted)):
        if message and not is_true(before.conditions, type_):
            events.append(Event("Warning", type_, message))
    return tuple(events)
