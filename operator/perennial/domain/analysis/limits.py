"""The bounds of a metric, and what a figure is worth against them."""

import re
from dataclasses import dataclass
from typing import Literal

from perennial.api.rollout import AnalysisMetric
from perennial.contracts.result import LOWER_IS_BETTER

Result = Literal["Pass", "Fail", "Inconclusive", "NoData"]

_LIMIT = re.compile(r"(-?\d+(?:\.\d+)?(?:e-?\d+)?)(ms|s)?")
_UNIT = {"ms": 0.001, "s": 1.0}
_SHARES = frozenset({"ErrorRate", "Agreement", "accuracy"})
_TIMES = frozenset({"LatencyP50", "LatencyP99"})


class LimitError(ValueError):
    """A limit that the metric can never be held against; ``field`` is its name in the spec."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Bounds:
    """Shares, seconds or plain numbers; None is no bound. Between ``max`` and ``fail_above`` nothing is decided."""

    max: float | None = None
    min: float | None = None
    fail_above: float | None = None
    fail_below: float | None = None


def bounds(metric: AnalysisMetric) -> Bounds:
    """The metric's limits as numbers. Raises LimitError where one has the wrong unit, or they contradict each other."""
    found = Bounds(
        max=_number(metric, "max", metric.max),
        min=_number(metric, "min", metric.min),
        fail_above=_number(metric, "failAbove", metric.fail_above),
        fail_below=_number(metric, "failBelow", metric.fail_below),
    )
    _fitting(metric)
    _ordered("failBelow", found.fail_below, "min", found.min)
    _ordered("min", found.min, "max", found.max)
    _ordered("max", found.max, "failAbove", found.fail_above)
    return found


def kind_of(metric: AnalysisMetric) -> str:
    """What the metric measures: the builtin, of Performance its figure (such as mae); empty for a query."""
    return (metric.metric or "accuracy") if metric.builtin == "Performance" else metric.builtin or ""


def _fitting(metric: AnalysisMetric) -> None:
    """Raises LimitError for a bound that would take the worst figure for the best, and for two of one kind."""
    kind = kind_of(metric)
    if kind in LOWER_IS_BETTER and metric.min is not None:
        raise LimitError("min", f"{kind} is an error, lower is better: bound it by max or maxDrop")
    if metric.max_drop is not None and (metric.max is not None or metric.min is not None):
        raise LimitError("maxDrop", "takes the place of max and min: list the metric twice to hold it to both")


def _number(metric: AnalysisMetric, field: str, limit: float | str | None) -> float | None:
    if limit is None:
        return None
    match = _LIMIT.fullmatch(str(limit))
    if match is None:
        raise LimitError(field, f"{limit} is no number and no time such as 50ms or 1.5s")
    value, unit = float(match[1]), match[2]
    kind = kind_of(metric)
    if unit and kind and kind not in _TIMES:
        raise LimitError(field, f"{limit} is a time, {kind} is {'a share' if kind in _SHARES else 'a number'}")
    if kind in _SHARES and not 0 <= value <= 1:
        raise LimitError(field, f"{limit} is no share: {kind} is between 0 and 1 (1 % is 0.01)")
    if kind and value < 0:
        raise LimitError(field, f"{limit} is negative, {kind} never is")
    return value * _UNIT[unit] if unit else value


def _ordered(field: str, low: float | None, other: str, high: float | None) -> None:
    if low is not None and high is not None and low > high:
        raise LimitError(field, f"{low:g} is above {other}, {high:g}")


class Figure:
    """A measured value. A subclass knows how sure it is."""

    def __init__(self, value: float) -> None:
        self.value = value

    def surely_above(self, limit: float) -> bool:
        """Whether a value above ``limit`` is more than chance."""
        return self.value > limit

    def surely_below(self, limit: float) -> bool:
        """Whether a value below ``limit`` is more than chance."""
        return self.value < limit

    @property
    def doubt(self) -> str:
        """What is not sure about it, for people."""
        return ""

    @property
    def open_ended(self) -> bool:
        """Whether the true value may be anything from ``value`` up."""
        return False


def verdict(figure: Figure, limits: Bounds) -> tuple[Result, str]:
    """What the figure is worth, and why where value and bounds do not say it. Never NoData.

    A larger ``max`` (a smaller ``min``) never makes the result worse.
    """
    found = [each for each in (_high(figure, limits), _low(figure, limits)) if each is not None]
    for worst in ("Fail", "Inconclusive"):
        for result, message in found:
            if result == worst:
                return result, message
    return "Pass", ""


def _high(figure: Figure, limits: Bounds) -> tuple[Result, str] | None:
    if limits.max is None:
        return None
    if figure.value <= limits.max:
        return ("Inconclusive", figure.doubt) if figure.open_ended else None
    limit = limits.max if limits.fail_above is None else limits.fail_above
    if figure.value <= limit:
        return "Inconclusive", f"above max {limits.max:g}, not above failAbove {limit:g}"
    return ("Fail", "") if figure.surely_above(limit) else ("Inconclusive", figure.doubt)


def _low(figure: Figure, limits: Bounds) -> tuple[Result, str] | None:
    if limits.min is None or figure.value >= limits.min:
        return None
    if figure.open_ended:
        return "Inconclusive", figure.doubt
    limit = limits.min if limits.fail_below is None else limits.fail_below
    if figure.value >= limit:
        return "Inconclusive", f"under min {limits.min:g}, not under failBelow {limit:g}"
    return ("Fail", "") if figure.surely_below(limit) else ("Inconclusive", figure.doubt)
