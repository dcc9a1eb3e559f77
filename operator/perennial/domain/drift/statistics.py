"""Has a feature's distribution changed, and by enough to matter? From the counts of bins alone.

Notation: p, q are the shares of the B bins in the reference (m rows) and the window (n rows, in K chunks of time), each
count smoothed by +0.5; pooled is their mean weighted by rows; D, the design effect, is how much more the window's
shares vary from chunk to chunk than those of independent rows would; n_e = 1 / (D/n + 1/m), so that a variance is a
variance of q - p. Two tests, and the smaller p-value doubled (Bonferroni):

- Pearson: X2 = n_e sum (q-p)^2 / pooled on B-1 degrees of freedom. Sees any change, of bins in no order too.
- Order-aware, for ordered bins: T = n_e [(sum d s1)^2 + (sum d s2)^2] on 2, where d = q-p, s1 is the pooled mid-rank
  standardised, and s2 its square made orthogonal to it: a change of location and one of spread (Nair 1986, the
  components of a cumulative chi-square; Rayner & Best 2001, "A Contingency Table Approach to Nonparametric Testing").

Both are divided by their degrees of freedom f and referred to F on (f, f (K-1)), since D is itself estimated from K
chunks (Rao & Scott 1984, Annals of Statistics 12:46; Thomas & Rao 1987, JASA 82:630). With many chunks of independent
rows D is 1, and F nearly chi-square.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, fdtrc

from perennial.contracts.baseline import Distribution
from perennial.domain.drift.bins import Array, group

SMOOTHING = 0.5
MIN_ROWS = 200


@dataclass(frozen=True)
class FeatureTest:
    """One feature's evidence: p-value (not adjusted for the number of features), population stability index without
    its bias, the largest of the two design effects, rows in the window; the bin whose share changed most with its share
    in the reference and in the window.
    """

    feature: str
    p_value: float
    psi: float
    design_effect: float
    rows: float
    top_bin: str
    share_before: float
    share_now: float


@dataclass(frozen=True)
class Finding:
    """A test with its p-value adjusted for all features, and whether it is both significant and large."""

    test: FeatureTest
    adjusted: float
    drifting: bool


def examine(reference: Distribution, chunks: Array) -> FeatureTest | None:
    """Tests one feature: ``chunks`` are the window's counts, shape (K, B), in the order of ``reference.bins``.

    None when the window or the reference has fewer than 200 rows: too little to call anything healthy.
    """
    occupied = chunks[chunks.sum(axis=1) > 0]
    window = occupied.sum(axis=0)
    if window.sum() < MIN_ROWS or sum(reference.counts) < MIN_ROWS:
        return None
    groups = group(reference, window)
    before, cells = groups.total(np.asarray(reference.counts, dtype=np.float64)), groups.total(occupied)
    effect, p_value = _pearson(before, cells)
    if groups.ordered > 2:
        # Missing values have no place in the order: among those that are there.
        effect2, p_ordered = _order_aware(before[: groups.ordered], cells[:, : groups.ordered])
        p_value, effect = min(1.0, 2 * min(p_value, p_ordered)), max(effect, effect2)
    p, q = before / before.sum(), cells.sum(axis=0) / window.sum()
    moved = int(np.argmax(np.abs(q - p)))
    return FeatureTest(
        feature=reference.name, p_value=p_value, psi=_psi(before, cells),
        design_effect=effect, rows=float(window.sum()),
        top_bin=groups.name(moved, reference.bins, window + np.asarray(reference.counts)),
        share_before=float(p[moved]), share_now=float(q[moved]),
    )  # fmt: skip


def judge_features(tests: list[FeatureTest], *, alpha: float, tolerance: float) -> list[Finding]:
    """Which of ``tests`` show drift: significant at false discovery rate ``alpha`` over all of them, and a population
    stability index above ``tolerance``. The order is that of ``tests``.
    """
    adjusted = benjamini_hochberg([test.p_value for test in tests])
    return [
        Finding(test, p_value, p_value <= alpha and test.psi > tolerance)
        for test, p_value in zip(tests, adjusted, strict=True)
    ]


def benjamini_hochberg(p_values: list[float]) -> list[float]:
    """P-values adjusted for their number: to be compared with the false discovery rate (Benjamini & Hochberg 1995)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return [float(each) for each in adjusted]


def shares(counts: Array) -> Array:
    """Smoothed shares of counts of shape (B,)."""
    smooth = counts + SMOOTHING
    result: Array = smooth / smooth.sum()
    return result


def design_effect(cells: Array) -> float:
    """How much more the window's shares vary between its chunks (counts ``cells``, shape (K, B)) than those of
    independent rows: the mean generalised design effect of Rao & Scott 1984 with the chunks as clusters,
    K/(K-1) sum_k sum_j (c_kj - n_k q_j)^2 / (n q_j) / (B-1), over the bins that occur; never under 1.
    """
    total = cells.sum(axis=0)
    seen = total > 0
    chunks, bins = len(cells), int(seen.sum())
    if chunks < 2 or bins < 2:
        return 1.0
    n = float(total.sum())
    q = total[seen] / n
    rows = cells.sum(axis=1, keepdims=True)
    scatter = float((((cells[:, seen] - rows * q) ** 2) / (n * q)).sum())
    return max(1.0, scatter * chunks / float((chunks - 1) * (bins - 1)))


def _pearson(before: Array, cells: Array) -> tuple[float, float]:
    """(design effect, p-value) of Pearson's test; ``before`` (B,), ``cells`` (K, B)."""
    freedom = len(before) - 1
    if freedom < 1:
        return 1.0, 1.0
    effect = design_effect(cells)
    p, q, pooled, n_e = _compared(before, cells.sum(axis=0), effect)
    return effect, _tail(n_e * float(((q - p) ** 2 / pooled).sum()), freedom, len(cells))


def _order_aware(before: Array, cells: Array) -> tuple[float, float]:
    """(design effect, p-value) of the two-component test over ordered bins (at least three).

    Its design effect is that of the two scores' means: what drifts slowly moves the location more than any one bin.
    """
    after = cells.sum(axis=0)
    if after.sum() < MIN_ROWS or before.sum() < MIN_ROWS:
        return 1.0, 1.0
    *_, pooled, _ = _compared(before, after, 1.0)
    scores = _scores(pooled)
    effect = _score_effect(scores, cells)
    p, q, _, n_e = _compared(before, after, effect)
    return effect, _tail(n_e * float(((scores @ (q - p)) ** 2).sum()), 2, len(cells))


def _scores(pooled: Array) -> Array:
    """Location and spread: (2, B), each with mean 0 and variance 1 under ``pooled`` and uncorrelated."""
    ranks = np.cumsum(pooled) - pooled / 2
    location = ranks - pooled @ ranks
    location /= np.sqrt(pooled @ location**2)
    spread = location**2 - 1 - (pooled @ location**3) * location
    return np.stack([location, spread / np.sqrt(pooled @ spread**2)])


def _score_effect(scores: Array, cells: Array) -> float:
    """The mean over both scores of the variance of their window means, by chunks as clusters, over that of
    independent rows; never under 1.
    """
    chunks, n = len(cells), float(cells.sum())
    if chunks < 2:
        return 1.0
    share = cells.sum(axis=0) / n
    mean = scores @ share
    variance = (scores**2) @ share - mean**2
    scatter = (((cells @ scores.T) - cells.sum(axis=1, keepdims=True) * mean) ** 2).sum(axis=0)
    usable = variance > 1e-9
    if not usable.any():
        return 1.0
    return max(1.0, float((scatter[usable] / (n * variance[usable])).mean() * chunks / (chunks - 1)))


def _compared(before: Array, after: Array, effect: float) -> tuple[Array, Array, Array, float]:
    """(p, q, pooled, n_e) with the window's rows divided by the design effect."""
    p, q, n, m = shares(before), shares(after), after.sum() / effect, before.sum()
    return p, q, (n * q + m * p) / (n + m), float(n * m / (n + m))


def _tail(statistic: float, freedom: int, chunks: int) -> float:
    if chunks < 2:
        return float(chdtrc(freedom, statistic))
    return float(fdtrc(freedom, freedom * (chunks - 1), statistic / freedom))


def _psi(before: Array, cells: Array) -> float:
    """Population stability index sum (q-p) ln(q/p) minus its mean where nothing changed, (B-1)/n_e
    (Yurdakul & Naranjo 2020, Journal of Risk Model Validation 14(4)).
    """
    p, q, _, n_e = _compared(before, cells.sum(axis=0), design_effect(cells))
    return float(((q - p) * np.log(q / p)).sum() - (len(p) - 1) / n_e)
