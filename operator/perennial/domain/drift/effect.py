"""How many independent rows is a window worth? Design effects, moderated over the features.

Rows that come together are alike: a window's share then varies more from chunk to chunk of time than that of
independent rows. The design effect D is by how much (Rao & Scott 1984, Annals of Statistics 12:46, with the chunks as
clusters); n rows are worth n/D. It is estimated from K chunks alone, so each feature's estimate is drawn towards what
all features have in common, as far as they agree (Smyth 2004, Statistical Applications in Genetics 3:3, as for
variances of genes): where they agree wholly, the chunks of all of them say how uncertain it is, and where they do not,
each stands for itself.

One D for all bins is right on average only: where a few bins vary much more than the others, Pearson's statistic over D
has a longer tail than chi-square. The second correction of Rao & Scott divides it, and its degrees of freedom, by 1 +
a^2, with a the coefficient of variation of the effects' eigenvalues.

Neighbouring chunks may be alike too. With r the correlation of neighbours, the window varies (1+r)/(1-r) times more
than its chunks say (a process of first order; Andrews & Monahan 1992, Econometrica 60:953, use it to whiten).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import digamma, fdtrc, polygamma

Array = npt.NDArray[np.float64]
STRONGEST = 0.9
"""Correlation of neighbouring chunks over which nothing can be told."""
OUTLYING = 0.01


@dataclass(frozen=True)
class Effect:
    """Design effects (F,), never under 1, the degrees of freedom (F,) that they are known by, infinite at best, and
    whether a feature's own differs from all others'.
    """

    size: Array
    freedom: Array
    apart: npt.NDArray[np.bool_]


def scatter(residuals: Array, weights: Array) -> tuple[Array, float]:
    """(Sum over chunks and bins of the weighted squares (F,), mean correlation of neighbouring chunks).

    ``residuals`` (F, K, B) are counts less what was expected of the chunk; ``weights`` (F, B).
    """
    weighted = residuals * weights[:, None, :]
    total = (weighted * residuals).sum(axis=(1, 2))
    if residuals.shape[1] < 3:
        return total, 0.0
    neighbours = (weighted[:, 1:] * residuals[:, :-1]).sum(axis=(1, 2))
    usable = total > 1e-9
    return total, float((neighbours[usable] / total[usable]).mean()) if usable.any() else 0.0


def moderated(raw: Array, freedom: Array, correlation: float) -> Effect:
    """From raw design effects (F,) on ``freedom`` (F,) degrees (0: nothing is known, the effect is 1)."""
    r = min(max(correlation, 0.0), STRONGEST)
    raw = raw * (1 + r) / (1 - r)
    known = (freedom > 0) & (raw > 1e-6)
    common, prior = _prior(raw[known], freedom[known])
    size, degrees = np.ones_like(raw), np.where(freedom > 0, freedom, np.inf)
    if np.isinf(prior):
        drawn, gained = np.full_like(raw, common), np.full_like(raw, freedom[known].sum())
    else:
        drawn = (prior * common + freedom * raw) / np.maximum(prior + freedom, 1e-9)
        gained = prior + freedom
    # One that differs more than chance allows is none of the crowd.
    apart = known & (raw > common) & (_tail(raw / common, freedom, prior) < OUTLYING)
    size[known] = np.where(apart, raw, drawn)[known]
    degrees[known] = np.where(apart, freedom, gained)[known]
    return Effect(np.maximum(size, 1.0), degrees, apart)


def unevenness(residuals: Array, weights: Array, bins: Array, chunks: Array, apart: npt.NDArray[np.bool_]) -> Array:
    """a^2 (F,): see above; the mean of all features but for those that are ``apart``.

    ``residuals`` (F, K, B), ``weights`` (F, B), ``bins`` (F,) that occur, ``chunks`` (F,) degrees of freedom in time.
    The sum of squared eigenvalues is that of the estimated matrix less what its own noise adds.
    """
    scaled = residuals * np.sqrt(weights)[:, None, :]
    matrix = np.swapaxes(scaled, 1, 2) @ scaled
    trace, squares = np.trace(matrix, axis1=1, axis2=2), (matrix**2).sum(axis=(1, 2))
    known = (chunks > 1) & (bins > 2) & (trace > 1e-9)
    freedom = np.where(known, chunks, 2.0)
    clean = (squares - trace**2 / freedom) / (1 + 1 / freedom)
    own = np.where(known, np.maximum((bins - 1) * clean / np.maximum(trace**2, 1e-18) - 1, -1.0), 0.0)
    crowd = known & ~apart
    common = float(own[crowd].mean()) if crowd.any() else 0.0
    widest = np.maximum(bins - 2.0, 0.0)
    result: Array = np.clip(np.where(apart, own, common), 0.0, widest)
    return result


def _tail(ratio: Array, freedom: Array, prior: float) -> Array:
    if prior == 0:
        return np.ones_like(ratio)
    p: Array = fdtrc(np.maximum(freedom, 1.0), min(prior, 1e6), ratio)
    return p


def _prior(raw: Array, freedom: Array) -> tuple[float, float]:
    """(The common effect, the degrees of freedom that it is worth) by the logarithm's moments (Smyth 2004, 6.2)."""
    if len(raw) < 2:
        return 1.0, 0.0
    half = freedom / 2
    logs = np.log(raw) - digamma(half) + np.log(half)
    excess = float(logs.var(ddof=1) - polygamma(1, half).mean())
    if excess <= 0:  # they are one: its best estimate is the mean, known by the chunks of all
        return float((freedom * raw).sum() / freedom.sum()), np.inf
    prior = 2 * _trigamma_inverse(excess)
    return float(np.exp(logs.mean() + digamma(prior / 2) - np.log(prior / 2))), prior


def _trigamma_inverse(value: float) -> float:
    """The x with trigamma(x) = value > 0, by Newton's method on 1/trigamma, which is nearly straight."""
    x = 0.5 + 1 / value
    for _ in range(20):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-6:
            break
    return x
