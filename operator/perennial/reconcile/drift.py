"""DriftMonitor: reads what a verdict depends on; closed chunks are asked of Prometheus once and remembered."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from perennial.adapters.prometheus import Prometheus, PrometheusUnavailable, QueryRejected, Series
from perennial.adapters.store import StoreUnavailable
from perennial.api.common import API_VERSION, seconds
from perennial.api.deployment import ModelDeployment, Revision
from perennial.api.drift import DriftMonitor
from perennial.api.training import ModelTraining
from perennial.api.version import ModelVersion
from perennial.contracts.baseline import Baseline
from perennial.contracts.names import FILE_BASELINE, model_file
from perennial.contracts.objects import DigestMismatch
from perennial.contracts.request import Artifact
from perennial.domain.drift.monitor import Problem, Snapshot, decide, is_judged
from perennial.domain.drift.performance import suspect
from perennial.domain.drift.policy import Situation, answering_run, is_rolling_out, last_retrain, retraining
from perennial.domain.drift.verdict import Evidence
from perennial.domain.drift.window import (
    Chunk,
    Geometry,
    Layout,
    lifetime_queries,
    queries,
    read_chunks,
    too_short,
)
from perennial.domain.plan import Plan
from perennial.reconcile.controller import Context

CHUNKS_KEPT = 10_000
AGAIN = 15.0
"""Seconds after which a store or a Prometheus that was away is asked again."""


class Blocked(Exception):
    """Nothing can be judged now; carries the :class:`Problem`."""

    def __init__(self, reason: str, message: str, retry: float | None = None) -> None:
        super().__init__(message)
        self.problem = Problem(reason, message, retry)


@dataclass
class _Memory:
    """Closed chunks of one monitor by start; ``about`` is what they were counted for."""

    about: tuple[str, int, tuple[str, ...]]
    chunks: dict[int, Chunk] = field(default_factory=dict)


class ChunkCache:
    """Closed chunks by monitor; those least lately used go first when there are too many in all."""

    def __init__(self, limit: int = CHUNKS_KEPT) -> None:
        self._limit = limit
        self._memories: OrderedDict[str, _Memory] = OrderedDict()

    def of(self, uid: str, version: str, step: int, features: tuple[str, ...]) -> dict[int, Chunk]:
        """What is remembered of the monitor ``uid``, to be added to; empty for another version, step or features."""
        about = (version, step, features)
        memory = self._memories.get(uid)
        if memory is None or memory.about != about:
            memory = self._memories[uid] = _Memory(about)
        self._memories.move_to_end(uid)
        return memory.chunks

    def trim(self) -> None:
        """Keeps within the limit."""
        held = sum(len(memory.chunks) for memory in self._memories.values())
        while held > self._limit and len(self._memories) > 1:
            _, oldest = self._memories.popitem(last=False)
            held -= len(oldest.chunks)


class MonitorController:
    """One monitor of one ModelDeployment."""

    kind = DriftMonitor

    def __init__(self) -> None:
        self._cache = ChunkCache()

    async def gather(self, context: Context, raw: dict[str, Any], now: datetime) -> Snapshot:
        """The version in service, its baseline and counts; no more than the versions where the window is judged."""
        monitor = DriftMonitor.parse(raw)
        if monitor.metadata.deletion_timestamp:
            return Snapshot(monitor)
        situation: Situation | None = None
        try:
            end = _geometry(monitor).last_close(now.timestamp())
            deployment, stable, version = await self._served(context, monitor)
            if is_judged(monitor, stable.version, end):
                situation = _situation(monitor, deployment, stable, version, "")
                return Snapshot(monitor, end, situation=situation)
            expected = await self._retraining(context, monitor, stable.version)
            situation = _situation(monitor, deployment, stable, version, expected)
            evidence = await self._evidence(context, monitor, version, stable, end)
        except Blocked as blocked:
            return Snapshot(monitor, problem=blocked.problem, situation=situation)
        return Snapshot(monitor, end, situation=situation, evidence=evidence)

    def decide(self, snapshot: Snapshot, now: datetime) -> Plan:
        """The verdict on the window that has just closed, and what follows from it."""
        return decide(snapshot, now)

    async def _served(self, context: Context, monitor: DriftMonitor) -> tuple[ModelDeployment, Revision, ModelVersion]:
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

    async def _retraining(self, context: Context, monitor: DriftMonitor, version: str) -> str:
        """What is still to be expected of the last Retrain; asks for nothing where none was."""
        action = last_retrain(monitor.status, version)
        if action is None or monitor.spec.training is None:
            return ""
        namespace = monitor.metadata.namespace
        raw = await context.api.get(API_VERSION, ModelTraining.KIND, namespace, monitor.spec.training)
        training = ModelTraining.parse(raw) if raw else None
        run = answering_run(action, training) if training else None
        made = None
        if run and run.version:
            found = await context.api.get(API_VERSION, ModelVersion.KIND, namespace, run.version)
            made = ModelVersion.parse(found) if found else None
        return retraining(action, training, made, monitor.spec.deployment)

    async def _evidence(
        self, context: Context, monitor: DriftMonitor, version: ModelVersion, stable: Revision, end: int
    ) -> Evidence:
        baseline = await _baseline(context, version)
        excluded = set(monitor.spec.inputs.exclude)
        layout = Layout.of(feature for feature in baseline.features if feature.name not in excluded)
        try:
            chunks, series = await self._chunks(context.prometheus, monitor, stable, layout, end)
            doubtful = await _suspect(context.prometheus, monitor, version, chunks, end)
        except PrometheusUnavailable as error:
            raise Blocked("PrometheusUnavailable", f"no verdict without counters: {error}", AGAIN) from error
        except QueryRejected as error:
            raise Blocked("QueryRejected", f"Prometheus refuses the monitor's query: {error}", 4 * AGAIN) from error
        reference = (
            version.spec.record.metrics.get(monitor.spec.performance.metric) if monitor.spec.performance else None
        )
        return Evidence(layout, chunks, series, reference, doubtful)

    async def _chunks(
        self, prometheus: Prometheus, monitor: DriftMonitor, stable: Revision, layout: Layout, end: int
    ) -> tuple[tuple[Chunk, ...], bool]:
        """The window's closed chunks, and whether Prometheus knows the version's series. Asks from the first chunk
        that is not remembered; one without predictions is not, for it may be late.
        """
        step = Geometry.of(monitor.spec).step
        since = stable.since.timestamp() if stable.since else 0.0
        starts = Geometry.of(monitor.spec).starts(end, since)
        names = tuple(feature.name for feature in layout.features)
        known = self._cache.of(monitor.metadata.uid, stable.version, step, names)
        for start in set(known) - set(starts):
            del known[start]
        unknown = [start for start in starts if start not in known]
        if not unknown:
            return tuple(known[start] for start in starts), bool(starts)
        wanted = [start for start in starts if start >= unknown[0]]
        answers = await _ask(prometheus, monitor, stable.version, step, (wanted[0] + step, end))
        fresh = read_chunks(layout, wanted, step, *answers)
        series = bool(known) or bool(answers[0])
        known.update({start: chunk for start, chunk in fresh.items() if chunk.predictions > 0})
        self._cache.trim()
        return tuple(known[start] if start in known else fresh[start] for start in starts), series


def _geometry(monitor: DriftMonitor) -> Geometry:
    if short := too_short(monitor.spec):
        raise Blocked("WindowTooShort", short)
    return Geometry.of(monitor.spec)


def _situation(
    monitor: DriftMonitor, deployment: ModelDeployment, stable: Revision, version: ModelVersion, expected: str
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
        retraining=expected,
    )


async def _baseline(context: Context, version: ModelVersion) -> Baseline:
    name, record = version.metadata.name, version.spec.record.artifacts.get(FILE_BASELINE)
    if record is None:
        raise Blocked("NoBaseline", f"ModelVersion {name} records no {FILE_BASELINE}: retrain to get one")
    try:
        artifact = Artifact(record.uri, record.sha256, record.size)
        return msgspec.json.decode(await context.store.read(version.metadata.namespace, artifact), type=Baseline)
    except StoreUnavailable as error:
        raise Blocked("StoreUnavailable", f"the baseline of {name} cannot be read: {error}", AGAIN) from error
    except (FileNotFoundError, DigestMismatch, msgspec.MsgspecError) as error:
        raise Blocked(
            "BaselineUnreadable", f"the baseline of {name} is not what was recorded: {error}", 300.0
        ) from error


async def _ask(
    prometheus: Prometheus, monitor: DriftMonitor, version: str, step: int, ends: tuple[int, int]
) -> tuple[list[Series], list[Series], list[Series]]:
    """Features, predictions and feedback by chunk; ``ends`` are the first and the last chunk's ends (Unix ms)."""
    asked = queries(f"{monitor.metadata.namespace}/{monitor.spec.deployment}", version, step)
    first, last, seconds_each = ends[0] / 1000, ends[1] / 1000, step / 1000

    async def answer(query: str) -> list[Series]:
        return await prometheus.query_range(query, first, last, seconds_each)

    async def nothing() -> list[Series]:
        return []

    labels = answer(asked.feedback) if monitor.spec.performance else nothing()
    return await asyncio.gather(answer(asked.features), answer(asked.predictions), labels)


async def _suspect(
    prometheus: Prometheus, monitor: DriftMonitor, version: ModelVersion, chunks: Sequence[Chunk], end: int
) -> bool:
    """Whether there is too much feedback; asked only where there are labels to judge by."""
    labels = sum(sum(chunk.feedback.values()) for chunk in chunks)
    if monitor.spec.performance is None or labels < monitor.spec.performance.min_labels:
        return False
    deployment = f"{monitor.metadata.namespace}/{monitor.spec.deployment}"
    life = end / 1000 - version.spec.record.created.timestamp()
    asked = lifetime_queries(deployment, version.metadata.name, life)
    predictions, feedback = await asyncio.gather(*(prometheus.query(query, end / 1000) for query in asked))
    return suspect(_total(predictions), _total(feedback))


def _total(answer: list[Series]) -> float:
    return sum(value for series in answer for _, value in series.points)
