"""The window: chunks of time that align to the clock, and what was counted in each.

A chunk is named by its start. Only chunks that are over, and began after the version took over, are counted; ``delay``
is the time after which the last scrape inside a chunk has certainly been stored.
"""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from perennial.api.common import seconds
from perennial.api.drift import MonitorSpec
from perennial.contracts.baseline import JOINT, PREDICTION, Distribution
from perennial.domain.drift.bins import Array
from perennial.domain.drift.queries import Family

SCRAPES_A_CHUNK = 20
SCRAPES_OF_DELAY = 2


class Line(Protocol):
    """A series of Prometheus' answer."""

    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def points(self) -> Sequence[tuple[float, float]]: ...


@dataclass(frozen=True)
class Geometry:
    """``step`` is a chunk's length and ``delay`` the wait for its last scrape, in whole milliseconds; ``fast`` is the
    fast window's number of chunks, ``season`` a season's (0: there is none).
    """

    step: int
    chunks: int
    delay: int
    fast: int = 0
    season: int = 0

    @classmethod
    def of(cls, spec: MonitorSpec) -> "Geometry":
        """As the monitor wants it."""
        step = int(seconds(spec.window.length) * 1000) // spec.window.chunks
        fast, season = (
            round(seconds(each) * 1000 / step) if each else 0 for each in (spec.window.fast, spec.window.season)
        )
        delay = int(SCRAPES_OF_DELAY * seconds(spec.scrape_interval) * 1000)
        return cls(step, spec.window.chunks, delay, fast, season)

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


@dataclass(frozen=True)
class Layout:
    """Where each bin of each judged distribution stands in a chunk's one array of counts."""

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

    @property
    def names(self) -> tuple[str, ...]:
        """Of the distributions."""
        return tuple(feature.name for feature in self.features)

    def counts(self, chunks: Sequence["Chunk"]) -> list[tuple[Distribution, Array]]:
        """Each distribution with its counts, shape (chunks, bins)."""
        table = np.stack([chunk.counts for chunk in chunks], dtype=np.float64)
        return [(feature, table[:, part]) for feature, part in zip(self.features, self.slices, strict=True)]


Pair = tuple[str, str]


@dataclass(slots=True)
class Chunk:
    """What was counted in one chunk. Counts need not be whole: increase() extrapolates to the chunk's edges.

    Thousands are kept, so that numbers are short and texts that recur are one. Whoever keeps it may :meth:`settle` it.

    ``counts``: bins by ``Layout``; ``predicted``, ``calibrated`` (sums of the positive class's probability) by
    predicted class; ``feedback`` by (predicted, actual); ``sums`` of labels' delay (s) and log loss with their numbers;
    of a Regression ``expected``, sums of the errors expected of predictions, and ``errors``, sums of those that labels
    show, both by ABSOLUTE and SQUARED; ``requests`` by status code; ``durations`` cumulative by upper limit (s).
    """

    counts: npt.NDArray[np.floating[Any]]
    predicted: dict[str, float] = field(default_factory=dict)
    calibrated: dict[str, float] = field(default_factory=dict)
    feedback: dict[Pair, float] = field(default_factory=dict)
    sums: dict[Family, float] = field(default_factory=dict)
    expected: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    requests: dict[str, float] = field(default_factory=dict)
    durations: dict[float, float] = field(default_factory=dict)
    seen: bool = False
    """Whether Prometheus has any series of that time."""

    @property
    def predictions(self) -> float:
        """All of them."""
        return sum(self.predicted.values())

    @property
    def labels(self) -> float:
        """All of them."""
        return sum(self.feedback.values())

    def settle(self) -> None:
        """Drops what is asked of the newest chunk alone."""
        self.durations = {}

    def take(self, layout: Layout, labels: Mapping[str, str], value: float) -> None:
        """Adds what a series with ``labels`` counted."""
        self.seen = True
        get = labels.get
        family = get("family", "")
        if family in _BINNED:
            # Most of all series, by far.
            place = layout.places.get((_BINNED[family] or get("feature", ""), get("bin", "")))
            if place is not None:
                self.counts[place] += value
            return
        if family in _LABELLED:
            counted, label = _LABELLED[family]
            getattr(self, counted)[intern(get(label, ""))] = value
            return
        match family:
            case Family.FEEDBACK:
                self.feedback[intern(get("predicted", "")), intern(get("actual", ""))] = value
            case Family.DURATIONS:
                self.durations[_limit(get("le", "nan"))] = value
            case _ if family in _SUMS:
                self.sums[Family(family)] = value


@functools.lru_cache(maxsize=1024)
def _limit(text: str) -> float:
    """One number for all the chunks that name it."""
    return float(text)


_BINNED: dict[str, str] = {Family.FEATURES: "", Family.JOINT: JOINT, Family.BINS: PREDICTION}
"""What is counted in bins by family; the features say themselves which they are."""
_LABELLED: dict[str, tuple[str, str]] = {
    Family.PREDICTED: ("predicted", "predicted"),
    Family.CALIBRATED: ("calibrated", "predicted"),
    Family.EXPECTED: ("expected", "loss"),
    Family.ERRORS: ("errors", "error"),
    Family.REQUESTS: ("requests", "code"),
}
"""What has one label by family: where the chunk keeps it, and the label's name."""
_SUMS = frozenset({Family.DELAY_SUM, Family.DELAY_COUNT, Family.LOSS_SUM, Family.LOSS_COUNT})


def read_chunks(layout: Layout, starts: Sequence[int], step: int, lines: Iterable[Line]) -> dict[int, Chunk]:
    """The chunks that begin at ``starts`` (Unix ms) from the answer; what was not counted there is 0."""
    chunks = {start: Chunk(np.zeros(len(layout.places), dtype=np.float32)) for start in starts}
    for line in lines:
        for at, value in line.points:
            chunk = chunks.get(round(at * 1000) - step)
            if chunk is not None and math.isfinite(value):
                chunk.take(layout, line.labels, max(0.0, value))
    return chunks
