"""How good predictions turn out to be by their labels, by themselves or beside the stable version's."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.special import ndtri

from perennial.api.rollout import AnalysisMetric
from perennial.contracts.baseline import VALUE
from perennial.contracts.names import ABSOLUTE, SQUARED
from perennial.contracts.result import LOWER_IS_BETTER, METRICS
from perennial.contracts.signature import Task
from perennial.domain.analysis.limits import Bounds, Figure, kind_of

CHANCE = 0.05
"""A drop beyond its limit that chance alone gives more often than this is inconclusive."""
_BEYOND_CHANCE = float(ndtri(1 - CHANCE))
_SUMS = {"mae": ABSOLUTE, "rmse": SQUARED}


@dataclass(frozen=True)
class Labels:
    """Of ``version``: labels by (predicted, actual), and of a Regression sums of errors, absolute and squared."""

    version: str
    pairs: Mapping[tuple[str, str], float]
    errors: Mapping[str, float]

    @property
    def count(self) -> float:
        """Labels."""
        return sum(self.pairs.values())

    @property
    def task(self) -> Task | None:
        """What is predicted; None before that can be told."""
        if not self.pairs:
            return None
        return "Regression" if self.pairs.keys() == {(VALUE, VALUE)} else "Classification"


class Compared(Figure):
    """A figure with the limit that the stable version's makes for it, and how far chance takes the two apart."""

    def __init__(self, value: float, limits: Bounds, noise: float, labels: tuple[float, float]) -> None:
        super().__init__(value)
        self.limits = limits
        self._noise, self._labels = noise, labels

    def surely_above(self, limit: float) -> bool:
        """Whether chance gives so much less often than once in twenty times where both versions are at the limit."""
        return self.value - limit > _BEYOND_CHANCE * self._noise

    def surely_below(self, limit: float) -> bool:
        """The same below."""
        return limit - self.value > _BEYOND_CHANCE * self._noise

    @property
    def doubt(self) -> str:
        """Why a value beyond the limit is not enough."""
        new, stable = self._labels
        return f"within sampling noise: {new:.0f} labels, {stable:.0f} of the stable version"


def misfit(metric: AnalysisMetric, labels: Labels) -> str:
    """Why the metric says nothing of the version, and what to do; empty where it fits or that cannot be told yet."""
    task = labels.task
    if task is None or kind_of(metric) in METRICS[task]:
        return ""
    if task == "Regression":
        return f"{labels.version} predicts a number, not a class: set metric to mae or rmse, with max or maxDrop"
    return f"{labels.version} predicts classes, not a number: set metric to accuracy, with min or maxDrop"


def unknown(metric: AnalysisMetric, labels: Labels) -> str:
    """Why there is no figure although there are labels; empty where there is one."""
    if kind_of(metric) not in _SUMS:
        return ""
    if not labels.errors.keys() >= set(_SUMS.values()):
        return f"the predictors of {labels.version} count no errors"
    finite = all(math.isfinite(each) for each in labels.errors.values())
    return "" if finite else f"the errors of {labels.version} add up to no finite number"


def performance(metric: AnalysisMetric, labels: Labels) -> Figure:
    """The figure; there are ``labels``, and nothing about them is :func:`unknown`."""
    return Figure(_value(kind_of(metric), labels))


def compared(metric: AnalysisMetric, drop: float, new: Labels, stable: Labels) -> Compared:
    """The figure of ``new`` under the limit that that of ``stable`` makes: absolute, of an error as a share of it."""
    kind = kind_of(metric)
    value, before, labels = _value(kind, new), _value(kind, stable), (new.count, stable.count)
    if kind in LOWER_IS_BETTER:
        noise = math.hypot(_noise(kind, new), (1 + drop) * _noise(kind, stable))
        return Compared(value, Bounds(max=before * (1 + drop)), noise, labels)
    noise = math.hypot(_noise(kind, new), _noise(kind, stable))
    return Compared(value, Bounds(min=before - drop), noise, labels)


def _value(kind: str, labels: Labels) -> float:
    if kind not in _SUMS:
        return _right(labels) / labels.count
    mean = labels.errors[_SUMS[kind]] / labels.count
    return math.sqrt(mean) if kind == "rmse" else mean


def _right(labels: Labels) -> float:
    return sum(count for (predicted, actual), count in labels.pairs.items() if predicted == actual)


def _noise(kind: str, labels: Labels) -> float:
    """The standard error of the figure, rows taken as independent.

    Of a share with one more right and one more wrong label (Agresti & Caffo 2000, The American Statistician 54(4)),
    else none of few labels wrong would be sure. Of an rmse that of normal errors, the figure / sqrt(2 n): what is
    counted does not tell how its squares vary.
    """
    rows, value = labels.count, _value(kind, labels)
    if kind == "rmse":
        return value / math.sqrt(2 * rows)
    if kind == "mae":
        variance = labels.errors[SQUARED] / rows - value**2
        return math.sqrt(max(0.0, variance) / max(1.0, rows - 1))
    share = (_right(labels) + 1) / (rows + 2)
    return math.sqrt(share * (1 - share) / (rows + 2))
