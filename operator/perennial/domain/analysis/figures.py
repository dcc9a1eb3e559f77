"""The figures of the builtin metrics, from counts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import chndtr

from perennial.contracts.baseline import ABOVE, BELOW, INVALID, MISSING, Distribution
from perennial.domain.analysis.comparable import comparable, lower
from perennial.domain.analysis.limits import Figure
from perennial.domain.drift.bins import group
from perennial.domain.drift.statistics import stability_index

LEAST_PREDICTIONS = 20
"""Of fewer, four bins cannot be told apart: a shift of them would always be none."""
CHANCE = 0.05
"""A shift over its limit that chance alone gives more often than this is inconclusive."""


class Quantile(Figure):
    """A duration (s); ``beyond``: it lies above the last bucket's limit, which is all that is known of it."""

    def __init__(self, value: float, *, beyond: bool) -> None:
        super().__init__(value)
        self._beyond = beyond

    @property
    def open_ended(self) -> bool:
        """Whether it may be any time from ``value`` up."""
        return self._beyond

    @property
    def doubt(self) -> str:
        """What is known of it."""
        return f"{self.value:g} s or longer: no bucket is above" if self._beyond else ""


def quantile(share: float, durations: Mapping[float, float]) -> Quantile | None:
    """The time (s) in which ``share`` of the requests were answered; None without requests.

    ``durations`` are cumulative counts by upper limit (s), one of them infinite; the value is interpolated within its
    bucket, as Prometheus' histogram_quantile does it.
    """
    limits = sorted(durations)
    if len(limits) < 2 or not math.isinf(limits[-1]):
        return None
    # increase() extrapolates each bucket by itself: what is cumulative may come out a little uneven.
    counts = np.maximum.accumulate([durations[limit] for limit in limits])
    if counts[-1] <= 0:
        return None
    place = int(np.searchsorted(counts, share * counts[-1]))
    if place == len(limits) - 1:
        return Quantile(limits[-2], beyond=True)
    low, under = (limits[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    within = (share * counts[-1] - under) / (counts[place] - under) if counts[place] > under else 0.0
    return Quantile(low + (limits[place] - low) * float(within), beyond=False)


@dataclass(frozen=True)
class _Noise:
    """``index`` is the raw population stability index, ``freedom`` bins - 1, ``rows`` n m / (n + m)."""

    index: float
    freedom: int
    rows: float


class Shift(Figure):
    """A population stability index without its bias, which knows its sampling noise.

    With n and m independent rows and B bins, n m / (n + m) times the index is noncentral chi-square on B - 1 degrees of
    freedom, its noncentrality n m / (n + m) times the true index: Yurdakul & Naranjo 2020 (Journal of Risk Model
    Validation 14(4)) where nothing shifted, its local alternatives (Read & Cressie 1988, Goodness-of-Fit Statistics,
    4.2; the index is a sum of two power divergences) where something did.
    """

    def __init__(self, noise: _Noise, hidden: str = "") -> None:
        super().__init__(max(0.0, noise.index - noise.freedom / noise.rows))
        self._noise, self._hidden = noise, hidden

    def chance(self, limit: float) -> float:
        """How often a true index of ``limit`` gives an index as large as this one, or larger."""
        if not self._noise.freedom:
            return 1.0
        rows = self._noise.rows
        return float(1 - chndtr(rows * self._noise.index, self._noise.freedom, rows * max(0.0, limit)))

    def surely_above(self, limit: float) -> bool:
        """Whether chance gives so large an index less often than once in twenty times where the true one is the
        limit.
        """
        return self.value > limit and self.chance(limit) < CHANCE

    @property
    def open_ended(self) -> bool:
        """Whether the bins may hide more of it: bins that are added up never show a larger shift than there is."""
        return bool(self._hidden)

    @property
    def doubt(self) -> str:
        """Why a value above the limit is not enough, or one under it."""
        noise = self._noise
        return self._hidden or (
            f"within sampling noise: {noise.rows:.0f} effective predictions in {noise.freedom + 1} bins"
        )


def shift(new: Mapping[str, float], stable: Mapping[str, float]) -> Shift | None:
    """Of predictions by bin, in the bins that both versions can be told in; None where there are none.

    A bin too thin to be compared is counted with a neighbour.
    """
    found = comparable(new, stable)
    if found is None:
        return None
    names = tuple(sorted(found.new, key=_place))
    after, before = (
        np.array([counts[name] for name in names], dtype=np.float64) for counts in (found.new, found.stable)
    )
    layout = Distribution("prediction", "Numeric", names, tuple(round(count) for count in before))
    groups = group(layout, after)
    joined_after, joined_before = groups.total(after), groups.total(before)
    rows = after.sum() * before.sum() / (after.sum() + before.sum())
    index = float(stability_index(joined_before, joined_after))
    return Shift(_Noise(index, len(joined_before) - 1, float(rows)), found.doubt)


def _place(name: str) -> tuple[float, str]:
    """Where a bin stands in the order of the predictions."""
    if name in {MISSING, INVALID, BELOW, ABOVE}:
        return (math.inf if name == ABOVE else -math.inf), name
    low = lower(name)
    return (0.0 if low is None else low), name  # a baseline that somebody else wrote
