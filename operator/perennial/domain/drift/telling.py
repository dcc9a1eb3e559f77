"""What a report tells of a window: each distribution then and now, and how things went from chunk to chunk."""

from datetime import UTC, datetime, timedelta

import numpy as np

from perennial.api.drift import DriftMonitor
from perennial.api.verdict import MonitorStatus
from perennial.contracts.baseline import Distribution
from perennial.domain.drift.bins import Array, group
from perennial.domain.drift.evidence import Evidence, distributions
from perennial.domain.drift.performance import (
    ERRORS,
    Held,
    Interval,
    Parts,
    error_of,
    expected,
    expected_errors,
    figure,
    labelled_errors,
    metric_of,
)
from perennial.domain.drift.queries import Family
from perennial.domain.drift.statistics import stability_index
from perennial.domain.drift.story import FeatureStory, Point, Story
from perennial.domain.drift.verdict import Judgement
from perennial.domain.drift.window import Chunk, Geometry

LEAST_ROWS = 20
"""Fewer in a chunk are no point of a curve."""


def tell(
    monitor: DriftMonitor, status: MonitorStatus, judgement: Judgement, evidence: Evidence, now: datetime
) -> Story:
    """The story of the window that ``judgement`` is about; ``status`` is the monitor's after it."""
    chunks, spec = evidence.chunks, monitor.spec
    ends = _ends(monitor, status, len(chunks))
    held = evidence.reference.held
    return Story(
        namespace=monitor.metadata.namespace,
        monitor=monitor.metadata.name,
        spec=spec,
        status=status,
        sentence=judgement.message,
        at=now,
        chunks=ends,
        features=_features(monitor, judgement, evidence) if chunks else (),
        performance=_labelled(monitor, chunks, ends, held) if judgement.performance and held else (),
        estimated=_estimated(monitor, chunks, ends, held) if judgement.estimated and held else (),
        traffic=tuple(round(chunk.predictions) for chunk in chunks),
    )


def _ends(monitor: DriftMonitor, status: MonitorStatus, chunks: int) -> tuple[datetime, ...]:
    step, last = timedelta(milliseconds=Geometry.of(monitor.spec).step), status.window_end or datetime.now(UTC)
    return tuple(last - step * back for back in range(chunks - 1, -1, -1))


def _features(monitor: DriftMonitor, judgement: Judgement, evidence: Evidence) -> tuple[FeatureStory, ...]:
    found = {each.feature: each for each in judgement.features}
    order = {name: place for place, name in enumerate(found)}
    told = [
        FeatureStory(
            name=known.name,
            kind=known.kind,
            bins=known.bins,
            before=_shares(np.asarray(known.counts, dtype=np.float64)),
            now=_shares(counts.sum(axis=0)),
            evidence=found.get(known.name),
            trend=_trend(known, counts),
            rows_before=sum(known.counts),
            rows=round(float(counts.sum())),
        )
        for known, counts in distributions(monitor.spec, evidence, evidence.chunks)
    ]
    return tuple(sorted(told, key=lambda each: order.get(each.name, len(order))))


def _shares(counts: Array) -> tuple[float, ...]:
    total = counts.sum()
    return tuple((counts / total).tolist()) if total > 0 else (0.0,) * len(counts)


def _trend(known: Distribution, counts: Array) -> tuple[float | None, ...]:
    """The index of each chunk, its bias removed."""
    before = np.asarray(known.counts, dtype=np.float64)
    if not counts.sum() or not before.sum():
        return (None,) * len(counts)
    groups = group(known, counts.sum(axis=0))
    joined, cells = groups.total(before), groups.total(counts)
    rows = cells.sum(axis=1)
    worth = np.maximum(rows * joined.sum() / (rows + joined.sum()), 1e-9)
    index = stability_index(joined, cells) - (len(joined) - 1) / worth
    return tuple(float(each) if n >= LEAST_ROWS else None for each, n in zip(index, rows, strict=True))


def _labelled(
    monitor: DriftMonitor, chunks: tuple[Chunk, ...], ends: tuple[datetime, ...], held: Held
) -> tuple[Point, ...]:
    wanted = monitor.spec.performance
    assert wanted is not None  # noqa: S101 - the judgement has a performance
    metric = metric_of(wanted, held.task)
    return tuple(
        _point(at, _by_labels(metric, chunk, held), chunk.labels) for chunk, at in zip(chunks, ends, strict=True)
    )


def _by_labels(metric: str, chunk: Chunk, held: Held) -> Interval | None:
    if metric in ERRORS:
        return _bare(metric, labelled_errors(metric, [chunk]))
    if metric == "log_loss":
        return _bare(metric, [(chunk.sums.get(Family.LOSS_SUM, 0.0), chunk.sums.get(Family.LOSS_COUNT, 0.0))])
    return figure(metric, [chunk.feedback], held.positive)


def _bare(metric: str, parts: Parts) -> Interval | None:
    """Of one chunk's mean no interval is known."""
    value = error_of(metric, parts)
    return None if value is None else (value, value, value)


def _estimated(
    monitor: DriftMonitor, chunks: tuple[Chunk, ...], ends: tuple[datetime, ...], held: Held
) -> tuple[Point, ...]:
    wanted = monitor.spec.performance
    assert wanted is not None  # noqa: S101 - the judgement has an estimate
    metric = metric_of(wanted, held.task)
    return tuple(
        _point(at, _without_labels(metric, chunk, held), chunk.predictions)
        for chunk, at in zip(chunks, ends, strict=True)
    )


def _without_labels(metric: str, chunk: Chunk, held: Held) -> Interval | None:
    if metric in ERRORS:
        return _bare(metric, expected_errors(metric, [chunk]))
    return figure(metric, [expected(chunk, held)], held.positive)


def _point(at: datetime, measured: Interval | None, rows: float) -> Point:
    if measured is None or rows < LEAST_ROWS:
        return Point(at, None, n=round(rows))
    value, low, high = measured
    return Point(at, value, low, high, round(rows))
