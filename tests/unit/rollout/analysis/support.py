"""Metrics and observations of a new version heart-v2 beside the stable heart-v1."""

from typing import Any

from perennial.adapters.prometheus import Series
from perennial.api.deployment import Measurement
from perennial.api.rollout import Analysis, AnalysisMetric
from perennial.domain.analysis.judge import Observed, Unavailable, judge
from perennial.domain.analysis.queries import Subject
from tests.unit.rollout.world import BEGINNING

NAN, INF = float("nan"), float("inf")
NEW, STABLE = "heart-v2", "heart-v1"
SUBJECT = Subject("clinic", "heart", NEW, "b2", STABLE, 30, 300)
SAME = Subject("clinic", "heart", STABLE, "b2", STABLE, 30, 300)
"""Another configuration of the stable version."""


def metric(builtin: str | None = None, **fields: Any) -> AnalysisMetric:
    return AnalysisMetric.model_validate({"name": "it", "builtin": builtin, **fields})


def measurement(
    wanted: AnalysisMetric, observed: Observed | Unavailable, *, least: int = 20, interval: str = "30s"
) -> Measurement:
    """The only measurement of an analysis with one metric."""
    analysis = Analysis(metrics=[wanted], min_requests=least, interval=interval)
    [found] = judge(analysis, observed, NEW, BEGINNING)
    return found


def observed(requests: float = 100, **fields: Any) -> Observed:
    return Observed("b2", {NEW: requests, STABLE: 9 * requests}, **fields)


def series(value: float, **labels: str) -> Series:
    return Series(labels, ((0.0, value),))
