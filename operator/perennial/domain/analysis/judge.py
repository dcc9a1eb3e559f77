"""The analysis of a new version: when it is measured, and what the answers are worth.

No data is never good: a metric that cannot be measured neither passes nor fails, and the rollout waits.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from perennial.api.common import seconds
from perennial.api.deployment import Measurement, RolloutStatus
from perennial.api.rollout import Analysis, AnalysisMetric
from perennial.domain.analysis.figures import LEAST_PREDICTIONS, quantile, shift
from perennial.domain.analysis.limits import Bounds, Figure, LimitError, Result, bounds, verdict
from perennial.domain.analysis.observed import Observed, Trouble, Unavailable
from perennial.domain.analysis.performance import Compared, Labels, compared, misfit, performance, unknown
from perennial.domain.analysis.queries import REQUESTS, sources

__all__ = [
    "KEPT", "Observed", "Unavailable", "blind", "judge", "newest", "next_analysis", "request_share", "satisfied",
    "undecided",
]  # fmt: skip

KEPT = 20
_MESSAGE_LIMIT = 512


def next_analysis(rollout: RolloutStatus, analysis: Analysis) -> datetime:
    """When the next measurement is due: its whole interval lies within the step."""
    begun = max(rollout.step_since, rollout.last_analysis or rollout.step_since)
    return begun + timedelta(seconds=seconds(analysis.interval))


def judge(analysis: Analysis, measured: Observed | Unavailable, version: str, now: datetime) -> list[Measurement]:
    """One measurement of each metric for ``version``."""
    return [_measure(metric, analysis, measured, version, now) for metric in analysis.metrics]


def _measure(
    metric: AnalysisMetric, analysis: Analysis, measured: Observed | Unavailable, version: str, now: datetime
) -> Measurement:
    limits, value = Bounds(), None
    try:
        limits = bounds(metric)
        found = _figure(metric, analysis, measured, version)
    except LimitError as error:
        found = Missing("Inconclusive", f"{error.field}: {error}")
    if isinstance(found, Missing):
        result, message = found.result, found.message
    else:
        limits = found.limits if isinstance(found, Compared) else limits
        result, message = verdict(found, limits)
        value = _short(found.value)
    return Measurement(
        at=now, name=metric.name, value=value, max=_short(limits.max), min=_short(limits.min), result=result,
        message=message[:_MESSAGE_LIMIT],
    )  # fmt: skip


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


# --- figures ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Missing:
    """Why there is no figure."""

    result: Result
    message: str


@dataclass(frozen=True)
class _Scene:
    """What a figure is made from."""

    metric: AnalysisMetric
    analysis: Analysis
    observed: Observed
    version: str

    @property
    def requests(self) -> float:
        """Requests to the new version."""
        return self.observed.requests.get(self.version, 0.0)

    def few(self, count: float, what: str, *, least: int = 1) -> Missing | None:
        """NoData where there are not enough of what the figure is made of."""
        needed = max(least, self.analysis.min_requests)
        # Sums of increases are not exact: 20 requests may come as 19.9999.
        if round(count, 3) >= needed:
            return None
        return Missing("NoData", f"{math.floor(count + 0.001)} {what}, {needed} needed")


def _figure(
    metric: AnalysisMetric, analysis: Analysis, measured: Observed | Unavailable, version: str
) -> Figure | Missing:
    if isinstance(measured, Unavailable):
        return Missing("NoData", f"Prometheus does not answer: {measured.message}")
    needed = sources(metric) if metric.builtin in _OF_THEIR_OWN else (*sources(metric), REQUESTS)
    for trouble in map(measured.troubles.get, needed):
        if trouble is not None:
            return _unanswered(trouble)
    scene = _Scene(metric, analysis, measured, version)
    return _BUILTINS[metric.builtin](scene) if metric.builtin else _answer(scene, metric.name)


def _unanswered(trouble: Trouble) -> Missing:
    if trouble.kind == "Refused":
        return Missing("Inconclusive", f"Prometheus refuses the query: {trouble.message}")
    return Missing("NoData", f"Prometheus does not answer: {trouble.message}")


def _error_rate(scene: _Scene) -> Figure | Missing:
    errors = scene.observed.errors.get(scene.version, 0.0)
    return scene.few(scene.requests, "requests") or Figure(min(1.0, errors / scene.requests))


def _throughput(scene: _Scene) -> Figure | Missing:
    return scene.few(scene.requests, "requests") or Figure(scene.requests / seconds(scene.analysis.interval))


def _latency(share: float) -> Callable[[_Scene], Figure | Missing]:
    def figure(scene: _Scene) -> Figure | Missing:
        # What the caller got wrong is a request, but no latency of ours: the histogram leaves it out.
        timed = max(scene.observed.durations.values(), default=0.0)
        few = scene.few(scene.requests, "requests") or scene.few(timed, "answered requests")
        return few or quantile(share, scene.observed.durations) or Missing("NoData", "the histogram has no buckets")

    return figure


def _prediction_shift(scene: _Scene) -> Figure | Missing:
    new, stable = scene.observed.bins, scene.observed.stable_bins
    few = (
        scene.few(scene.requests, "requests")
        or scene.few(sum(new.values()), "predictions", least=LEAST_PREDICTIONS)
        or scene.few(sum(stable.values()), "predictions of the stable version", least=LEAST_PREDICTIONS)
    )
    if few:
        return few
    return shift(new, stable) or Missing(
        "Inconclusive", "the bins of the two versions' predictions have no edge in common: they are of another scale"
    )


def _agreement(scene: _Scene) -> Figure | Missing:
    rows = sum(scene.observed.rows.values())
    return scene.few(rows, "rows compared") or Figure(scene.observed.rows.get("agree", 0.0) / rows)


def _performance(scene: _Scene) -> Figure | Missing:
    metric, seen = scene.metric, scene.observed
    new = Labels(scene.version, seen.labels, seen.label_errors)
    stable = Labels("the stable version", seen.stable_labels, seen.stable_label_errors)
    missing = _labelled(scene, new, "labels")
    if metric.max_drop is None:
        return missing or performance(metric, new)
    missing = missing or _labelled(scene, stable, "labels of the stable version")
    return missing or compared(metric, metric.max_drop, new, stable)


def _labelled(scene: _Scene, labels: Labels, what: str) -> Missing | None:
    wrong = misfit(scene.metric, labels)
    if wrong:
        return Missing("Inconclusive", wrong)
    few = scene.few(labels.count, what)
    if few:
        return few
    unsaid = unknown(scene.metric, labels)
    return Missing("Inconclusive", unsaid) if unsaid else None


_BUILTINS: dict[str, Callable[[_Scene], Figure | Missing]] = {
    "ErrorRate": _error_rate,
    "LatencyP50": _latency(0.5),
    "LatencyP99": _latency(0.99),
    "Throughput": _throughput,
    "PredictionShift": _prediction_shift,
    "Agreement": _agreement,
    "Performance": _performance,
}
_OF_THEIR_OWN = frozenset({"Agreement", "Performance"})
"""They count something else than requests."""


def _answer(scene: _Scene, name: str) -> Figure | Missing:
    few = scene.few(scene.requests, "requests")
    if few:
        return few
    values = scene.observed.answers.get(name, ())
    if not values:
        return Missing("NoData", "the query finds no series")
    if len(values) > 1:
        return Missing("Inconclusive", f"the query gives {len(values)} series, not one: aggregate it, such as by sum()")
    [value] = values
    if math.isnan(value):
        return Missing("NoData", "the query gives NaN")
    if math.isinf(value):
        return Missing("Inconclusive", "the query gives an infinite value")
    return Figure(value)


# --- what was found so far ----------------------------------------------------------------------------------------


def newest(rollout: RolloutStatus, name: str) -> Measurement | None:
    """The newest measurement of the metric ``name`` in the step that is under way."""
    return next((each for each in rollout.measurements if each.name == name and each.at > rollout.step_since), None)


def satisfied(rollout: RolloutStatus, analysis: Analysis) -> bool:
    """Whether every metric was measured in this step and its newest measurement is good."""
    found = [newest(rollout, metric.name) for metric in analysis.metrics]
    return all(each is not None and each.result == "Pass" for each in found)


def blind(rollout: RolloutStatus, analysis: Analysis) -> list[Measurement]:
    """The newest measurements in this step that found no data."""
    return _that_are(rollout, analysis, "NoData")


def undecided(rollout: RolloutStatus, analysis: Analysis) -> list[Measurement]:
    """The newest measurements in this step that are neither good nor bad."""
    return _that_are(rollout, analysis, "Inconclusive")


def _that_are(rollout: RolloutStatus, analysis: Analysis, result: Result) -> list[Measurement]:
    found = [newest(rollout, metric.name) for metric in analysis.metrics]
    return [each for each in found if each is not None and each.result == result]


def request_share(measured: Observed | Unavailable, stable: str, canary: str) -> float | None:
    """Percent of requests that ``canary`` answered, of its and ``stable``'s; None where that cannot be told."""
    if isinstance(measured, Unavailable) or stable == canary:
        return None
    new, old = measured.requests.get(canary, 0.0), measured.requests.get(stable, 0.0)
    return round(100 * new / (new + old), 1) if new + old >= 1 else None
