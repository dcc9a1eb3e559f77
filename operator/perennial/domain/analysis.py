"""The analysis of a canary: what is asked of Prometheus, when, and what the answers are worth.

No data is never good: a metric that cannot be measured neither passes nor fails, and the rollout waits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from perennial.api.common import seconds
from perennial.api.deployment import Measurement, RolloutStatus
from perennial.api.rollout import Analysis, AnalysisMetric
from perennial.contracts.names import METRIC_DURATION, METRIC_REQUESTS

KEPT = 20


@dataclass(frozen=True)
class Observed:
    """An interval that ended now. ``requests`` and ``errors`` (answers 5xx) by version; ``latency_p99`` in seconds is
    the new version's, None where it had no requests. ``revision`` is the one that was measured.
    """

    revision: str
    requests: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    latency_p99: float | None = None


@dataclass(frozen=True)
class Unavailable:
    """Prometheus did not answer; ``message`` says how."""

    revision: str
    message: str


def requests_query(deployment: str, versions: Sequence[str], interval: float) -> str:
    """Requests in the last ``interval`` (s) by version and status code; ``deployment`` is "namespace/name"."""
    chosen = "|".join(sorted(set(versions)))
    selector = f'deployment="{deployment}",version=~"{chosen}"'
    return f"sum by (version, code) (increase({METRIC_REQUESTS}{{{selector}}}[{interval:.0f}s]))"


def latency_query(deployment: str, version: str, interval: float) -> str:
    """The 99th percentile of the request duration (s) over the last ``interval`` (s)."""
    selector = f'deployment="{deployment}",version="{version}"'
    buckets = f"sum by (le) (increase({METRIC_DURATION}_bucket{{{selector}}}[{interval:.0f}s]))"
    return f"histogram_quantile(0.99, {buckets})"


def next_analysis(rollout: RolloutStatus, analysis: Analysis) -> datetime:
    """When the next measurement is due: its whole interval lies within the step."""
    begun = max(rollout.step_since, rollout.last_analysis or rollout.step_since)
    return begun + timedelta(seconds=seconds(analysis.interval))


def limit(metric: AnalysisMetric) -> float:
    """The largest good value: a share, or seconds. Raises ValueError for what is neither."""
    text = str(metric.max)
    if text.endswith("ms"):
        return float(text[:-2]) / 1000
    return float(text.removesuffix("s"))


def judge(analysis: Analysis, measured: Observed | Unavailable, version: str, now: datetime) -> list[Measurement]:
    """One measurement of each metric for ``version``."""
    return [_measure(metric, analysis, measured, version, now) for metric in analysis.metrics]


def _measure(
    metric: AnalysisMetric, analysis: Analysis, measured: Observed | Unavailable, version: str, now: datetime
) -> Measurement:
    value = None if isinstance(measured, Unavailable) else _value(metric, analysis, measured, version)
    bound = limit(metric)
    result: Literal["Pass", "Fail", "NoData"] = "NoData"
    if value is not None:
        result = "Pass" if value <= bound else "Fail"
        value = float(f"{value:.6g}")
    return Measurement(at=now, name=metric.name, value=value, max=bound, result=result)


def _value(metric: AnalysisMetric, analysis: Analysis, observed: Observed, version: str) -> float | None:
    requests = observed.requests.get(version, 0.0)
    if requests < analysis.min_requests:
        return None
    if metric.builtin == "ErrorRate":
        return observed.errors.get(version, 0.0) / requests
    return observed.latency_p99


def newest(rollout: RolloutStatus, name: str) -> Measurement | None:
    """The newest measurement of the metric ``name`` in the step that is under way."""
    return next((each for each in rollout.measurements if each.name == name and each.at > rollout.step_since), None)


def satisfied(rollout: RolloutStatus, analysis: Analysis) -> bool:
    """Whether every metric was measured in this step and its newest measurement is good."""
    found = [newest(rollout, metric.name) for metric in analysis.metrics]
    return all(each is not None and each.result == "Pass" for each in found)


def blind(rollout: RolloutStatus, analysis: Analysis) -> list[str]:
    """The metrics whose newest measurement in this step found no data."""
    found = [newest(rollout, metric.name) for metric in analysis.metrics]
    return [each.name for each in found if each is not None and each.result == "NoData"]


def request_share(measured: Observed | Unavailable, stable: str, canary: str) -> float | None:
    """Percent of requests that ``canary`` answered, of its and ``stable``'s; None where that cannot be told."""
    if isinstance(measured, Unavailable) or stable == canary:
        return None
    new, old = measured.requests.get(canary, 0.0), measured.requests.get(stable, 0.0)
    return round(100 * new / (new + old), 1) if new + old >= 1 else None
