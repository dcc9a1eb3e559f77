"""Predictors as Prometheus sees them: rows at their times, pods that come and begin anew, scrapes that fail."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from perennial.contracts import names
from perennial.contracts.baseline import ABOVE, BELOW, INVALID, MISSING, Distribution

Array = npt.NDArray[np.float64]

INTERVAL, SCRAPES, CHUNKS = 15.0, 20, 4
STEP = INTERVAL * SCRAPES
"""Seconds of a chunk."""
LEAD = STEP
"""Seconds before the window in which the pods serve already."""
BINS = (MISSING, INVALID, BELOW, *(f"[{at},{at + 1})" for at in range(10)), ABOVE)
SHARES = np.full(10, 0.1)


@dataclass
class Pod:
    """Lives from ``start`` to ``end`` (s from the window's begin); is scraped at ``scrapes``. ``resets`` are when its
    container began anew: what it had counted is gone.
    """

    name: str
    start: float
    end: float
    scrapes: Array
    resets: tuple[float, ...] = ()
    rows: list[tuple[float, int]] = field(default_factory=list)

    def counted(self) -> Array:
        """Counts (scrapes, bins) as its /metrics shows them: 0 at a process' first scrape, whatever it has counted."""
        shown = np.zeros((len(self.scrapes), len(BINS)))
        rows = sorted(self.rows)
        times = np.array([at for at, _ in rows])
        places = np.array([place for _, place in rows], dtype=np.int64)
        begins = (self.start, *self.resets)
        fresh = dict.fromkeys(begins, True)
        for at, scrape in enumerate(self.scrapes):
            began = max(each for each in begins if each <= scrape)
            if fresh.pop(began, False):
                continue
            inside = (times >= began) & (times <= scrape)
            shown[at] = np.bincount(places[inside], minlength=len(BINS))
        return shown


@dataclass
class Window:
    """One deployment with its pods, in which every row has a time and a bin."""

    name: str
    pods: list[Pod]

    def by_time(self) -> Array:
        """Counts (chunks, bins) of the rows by when they came."""
        return self._binned(lambda _pod, at: at)

    def by_scrape(self) -> Array:
        """Counts (chunks, bins) of the rows by the scrape that showed them first: a pod's second at the earliest."""
        return self._binned(_shown)

    def _binned(self, when: Callable[[Pod, float], float]) -> Array:
        counts = np.zeros((CHUNKS, len(BINS)))
        for pod in self.pods:
            for at, place in pod.rows:
                # A scrape at the very end of a chunk is the chunk's own.
                chunk = math.ceil(when(pod, at) / STEP) - 1
                if 0 <= chunk < CHUNKS:
                    counts[chunk, place] += 1
        return counts

    def at_edges(self) -> int:
        """Rows that may be lost or counted twice: those that no scrape within their process' life saw, and those
        between a chunk's edge and the scrapes on both sides of it, which are all that is read where a process began
        anew.
        """
        return sum(_unseen(pod) + _beside_edges(pod) for pod in self.pods)

    def lines(self, begin: float) -> Iterator[str]:
        """Samples by metric in the OpenMetrics format: (features, predictions) one after the other."""
        for pod in self.pods:
            yield from pod_lines(pod, self.name, begin)


def _shown(pod: Pod, at: float) -> float:
    place = max(1, int(np.searchsorted(pod.scrapes, at)))
    return float(pod.scrapes[place]) if place < len(pod.scrapes) else CHUNKS * STEP + INTERVAL


def _unseen(pod: Pod) -> int:
    ends = (*pod.resets, pod.end)
    lives = [min(each for each in ends if each >= at) for at, _ in pod.rows]
    return sum(
        not ((pod.scrapes >= at) & (pod.scrapes < life)).any() for (at, _), life in zip(pod.rows, lives, strict=True)
    )


def _beside_edges(pod: Pod) -> int:
    found = 0
    for edge in np.arange(CHUNKS + 1) * STEP:
        before, after = pod.scrapes[pod.scrapes <= edge], pod.scrapes[pod.scrapes > edge]
        low, high = (before[-1] if len(before) else pod.start), (after[0] if len(after) else pod.end)
        # Where nothing else is known, as many again are inferred from the chunk's own rate.
        found += (2 if pod.resets else 1) * sum(low < at <= high for at, _ in pod.rows)
    return found


def pod_lines(pod: Pod, deployment: str, begin: float) -> Iterator[str]:
    """Its feature's counter by bin."""
    labels = f'deployment="{deployment}",version="v1",pod="{pod.name}",feature="x"'
    shown = pod.counted()
    for place, name in enumerate(BINS):
        if shown[:, place].any() or place == 3:
            for at, value in zip(pod.scrapes, shown[:, place], strict=True):
                yield f'{names.METRIC_FEATURES}{{{labels},bin="{name}"}} {value:g} {begin + at:.3f}'


def reference() -> Distribution:
    """Of 10,000 rows."""
    return Distribution("x", "Numeric", BINS, (0, 0, 0, *[1000] * 10, 0), tuple(float(at) for at in range(11)))


def window(name: str, rng: np.random.Generator, *, rough: bool) -> Window:
    """``rough``: scrapes fail, containers begin anew without warning and pods end with counts that nobody has read;
    otherwise pods are replaced, and are read once more before they end.
    """
    pods = [pod for slot in range(int(rng.integers(1, 4))) for pod in _slot(f"p{slot}", rng, rough=rough)]
    tilt = SHARES * (1 + (rng.uniform(0, 1) if rng.random() < 0.5 else 0.0) * np.linspace(-1, 1, 10))
    rows = int(rng.integers(250, 2500) * (LEAD + CHUNKS * STEP) / (CHUNKS * STEP))
    times = np.sort(rng.uniform(-LEAD, CHUNKS * STEP, rows))
    places = 3 + rng.choice(10, size=rows, p=tilt / tilt.sum())
    for at, place in zip(times, places, strict=True):
        serving = [pod for pod in pods if pod.start <= at < _leaves(pod, rough=rough)]
        if serving:
            serving[int(rng.integers(len(serving)))].rows.append((float(at), int(place)))
    return Window(name, pods)


def _leaves(pod: Pod, *, rough: bool) -> float:
    """When it gets no more requests."""
    last = pod.scrapes[-1] if len(pod.scrapes) else pod.start
    return pod.end if rough or pod.end >= CHUNKS * STEP else float(last)


def _slot(name: str, rng: np.random.Generator, *, rough: bool) -> Iterator[Pod]:
    """Pods that follow each other in one place."""
    whole = CHUNKS * STEP
    cuts = [-LEAD - 60.0, *([float(rng.uniform(0, whole))] if rng.random() < 0.4 else []), whole + INTERVAL]
    for number, (start, end) in enumerate(itertools.pairwise(cuts)):
        scrapes = np.arange(start + rng.uniform(0.1, INTERVAL), end, INTERVAL)
        resets: tuple[float, ...] = ()
        if rough:
            for _ in range(int(rng.integers(0, 3))):
                gap = int(rng.integers(0, max(1, len(scrapes) - 4)))
                scrapes = np.delete(scrapes, slice(gap, gap + int(rng.integers(1, 5))))
            if rng.random() < 0.3 and end - start > 60:
                resets = (float(rng.uniform(max(start, 0.0), end)),)
        yield Pod(f"{name}-{number}", start, end, scrapes, resets)
