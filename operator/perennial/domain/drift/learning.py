"""A baseline that is learnt in service: the first windows after the promotion in which enough came.

It is kept in a ConfigMap, for Prometheus forgets.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.api.common import seconds
from perennial.api.drift import DriftMonitor
from perennial.api.verdict import BaselineStatus
from perennial.domain.drift.statistics import MIN_ROWS
from perennial.domain.drift.window import Chunk, Geometry, Layout

WINDOWS = 3
FURTHEST = 10_000
"""Chunks that one query may ask for."""
_ENTRY = "baseline.json"


@dataclass(frozen=True)
class Lesson:
    """What is to be learnt of ``version``: ``parts`` chunks of ``step`` ms, ``together`` in a window, between ``first``
    and ``end`` (Unix ms).
    """

    version: str
    since: str
    step: int
    first: int
    end: int
    together: int
    windows: int

    @property
    def mark(self) -> str:
        """Tells what was learnt for this lesson from what was learnt for another."""
        return f"{self.version}/{self.since}/{self.step}/{self.together}/{self.windows}"


@dataclass(frozen=True)
class Learnt:
    """Counts (chunks, bins) by distribution, of ``found`` of the windows wanted; ``missing`` are the others."""

    counts: Mapping[str, Sequence[Sequence[int]]]
    found: int
    missing: int

    def status(self, wanted: Lesson) -> BaselineStatus:
        """For the monitor's."""
        return BaselineStatus(source="Serving", version=wanted.version, windows=self.found, wanted=wanted.windows)

    def message(self, wanted: Lesson) -> str:
        """What is waited for."""
        seen = f"{self.found} of {wanted.windows} windows"
        return f"learning what is usual from service: {seen} since {wanted.version} took over"


def lesson(monitor: DriftMonitor, version: str, since: datetime | None, end: int) -> Lesson:
    """Chunks are as long as the shorter of the windows that are judged."""
    geometry, spec = Geometry.of(monitor.spec), monitor.spec
    together = geometry.chunks // geometry.fast if geometry.fast and geometry.chunks % geometry.fast == 0 else 1
    step = int(seconds(spec.window.length) * 1000) // together
    began = (since.timestamp() if since else 0.0) * 1000
    first = max(int(-(-began // step) * step), end // step * step - FURTHEST * step)
    return Lesson(
        version, since.isoformat() if since else "", step, first, end // step * step, together,
        spec.baseline.windows or WINDOWS,
    )  # fmt: skip


def learn(layout: Layout, wanted: Lesson, chunks: Mapping[int, Chunk]) -> Learnt:
    """From ``chunks`` by start: the first windows that have enough rows."""
    starts, length = sorted(chunks), wanted.together
    rows: list[npt.NDArray[np.floating[Any]]] = []
    found = 0
    for at in range(0, len(starts) - length + 1, length):
        window = [chunks[start] for start in starts[at : at + length]]
        if sum(each.predictions for each in window) >= MIN_ROWS and found < wanted.windows:
            rows += [each.counts for each in window]
            found += 1
    table = np.rint(np.stack(rows)).astype(int) if rows else np.zeros((0, len(layout.places)), dtype=int)
    counts = {name: table[:, part].tolist() for name, part in zip(layout.names, layout.slices, strict=True)}
    return Learnt(counts, found, wanted.windows - found)


def configmap_name(monitor: str) -> str:
    """Where what was learnt is kept."""
    return f"{monitor}-drift-baseline"


def content(wanted: Lesson, learnt: Learnt, layout: Layout) -> dict[str, str]:
    """The ConfigMap's data."""
    bins = {each.name: each.bins for each in layout.features}
    kept_ = {"mark": wanted.mark, "bins": bins, "counts": learnt.counts}
    return {_ENTRY: json.dumps(kept_, separators=(",", ":"))}


def kept(raw: Mapping[str, Any], wanted: Lesson, layout: Layout) -> Learnt | None:
    """What the ConfigMap ``raw`` keeps; None where it is of another lesson, or of other bins."""
    try:
        content = json.loads((raw.get("data") or {})[_ENTRY])
        bins = {name: tuple(each) for name, each in content["bins"].items()}
        if content["mark"] != wanted.mark or bins != {each.name: each.bins for each in layout.features}:
            return None
        return Learnt(content["counts"], wanted.windows, 0)
    except (KeyError, ValueError, AttributeError):
        return None
