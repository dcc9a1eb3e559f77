"""The window: chunks of time that align to the clock, the queries that count them, and the counts they come to.

A chunk is named by its start. Only chunks that are over, and began after the version took over, are counted; ``delay``
is the time after which the last scrape inside a chunk has certainly been stored.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from perennial.api.common import seconds
from perennial.api.drift import MonitorSpec
from perennial.contracts.baseline import Distribution
from perennial.contracts.names import METRIC_FEATURES, METRIC_FEEDBACK, METRIC_PREDICTED
from perennial.domain.drift.bins import Array

SCRAPES_A_CHUNK = 20
SCRAPES_OF_DELAY = 2
LONGEST_LIFE = 30 * 86400.0


class Line(Protocol):
    """A series of Prometheus' answer."""

    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def points(self) -> Sequence[tuple[float, float]]: ...


@dataclass(frozen=True)
class Geometry:
    """``step`` is a chunk's length and ``delay`` the wait for its last scrape, in whole milliseconds."""

    step: int
    chunks: int
    delay: int

    @classmethod
    def of(cls, spec: MonitorSpec) -> "Geometry":
        """As the monitor wants it."""
        step = int(seconds(spec.window.length) * 1000) // spec.window.chunks
        return cls(step, spec.window.chunks, int(SCRAPES_OF_DELAY * seconds(spec.scrape_interval) * 1000))

    def last_close(self, now: float) -> int:
        """End of the last chunk that is over and stored at ``now`` (Unix s), in Unix ms."""
        return int((now * 1000 - self.delay) // self.step) * self.step

    def until_next(self, now: float) -> float:
        """Seconds from ``now`` until one more chunk is over and stored."""
        return max(0.1, (self.last_close(now) + self.step + self.delay) / 1000 - now)

    def starts(self, end: int, since: float) -> list[int]:
        """Starts (Unix ms) of the window's chunks that ends at ``end``, those before ``since`` (Unix s) left out."""
        earliest = end - self.chunks * self.step
        return [start for start in range(earliest, end, self.step) if start >= since * 1000]


def too_short(spec: MonitorSpec) -> str:
    """Why chunks are too short for increase(), which extrapolates to a chunk's edges; empty when they are not."""
    needed = SCRAPES_A_CHUNK * seconds(spec.scrape_interval)
    chunk = seconds(spec.window.length) / spec.window.chunks
    if chunk >= needed:
        return ""
    return (
        f"window.length {spec.window.length} in {spec.window.chunks} window.chunks makes {chunk:g}s each, but with "
        f"scrapeInterval {spec.scrape_interval} a chunk needs {needed:g}s ({SCRAPES_A_CHUNK} scrapes): "
        f"make window.length at least {_duration(needed * spec.window.chunks)}"
    )


def _duration(length: float) -> str:
    whole = math.ceil(length)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return "".join(f"{value}{unit}" for value, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if value)


# --- what is asked ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Queries:
    """Range queries with the step in their text: the value at t is the count of the chunk that ends at t."""

    features: str
    predictions: str
    feedback: str


def queries(deployment: str, version: str, step: int) -> Queries:
    """For ``deployment`` ("namespace/name"); Prometheus adds up the pods."""

    def counted(metric: str, *by: str) -> str:
        return f"sum by ({', '.join(by)}) ({_increase(metric, deployment, version, step)})"

    return Queries(
        features=counted(METRIC_FEATURES, "feature", "bin"),
        predictions=counted(METRIC_PREDICTED, "predicted"),
        feedback=counted(METRIC_FEEDBACK, "predicted", "actual"),
    )


def lifetime_queries(deployment: str, version: str, life: float) -> tuple[str, str]:
    """Instant queries for the predictions and the feedback of the version over its ``life`` (s, at most 30 days)."""
    span = int(min(max(life, 60.0), LONGEST_LIFE) * 1000)
    return (
        f"sum ({_increase(METRIC_PREDICTED, deployment, version, span)})",
        f"sum ({_increase(METRIC_FEEDBACK, deployment, version, span)})",
    )


def _increase(metric: str, deployment: str, version: str, span: int) -> str:
    return f'increase({metric}{{deployment="{deployment}",version="{version}"}}[{span}ms])'


# --- what is answered ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """Where each bin of each judged feature stands in a chunk's one array of counts."""

    features: tuple[Distribution, ...]
    places: dict[tuple[str, str], int] = field(compare=False)
    slices: tuple[slice, ...]

    @classmethod
    def of(cls, features: Iterable[Distribution]) -> "Layout":
        """In the order of ``features`` and their bins."""
        features = tuple(features)
        places: dict[tuple[str, str], int] = {}
        slices: list[slice] = []
        for feature in features:
            slices.append(slice(len(places), len(places) + len(feature.bins)))
            places.update({(feature.name, name): len(places) + at for at, name in enumerate(feature.bins)})
        return cls(features, places, tuple(slices))

    def counts(self, chunks: Sequence["Chunk"]) -> list[tuple[Distribution, Array]]:
        """Each feature with its counts, shape (chunks, bins)."""
        table = np.stack([chunk.counts for chunk in chunks])
        return [(feature, table[:, part]) for feature, part in zip(self.features, self.slices, strict=True)]


@dataclass(frozen=True)
class Chunk:
    """What was counted in one chunk: bins by ``Layout``, predictions, labels by (predicted, actual).

    Counts need not be whole: increase() extrapolates to the chunk's edges.
    """

    counts: Array
    predictions: float = 0.0
    feedback: Mapping[tuple[str, str], float] = field(default_factory=dict)


def read_chunks(
    layout: Layout,
    starts: Sequence[int],
    step: int,
    features: Iterable[Line],
    predictions: Iterable[Line],
    feedback: Iterable[Line],
) -> dict[int, Chunk]:
    """The chunks that begin at ``starts`` (Unix ms) from the answers; what was not counted there is 0."""
    counts = {start: np.zeros(len(layout.places)) for start in starts}
    predicted = dict.fromkeys(starts, 0.0)
    labels: dict[int, dict[tuple[str, str], float]] = {start: {} for start in starts}
    for line in features:
        place = layout.places.get((line.labels.get("feature", ""), line.labels.get("bin", "")))
        for start, value in _values(line, step, counts):
            if place is not None:
                counts[start][place] += value
    for line in predictions:
        for start, value in _values(line, step, counts):
            predicted[start] += value
    for line in feedback:
        pair = line.labels.get("predicted", ""), line.labels.get("actual", "")
        for start, value in _values(line, step, counts):
            labels[start][pair] = value
    return {start: Chunk(counts[start], predicted[start], labels[start]) for start in starts}


def _values(line: Line, step: int, known: Mapping[int, object]) -> Iterable[tuple[int, float]]:
    for at, value in line.points:
        start = round(at * 1000) - step
        if start in known and math.isfinite(value):
            yield start, max(0.0, value)
