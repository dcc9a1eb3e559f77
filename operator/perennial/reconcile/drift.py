"""DriftMonitor: reads what a verdict depends on, and says what is to be written about it."""

import asyncio
import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from perennial.adapters.prometheus import Prometheus, PrometheusUnavailable, QueryRejected, Series
from perennial.api.common import API_VERSION, seconds
from perennial.api.deployment import ModelDeployment, Revision
from perennial.api.drift import DriftMonitor
from perennial.api.training import ModelTraining
from perennial.api.verdict import MonitorStatus, PerformanceEvidence
from perennial.api.version import ModelVersion
from perennial.contracts.names import model_file
from perennial.domain.analysis.queries import filled
from perennial.domain.drift.evidence import Evidence
from perennial.domain.drift.maintenance import problem as maintenance_problem
from perennial.domain.drift.monitor import Blocked, Snapshot, decide, is_judged
from perennial.domain.drift.performance import Held, judge_labels, suspect
from perennial.domain.drift.policy import (
    Sibling,
    Situation,
    answering_run,
    is_rolling_out,
    kept_out,
    last_retrain,
    retraining,
)
from perennial.domain.drift.queries import Subject, lifetime_queries, usage_queries
from perennial.domain.drift.request import pending
from perennial.domain.drift.signals import Answers
from perennial.domain.drift.telling import tell
from perennial.domain.drift.window import Chunk, Geometry, Layout, read_chunks, too_short
from perennial.domain.plan import Apply, Plan
from perennial.reconcile.baseline import AGAIN, Baselines, Known
from perennial.reconcile.controller import Context
from perennial.reconcile.counters import CounterReader, Span, ask
from perennial.render import report
from perennial.render.monitor import learnt_configmap


class MonitorController:
    """One monitor of one ModelDeployment."""

    kind = DriftMonitor

    def __init__(self) -> None:
        self._counters = CounterReader()
        self._baselines = Baselines()
        self._seen: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    async def gather(self, context: Context, raw: dict[str, Any], now: datetime) -> "Gathered":
        """The version in service, its baseline and counts; no more than the versions where the window is judged."""
        monitor = DriftMonitor.parse(raw)
        watched = self._seen[monitor.metadata.namespace, monitor.spec.deployment]
        if monitor.metadata.deletion_timestamp:
            watched.discard(monitor.metadata.name)
            return Gathered(Snapshot(monitor))
        watched.add(monitor.metadata.name)
        situation: Situation | None = None
        try:
            end = _geometry(monitor).last_close(now.timestamp())
            deployment, stable, version = await _served(context, monitor)
            situation = _situation(monitor, deployment, stable, version)
            if is_judged(monitor, stable.version, end) and pending(monitor) is None:
                return Gathered(Snapshot(monitor, end, situation=situation))
            situation = await self._whole(context, monitor, situation, watched)
            known, evidence = await self._evidence(context, monitor, version, stable, end)
            about = situation, known.reference.held
            situation = await _with_predecessor(context, monitor, deployment, about, evidence, end)
        except Blocked as blocked:
            return Gathered(Snapshot(monitor, problem=blocked.problem, situation=situation))
        snapshot = Snapshot(monitor, end, situation=situation, evidence=evidence, baseline=known.status)
        return Gathered(snapshot, known)

    def decide(self, gathered: "Gathered", now: datetime) -> Plan:
        """The verdict on the window that has just closed, and what follows from it."""
        snapshot = gathered.snapshot
        decision = decide(snapshot, now)
        steps = [*decision.plan.steps, *_kept(gathered)]
        status = decision.plan.status
        if decision.tell and decision.judgement and snapshot.evidence and isinstance(status, MonitorStatus):
            story = tell(snapshot.monitor, status, decision.judgement, snapshot.evidence, now)
            page = report.manifest(snapshot.monitor, report.render(story), status.handled_request)
            steps.append(Apply(page, apart="report"))
        return dataclasses.replace(decision.plan, steps=tuple(steps))

    async def _whole(
        self, context: Context, monitor: DriftMonitor, situation: Situation, watched: set[str]
    ) -> Situation:
        """``situation`` with what became of the last Retrain, and with the deployment's other monitors."""
        siblings = await _siblings(context, monitor, watched)
        action = last_retrain(monitor.status)
        if action is None or monitor.spec.training is None:
            return dataclasses.replace(situation, siblings=siblings)
        namespace = monitor.metadata.namespace
        raw = await context.api.get(API_VERSION, ModelTraining.KIND, namespace, monitor.spec.training)
        training = ModelTraining.parse(raw) if raw else None
        run = answering_run(action, training) if training else None
        made = None
        if run and run.version:
            found = await context.api.get(API_VERSION, ModelVersion.KIND, namespace, run.version)
            made = ModelVersion.parse(found) if found else None
        return dataclasses.replace(
            situation,
            siblings=siblings,
            retraining=retraining(action, training, made, monitor.spec.deployment, situation.version),
            made=run.version if run else "",
            rejected=made is not None and (made.spec.approval == "Rejected" or kept_out(made, monitor.spec.deployment)),
            training_changed=_changed_since(action, training),
        )

    async def _evidence(
        self, context: Context, monitor: DriftMonitor, version: ModelVersion, stable: Revision, end: int
    ) -> tuple[Known, Evidence]:
        geometry, subject = Geometry.of(monitor.spec), _subject(monitor, stable.version)
        starts = geometry.starts(end, stable.since.timestamp() if stable.since else 0.0)
        prometheus = context.prometheus
        try:
            known = await self._baselines.of(context, monitor, version, stable, end)
            layout = known.reference.layout
            chunks = await self._counters.chunks(
                prometheus, monitor.metadata.uid, subject, layout, geometry.step, starts
            )
            doubtful = await _suspect(prometheus, monitor, subject, version, chunks, end)
            answers = await _signals(prometheus, monitor, subject, geometry.step, end)
        except PrometheusUnavailable as error:
            raise Blocked("PrometheusUnavailable", f"no verdict without counters: {error}", AGAIN) from error
        except QueryRejected as error:
            raise Blocked("QueryRejected", f"Prometheus refuses the monitor's query: {error}", 4 * AGAIN) from error
        return known, Evidence(known.reference, chunks, doubtful, answers, known.learning)


def _kept(gathered: "Gathered") -> list[Apply]:
    """What was learnt and is not kept yet."""
    known = gathered.known
    if known is None or known.learnt is None or known.kept:
        return []
    return [Apply(learnt_configmap(gathered.snapshot.monitor, *known.learnt, known.reference.layout), apart="baseline")]


@dataclasses.dataclass(frozen=True)
class Gathered:
    """What is decided on, and what of it is to be kept."""

    snapshot: Snapshot
    known: Known | None = None


def _geometry(monitor: DriftMonitor) -> Geometry:
    if short := too_short(monitor.spec):
        raise Blocked("WindowTooShort", short)
    if wrong := maintenance_problem(monitor.spec):
        raise Blocked("InvalidSpec", wrong)
    return Geometry.of(monitor.spec)


def _subject(monitor: DriftMonitor, version: str) -> Subject:
    return f"{monitor.metadata.namespace}/{monitor.spec.deployment}", version


async def _served(context: Context, monitor: DriftMonitor) -> tuple[ModelDeployment, Revision, ModelVersion]:
    namespace, name = monitor.metadata.namespace, monitor.spec.deployment
    raw = await context.api.get(API_VERSION, ModelDeployment.KIND, namespace, name)
    if raw is None:
        raise Blocked("DeploymentMissing", f"there is no ModelDeployment {name} in this namespace")
    deployment = ModelDeployment.parse(raw)
    stable = deployment.status.stable
    if stable is None:
        raise Blocked("NothingServes", f"no version of ModelDeployment {name} serves yet")
    found = await context.api.get(API_VERSION, ModelVersion.KIND, namespace, stable.version)
    if found is None:
        raise Blocked("VersionMissing", f"ModelVersion {stable.version} serves but does not exist", AGAIN)
    return deployment, stable, ModelVersion.parse(found)


def _situation(
    monitor: DriftMonitor, deployment: ModelDeployment, stable: Revision, version: ModelVersion
) -> Situation:
    artifacts = version.spec.record.artifacts
    model = artifacts.get(model_file(artifacts))
    return Situation(
        uid=monitor.metadata.uid,
        version=stable.version,
        digest=model.sha256 if model else "",
        stable_since=stable.since,
        rolling_out=is_rolling_out(deployment.status),
        window=timedelta(seconds=seconds(monitor.spec.window.length)),
    )


async def _siblings(context: Context, monitor: DriftMonitor, watched: set[str]) -> tuple[Sibling, ...]:
    """The other monitors of the deployment, as far as this process has seen any since it began: it sees all at once."""
    found = []
    for name in sorted(watched - {monitor.metadata.name}):
        raw = await context.api.get(API_VERSION, DriftMonitor.KIND, monitor.metadata.namespace, name)
        if raw is None:
            watched.discard(name)
            continue
        other = DriftMonitor.parse(raw)
        current = other.status.version in {"", monitor.status.version}
        found.append(Sibling(name, other.status.verdict if current else None, tuple(other.status.actions)))
    return tuple(found)


async def _with_predecessor(
    context: Context, monitor: DriftMonitor, deployment: ModelDeployment,
    known: tuple[Situation, Held | None], evidence: Evidence, end: int,
) -> Situation:  # fmt: skip
    """With how good the version before was at the same age; asked only where a loss is to be decided by it."""
    situation, held = known
    wanted, stable = monitor.spec.performance, deployment.status.stable
    if monitor.spec.policy.on_performance_loss != "Auto" or wanted is None or held is None or held.figure is None:
        return situation
    if evidence.labels_suspect or not judge_labels(evidence.chunks, held, wanted).loss:
        return situation
    before = next((each for each in deployment.status.history if stable and each.version != stable.version), None)
    if before is None or before.since is None or stable is None or stable.since is None:
        return situation
    measured = await _at_age(context.prometheus, monitor, before, held, end / 1000 - stable.since.timestamp())
    return dataclasses.replace(situation, predecessor=measured)


async def _at_age(
    prometheus: Prometheus, monitor: DriftMonitor, before: Revision, held: Held, age: float
) -> PerformanceEvidence | None:
    assert monitor.spec.performance is not None  # noqa: S101 - the caller has looked
    assert before.since is not None  # noqa: S101
    at = before.since.timestamp() + age
    if before.until is not None:
        at = min(at, before.until.timestamp())
    span = int(min(seconds(monitor.spec.window.length), at - before.since.timestamp()) * 1000)
    subject, step = _subject(monitor, before.version), max(1, min(Geometry.of(monitor.spec).step, span))
    asked = Span(step, round(at * 1000) - span // step * step, round(at * 1000))
    try:
        answer = await ask(prometheus, [subject], asked)
    except (PrometheusUnavailable, QueryRejected):
        return None
    chunks = list(
        read_chunks(Layout.of(()), range(asked.first, asked.end, step), step, answer.get(subject, ())).values()
    )
    # What predicted classes says nothing of a Regression, nor the other way round.
    if any(chunk.errors for chunk in chunks) != (held.task == "Regression"):
        return None
    found = judge_labels(chunks, held, monitor.spec.performance)
    return found if found.value is not None else None


async def _suspect(
    prometheus: Prometheus, monitor: DriftMonitor, subject: Subject, version: ModelVersion,
    chunks: Sequence[Chunk], end: int,
) -> bool:  # fmt: skip
    """Whether there is more feedback than predictions. Over the version's life, for labels come late; asked only where
    the window has more of them: where no window has, the life has not.
    """
    labels = sum(chunk.labels for chunk in chunks)
    if monitor.spec.performance is None or not suspect(sum(chunk.predictions for chunk in chunks), labels):
        return False
    life = end / 1000 - version.spec.record.created.timestamp()
    asked = lifetime_queries(subject, life)
    predictions, feedback = await asyncio.gather(*(prometheus.query(query, end / 1000) for query in asked))
    return suspect(_total(predictions), _total(feedback))


async def _signals(prometheus: Prometheus, monitor: DriftMonitor, subject: Subject, step: int, end: int) -> Answers:
    """The figures that are no part of what is counted by chunk."""
    usage = usage_queries(subject, step)
    values = {
        "deployment": subject[0], "version": subject[1], "namespace": monitor.metadata.namespace,
        "name": monitor.spec.deployment, "interval": f"{step}ms",
    }  # fmt: skip
    asked = {
        each.name: usage[each.builtin] if each.builtin in usage else filled(each.query or "", values)
        for each in monitor.spec.signals
        if each.query is not None or each.builtin in usage
    }
    answers = await asyncio.gather(*(_one(prometheus, query, end / 1000) for query in asked.values()))
    return dict(zip(asked, answers, strict=True))


async def _one(prometheus: Prometheus, query: str, at: float) -> float | str:
    """The one value of ``query``, or why there is none. Raises PrometheusUnavailable."""
    try:
        found = await prometheus.query(query, at)
    except QueryRejected as error:
        return f"Prometheus refuses the query: {error}"
    if len(found) != 1 or not found[0].points:
        return f"the query gives {len(found)} series; one is needed" if found else "the query gives nothing"
    value = found[0].points[-1][1]
    return value if value == value else "the query gives no number (NaN)"  # noqa: PLR0124


def _changed_since(action: Any, training: ModelTraining | None) -> bool:
    """Whether a run for another spec was begun since ``action``."""
    runs = training.status.runs if training else []
    return any(run.trigger.type == "Spec" and run.started_at > action.since for run in runs)


def _total(answer: list[Series]) -> float:
    return sum(value for series in answer for _, value in series.points)
