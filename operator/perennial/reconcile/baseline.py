"""What a monitor's windows are compared with, from the store, or learnt from Prometheus and kept in a ConfigMap."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from perennial.adapters.prometheus import Prometheus
from perennial.adapters.store import StoreUnavailable
from perennial.api.common import API_VERSION
from perennial.api.deployment import Revision
from perennial.api.drift import DriftMonitor, Performance
from perennial.api.verdict import BaselineStatus
from perennial.api.version import ModelVersion
from perennial.contracts.baseline import Baseline
from perennial.contracts.names import FILE_BASELINE, FILE_SIGNATURE
from perennial.contracts.objects import DigestMismatch
from perennial.contracts.request import Artifact
from perennial.contracts.signature import Signature
from perennial.domain.drift.learning import Learnt, Lesson, configmap_name, kept, learn, lesson
from perennial.domain.drift.monitor import Blocked
from perennial.domain.drift.performance import JUDGED, Held, doubt_of, metric_of
from perennial.domain.drift.queries import Family, Subject
from perennial.domain.drift.reference import Reference, prepare
from perennial.domain.drift.window import Chunk, Layout, read_chunks
from perennial.reconcile.controller import Context
from perennial.reconcile.counters import Span, ask

AGAIN = 15.0
"""Seconds after which a store or a Prometheus that was away is asked again."""
REFERENCES_KEPT = 2000

T = TypeVar("T", Baseline, Signature)


@dataclass(frozen=True)
class Known:
    """What windows are compared with, how the status says it, and what has been learnt and is to be kept."""

    reference: Reference
    status: BaselineStatus
    learning: str = ""
    learnt: tuple[Lesson, Learnt] | None = None
    kept: bool = False


class Baselines:
    """Prepared references by monitor; what they are made of is read again where it is another."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[object, ...], Known]] = {}

    async def of(
        self, context: Context, monitor: DriftMonitor, version: ModelVersion, stable: Revision, end: int
    ) -> Known:
        """For the serving ``version``. Raises Blocked, PrometheusUnavailable and QueryRejected."""
        pinned = await _pinned(context, monitor)
        about = (monitor.metadata.generation, version.metadata.name, _digest(version), _digest(pinned), stable.since)
        known = self._known.get(monitor.metadata.uid)
        if known is None or known[0] != about or known[1].learning or (known[1].learnt and not known[1].kept):
            known = about, await self._read(context, monitor, (version, pinned), stable, end)
            if len(self._known) >= REFERENCES_KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[monitor.metadata.uid] = known
        return known[1]

    async def _read(
        self, context: Context, monitor: DriftMonitor, versions: tuple[ModelVersion, ModelVersion | None],
        stable: Revision, end: int,
    ) -> Known:  # fmt: skip
        version, pinned = versions
        spec, source = monitor.spec, monitor.spec.baseline.source
        baseline = await read_baseline(context, version)
        held = await _held(context, monitor, version, baseline)
        if source == "Serving":
            lesson_ = lesson(monitor, version.metadata.name, stable.since, end)
            learnt, is_kept = await _learn(context, monitor, prepare(spec, baseline).layout, lesson_)
            if learnt.missing:
                return Known(prepare(spec, baseline, held), learnt.status(lesson_), learnt.message(lesson_))
            reference = prepare(spec, baseline, held, learnt=learnt.counts, learnt_seconds=lesson_.step / 1000)
            return Known(reference, learnt.status(lesson_), learnt=(lesson_, learnt), kept=is_kept)
        other = await read_baseline(context, pinned) if pinned is not None else None
        named = pinned.metadata.name if pinned is not None else version.metadata.name
        return Known(prepare(spec, baseline, held, pinned=other), BaselineStatus(source=source, version=named))


async def read_baseline(context: Context, version: ModelVersion) -> Baseline:
    """The version's own. Raises Blocked."""
    return await _artifact(context, version, FILE_BASELINE, Baseline)


async def _artifact(context: Context, version: ModelVersion, file: str, type_: type[T]) -> T:
    name, record = version.metadata.name, version.spec.record.artifacts.get(file)
    if record is None:
        raise Blocked("NoBaseline", f"ModelVersion {name} records no {file}: retrain to get one")
    try:
        artifact = Artifact(record.uri, record.sha256, record.size)
        return msgspec.json.decode(await context.store.read(version.metadata.namespace, artifact), type=type_)
    except StoreUnavailable as error:
        raise Blocked("StoreUnavailable", f"{file} of {name} cannot be read: {error}", AGAIN) from error
    except (FileNotFoundError, DigestMismatch, msgspec.MsgspecError) as error:
        raise Blocked("BaselineUnreadable", f"{file} of {name} is not what was recorded: {error}", 300.0) from error


async def _pinned(context: Context, monitor: DriftMonitor) -> ModelVersion | None:
    name = monitor.spec.baseline.version
    if name is None:
        return None
    found = await context.api.get(API_VERSION, ModelVersion.KIND, monitor.metadata.namespace, name)
    if found is None:
        raise Blocked("BaselineMissing", f"baseline.version: there is no ModelVersion {name} in this namespace")
    return ModelVersion.parse(found)


def _digest(version: ModelVersion | None) -> str:
    record = version.spec.record.artifacts.get(FILE_BASELINE) if version else None
    return record.sha256 if record else ""


async def _held(context: Context, monitor: DriftMonitor, version: ModelVersion, baseline: Baseline) -> Held | None:
    wanted = monitor.spec.performance
    if wanted is None:
        return None
    signature = await _artifact(context, version, FILE_SIGNATURE, Signature)
    if unfit := _unfit(wanted, version.metadata.name, signature, baseline):
        raise Blocked("MetricUnsupported", unfit)
    metric, record = metric_of(wanted, signature.task), version.spec.record
    return Held(
        figure=record.metrics.get(metric),
        classes=signature.classes,
        positive=signature.classes[signature.positive] if signature.classes else "",
        confusion=baseline.confusion,
        task=signature.task,
        doubt=doubt_of(metric, record.metrics, record.data.test_rows),
    )


def _unfit(wanted: Performance, name: str, signature: Signature, baseline: Baseline) -> str:
    """Why what the monitor wants cannot be told of the version ``name``, and what to do; empty where it can."""
    metric, known = metric_of(wanted, signature.task), JUDGED[signature.task]
    if metric not in known:
        what = f"predicts a number, {signature.target}" if signature.task == "Regression" else "predicts classes"
        return (
            f"performance.metric: {metric} does not fit {name}, which {what}: take {' or '.join(known)}, or leave it "
            "out (and maxDrop, which an error has as a share of the held-out one)"
        )
    if signature.task == "Regression":
        if wanted.source == "Estimated" and not baseline.losses:
            return (
                f"performance.source: the baseline of {name} does not say which errors to expect: take Labels, or "
                "retrain to get one that does"
            )
    elif len(signature.classes) != 2 and (metric != "accuracy" or wanted.source == "Estimated"):
        problem = "source Estimated" if metric == "accuracy" else f"metric {metric}"
        return (
            f"performance: {problem} is for two classes, {name} has {len(signature.classes)}: "
            "take metric accuracy with source Labels"
        )
    return ""


async def _learn(context: Context, monitor: DriftMonitor, layout: Layout, wanted: Lesson) -> tuple[Learnt, bool]:
    """From the ConfigMap where this is kept (True), otherwise from Prometheus."""
    name = configmap_name(monitor.metadata.name)
    raw = await context.api.get("v1", "ConfigMap", monitor.metadata.namespace, name)
    if raw is not None and (found := kept(raw, wanted, layout)) is not None:
        return found, True
    subject = f"{monitor.metadata.namespace}/{monitor.spec.deployment}", wanted.version
    return learn(layout, wanted, await _windows(context.prometheus, subject, layout, wanted)), False


async def _windows(prometheus: Prometheus, subject: Subject, layout: Layout, wanted: Lesson) -> Mapping[int, Chunk]:
    if wanted.end <= wanted.first:
        return {}
    families = (Family.FEATURES, Family.BINS, Family.JOINT, Family.PREDICTED)
    answer = await ask(prometheus, (subject,), Span(wanted.step, wanted.first, wanted.end), families)
    starts = range(wanted.first, wanted.end, wanted.step)
    return read_chunks(layout, starts, wanted.step, answer.get(subject, ()))
