"""All that a report tells of a monitor: its verdict, and what came before the verdict in figures."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from perennial.api.drift import MonitorSpec
from perennial.api.verdict import FeatureEvidence, MonitorStatus


@dataclass(frozen=True)
class FeatureStory:
    """One judged distribution. ``before`` and ``now`` are shares by bin, each summing to 1 (all 0 where there are no
    rows), of ``rows_before`` rows of the baseline and ``rows`` of the window.

    ``evidence`` is None where it could not be tested for want of rows. ``trend`` is the PSI against the baseline by
    chunk of the story, bias removed as the window's is; None where a chunk has too few rows for one.
    """

    name: str
    kind: Literal["Numeric", "Categorical"]
    bins: tuple[str, ...]
    before: tuple[float, ...]
    now: tuple[float, ...]
    evidence: FeatureEvidence | None
    trend: tuple[float | None, ...] = ()
    rows_before: int = 0
    rows: int = 0


@dataclass(frozen=True)
class Point:
    """The performance of the chunk that ended at ``at``, with the 95 % interval, from ``n`` labels (an estimate: from
    so many predictions); None where there were too few.
    """

    at: datetime
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


@dataclass(frozen=True)
class Story:
    """``sentence`` is what the verdict rests on, in words; ``at`` is when the report was asked for. ``chunks`` are the
    ends of the window's chunks, oldest first, ``traffic`` the predictions in each. ``features`` are all, the worst
    first; ``performance`` is by labels, ``estimated`` without. Tuples are empty where there is nothing to tell.
    """

    namespace: str
    monitor: str
    spec: MonitorSpec
    status: MonitorStatus
    sentence: str
    at: datetime
    chunks: tuple[datetime, ...] = ()
    features: tuple[FeatureStory, ...] = ()
    performance: tuple[Point, ...] = ()
    estimated: tuple[Point, ...] = ()
    traffic: tuple[int, ...] = ()
