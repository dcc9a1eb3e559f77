"""Has a feature's distribution changed, and by enough to matter? From the counts of bins alone, for all features at
once.

Notation: p, q are the shares of the B bins in the reference (m rows) and the window (n rows, in K chunks of time), each
count smoothed by +0.5; pooled is their mean weighted by rows; D, the design effect (``effect``), is how much more the
window's shares vary from chunk to chunk than those of independent rows would; n_e = nm / (n+m) / D: what comes in
clusters now did so in training. Two tests, and the smaller p-value doubled (Bonferroni):

- Pearson: X2 = n_e sum (q-p)^2 / pooled on B-1 degrees of freedom. Sees any change, of bins in no order too.
- Order-aware, for ordered bins: T = n_e1 (d s1)^2 + n_e2 (d s2)^2 on 2, where d = q-p, s1 is the pooled mid-rank
  standardised, and s2 its square made orthogonal to it: a change of location and one of spread (Nair 1986, the
  components of a cumulative chi-square; Rayner & Best 2001, "A Contingency Table Approach to Nonparametric Testing").

Both are divided by their degrees of freedom f and referred to F on (f, f times the chunks that D is known by), since D
is itself estimated (Thomas & Rao 1987, JASA 82:630).

Where the reference is known by windows of its own, D is by how much those differ, for that holds all that makes windows
differ: rows in clusters, autocorrelation, seasons within a window and beyond it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, fdtrc

from perennial.contracts.baseline import LABEL, Distribution
from perennial.domain.drift.bins import Array, Groups, group
from perennial.domain.drift.effect import Effect, moderated, scatter, unevenness

SMOOTHING = 0.5
MIN_ROWS = 200
MIN_LABELS = 50
"""Of the true classes, which are few: rows that are held out, and labels, are always fewer than predictions."""
FEWEST_WINDOWS = 5
"""Windows of the reference that say better what a window is worth than its own chunks."""


@dataclass(frozen=True)
class FeatureTest:
    """One feature's evidence: p-value (not adjusted for the number of features), population stability index without
    its bias, the largest of the design effects, rows in the window; the bin whose share changed most with its share
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
    """A test with its p-value adjusted for all features, the index that is let pass, and whether it is both significant
    and large.
    """

    test: FeatureTest
    adjusted: float
    drifting: bool
    threshold: float


@dataclass(frozen=True)
class _Compared:
    """Features beside each other, in groups of bins: ``before`` (F, B), ``cells`` (F, K, B), zeros after a feature's
    own ``bins`` (F,); ``phases`` (K,) are the chunks' places in a season. ``windows``: cells are whole windows, not a
    window's chunks.
    """

    before: Array
    cells: Array
    bins: npt.NDArray[np.int64]
    phases: npt.NDArray[np.int64]
    windows: bool = False
    after: Array = field(init=False)
    n: Array = field(init=False)
    m: Array = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "after", self.cells.sum(axis=1))
        object.__setattr__(self, "n", self.after.sum(axis=1))
        object.__setattr__(self, "m", self.before.sum(axis=1))

    def within(self, inside: npt.NDArray[np.bool_], bins: npt.NDArray[np.int64]) -> "_Compared":
        """Of the bins ``inside`` (F, B) alone, which are so many (F,)."""
        return _Compared(self.before * inside, self.cells * inside[:, None, :], bins, self.phases, self.windows)

    def chosen(self, which: npt.NDArray[np.bool_]) -> "_Compared":
        """Of these features (F,) alone."""
        return _Compared(self.before[which], self.cells[which], self.bins[which], self.phases, self.windows)

    def shares(self) -> tuple[Array, Array, Array]:
        """(p, q, pooled), each (F, B), 0 after a feature's own bins."""
        own = np.arange(self.before.shape[1]) < self.bins[:, None]
        p, q = _smoothed(self.before, own), _smoothed(self.after, own)
        n, m = self.n[:, None], self.m[:, None]
        return p, q, (n * q + m * p) / np.maximum(n + m, 1e-9)


def examine(
    features: Sequence[tuple[Distribution, Array]], *, season: int = 0, windows: Mapping[str, Array] | None = None
) -> list[FeatureTest | None]:
    """Tests each of ``features``: its reference, and the window's counts, shape (K, B), in the order of its bins.

    ``season`` is the number of chunks after which the data repeats itself (0: it does not); ``windows`` are the
    reference's own windows of that length, (R, B) by name, as far as they are known. None where the window or
    the reference has fewer than 200 rows: too little to call anything healthy.
    """
    places = [at for at, (known, chunks) in enumerate(features) if _enough(known, chunks)]
    results: list[FeatureTest | None] = [None] * len(features)
    if not places:
        return results
    chosen = [features[at] for at in places]
    groups = [group(known, chunks.sum(axis=0)) for known, chunks in chosen]
    for at, found in zip(places, _tests(chosen, groups, season, windows or {}), strict=True):
        results[at] = found
    return results


def judge_features(
    tests: Sequence[FeatureTest], *, alpha: float | Sequence[float], tolerance: float | Sequence[float]
) -> list[Finding]:
    """Which of ``tests`` show drift: significant at false discovery rate ``alpha`` over all of them, and a population
    stability index above ``tolerance``; both may be given for each. The order is that of ``tests``.
    """
    adjusted = benjamini_hochberg([test.p_value for test in tests])
    alphas, limits = np.broadcast_to(alpha, len(tests)), np.broadcast_to(tolerance, len(tests))
    return [
        Finding(test, p_value, bool(p_value <= rate and test.psi > limit), float(limit))
        for test, p_value, rate, limit in zip(tests, adjusted, alphas, limits, strict=True)
    ]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number: to be compared with the false discovery rate (Benjamini & Hochberg 1995)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return [float(each) for each in adjusted]


def stability_index(before: Array, after: Array) -> Array:
    """Population stability index sum (q-p) ln(q/p) of counts (…, B) against ``before`` (B,), its bias not removed."""
    own = np.ones(before.shape[-1], dtype=bool)
    p, q = _smoothed(before, own), _smoothed(after, own)
    index: Array = ((q - p) * np.log(q / p)).sum(axis=-1)
    return index


def design_effect(cells: Array) -> float:
    """By how much the shares of one distribution vary more between its chunks (counts (K, B)) than those of independent
    rows: the mean generalised design effect of Rao & Scott 1984, neighbours' correlation in; never under 1.
    """
    made = _Compared(cells.sum(axis=0)[None], cells[None], np.array([cells.shape[1]]), np.zeros(len(cells), dtype=int))
    return float(_pearson_effect(made)[0].size[0])


# --- the two tests ------------------------------------------------------------------------------------------------


def _enough(reference: Distribution, chunks: Array) -> bool:
    least = MIN_LABELS if reference.name == LABEL else MIN_ROWS
    return bool(chunks.sum() >= least) and sum(reference.counts) >= least


def _tests(
    features: Sequence[tuple[Distribution, Array]],
    groups: Sequence[Groups], season: int, windows: Mapping[str, Array],
) -> list[FeatureTest]:  # fmt: skip
    counts = [np.asarray(known.counts, dtype=np.float64) for known, _ in features]
    before = [each.total(own) for each, own in zip(groups, counts, strict=True)]
    length = features[0][1].shape[0]
    phases = np.arange(length) % season if season else np.zeros(length, dtype=int)
    cells = [each.total(chunks) for each, (_, chunks) in zip(groups, features, strict=True)]
    compared = _side_by_side(before, cells, phases)
    usual = _usual(features, groups, before, windows)
    ordered, largest = _order_aware(compared, usual, groups)
    p_values, index, effect = _pearson(compared, usual, largest)
    both = np.where(np.isnan(ordered), p_values, np.minimum(1.0, 2 * np.fmin(p_values, ordered)))
    return _described(features, groups, compared, both, index, np.maximum(effect, largest))


def _usual(
    features: Sequence[tuple[Distribution, Array]],
    groups: Sequence[Groups], before: list[Array], windows: Mapping[str, Array],
) -> _Compared | None:  # fmt: skip
    """The reference's own windows in place of chunks; features with too few have none."""
    found = [windows.get(known.name, np.zeros((0, len(known.bins)))) for known, _ in features]
    most = max(map(len, found))
    if most < FEWEST_WINDOWS:
        return None
    known = [each if len(each) >= FEWEST_WINDOWS else each[:0] for each in found]
    padded = [np.pad(each, ((0, most - len(each)), (0, 0))) for each in known]
    cells = [each.total(own) for each, own in zip(groups, padded, strict=True)]
    return dataclasses.replace(_side_by_side(before, cells, np.zeros(most, dtype=int)), windows=True)


def _side_by_side(before: list[Array], cells: list[Array], phases: npt.NDArray[np.int64]) -> _Compared:
    width, chunks = max(map(len, before)), len(phases)
    table, counts = np.zeros((len(before), width)), np.zeros((len(before), chunks, width))
    for at, (row, block) in enumerate(zip(before, cells, strict=True)):
        table[at, : len(row)], counts[at, :, : len(row)] = row, block
    return _Compared(table, counts, np.array([len(each) for each in before]), phases)


def _described(
    features: Sequence[tuple[Distribution, Array]],
    groups: Sequence[Groups], compared: _Compared, p_values: Array, index: Array, effects: Array,
) -> list[FeatureTest]:  # fmt: skip
    p = compared.before / compared.m[:, None]
    q = compared.after / compared.n[:, None]
    moved = np.abs(q - p).argmax(axis=1)
    return [
        FeatureTest(
            feature=known.name, p_value=float(p_values[at]), psi=float(index[at]),
            design_effect=float(effects[at]), rows=float(compared.n[at]),
            top_bin=groups[at].name(int(top), known.bins, chunks.sum(axis=0) + np.asarray(known.counts)),
            share_before=float(p[at, top]), share_now=float(q[at, top]),
        )
        for at, ((known, chunks), top) in enumerate(zip(features, moved, strict=True))
    ]  # fmt: skip


def _pearson(compared: _Compared, usual: _Compared | None, largest: Array) -> tuple[Array, Array, Array]:
    """(p-values, population stability indices without their bias (B-1)/n_e, design effects), each (F,).

    The bias: Yurdakul & Naranjo 2020, Journal of Risk Model Validation 14(4).
    """
    freedom = compared.bins - 1
    effect, uneven = _pearson_effect(compared)
    if usual is not None:
        theirs, unlike = _pearson_effect(usual)
        effect, uneven = _by_windows(compared, usual, effect, theirs), np.where(usual.n > 0, unlike, uneven)
    p, q, pooled = compared.shares()
    n_e = _worth(compared, effect.size)
    own = pooled > 0
    statistic = n_e * np.divide((q - p) ** 2, pooled, out=np.zeros_like(p), where=own).sum(axis=1)
    index = ((q - p) * np.log(np.divide(q, p, out=np.ones_like(p), where=own))).sum(axis=1)
    narrowed = np.maximum(freedom, 1) / (1 + uneven)
    p_values = np.where(freedom > 0, _tail(statistic / (1 + uneven), narrowed, effect.freedom), 1.0)
    # Far out, a weighted sum of chi-squares has the tail of its largest weight, the others at their mean.
    share = np.maximum(largest / effect.size, 1.0)
    p_values = np.maximum(p_values, chdtrc(1, np.maximum((statistic - freedom) / share + 1, 0.0)))
    return p_values, np.where(freedom > 0, index - freedom / n_e, 0.0), effect.size


def _order_aware(compared: _Compared, usual: _Compared | None, groups: Sequence[Groups]) -> tuple[Array, Array]:
    """(p-values, NaN where bins have no order, design effects), each (F,).

    The design effects are the two scores' own: what drifts slowly moves the location more than any one bin.
    """
    ordered = np.array([each.ordered if each.ordered > 2 else 0 for each in groups])
    inside = np.arange(compared.before.shape[1]) < ordered[:, None]
    # Missing values have no place in the order: among those that are there.
    among = compared.within(inside, ordered)
    tested = (ordered > 0) & (among.n >= MIN_ROWS) & (among.m >= MIN_ROWS)
    p_values, effects = np.full(len(ordered), np.nan), np.ones(len(ordered))
    if not tested.any():
        return p_values, effects
    among = among.chosen(tested)
    usual = usual.within(inside, ordered).chosen(tested) if usual is not None else None
    p, q, pooled = among.shares()
    statistic, sizes, degrees = np.zeros(len(p)), np.ones(len(p)), np.full(len(p), np.inf)
    for scores in _scores(pooled):
        effect = _score_effect(among, scores)
        if usual is not None:
            effect = _by_windows(among, usual, effect, _score_effect(usual, scores))
        statistic += _worth(among, effect.size) * ((scores * (q - p)).sum(axis=1)) ** 2
        sizes, degrees = np.maximum(sizes, effect.size), np.minimum(degrees, effect.freedom)
    p_values[tested] = _tail(statistic, np.full(len(p), 2), 2 * degrees)
    effects[tested] = sizes
    return p_values, effects


def _scores(pooled: Array) -> tuple[Array, Array]:
    """Location and spread: (F, B) each, with mean 0 and variance 1 under ``pooled`` and uncorrelated."""
    ranks = np.cumsum(pooled, axis=1) - pooled / 2
    location = ranks - (pooled * ranks).sum(axis=1, keepdims=True)
    location /= np.sqrt((pooled * location**2).sum(axis=1, keepdims=True))
    spread = location**2 - 1 - (pooled * location**3).sum(axis=1, keepdims=True) * location
    return location, spread / np.sqrt((pooled * spread**2).sum(axis=1, keepdims=True))


def _pearson_effect(compared: _Compared) -> tuple[Effect, Array]:
    """The effects and how uneven they are over the bins (F,)."""
    n, seen = np.maximum(compared.n, 1e-9), compared.after > 0
    q = compared.after / n[:, None]
    weights = np.divide(1.0, n[:, None] * q, out=np.zeros_like(q), where=seen)
    chunks, phases = _occupied(compared)
    residuals = _residuals(compared.cells, compared.cells.sum(axis=2), compared.phases)
    total, correlation = scatter(residuals, weights)
    width = np.maximum(seen.sum(axis=1) - 1, 0)
    freedom = width * (chunks - phases)
    raw = total * chunks / np.maximum(freedom, 1)
    effect = moderated(raw, freedom.astype(np.float64), _unbiased(correlation, compared))
    return effect, unevenness(residuals, weights, width + 1.0, (chunks - phases).astype(np.float64), effect.apart)


def _score_effect(compared: _Compared, scores: Array) -> Effect:
    """Of the mean of ``scores`` (F, B) over the window."""
    n = np.maximum(compared.n, 1e-9)
    q = compared.after / n[:, None]
    mean = (scores * q).sum(axis=1)
    variance = (scores**2 * q).sum(axis=1) - mean**2
    usable = variance > 1e-9
    sums = (compared.cells * scores[:, None, :]).sum(axis=2, keepdims=True)
    chunks, phases = _occupied(compared)
    residuals = _residuals(sums, compared.cells.sum(axis=2), compared.phases)
    weights = np.divide(1.0, n * variance, out=np.zeros_like(n), where=usable)[:, None]
    total, correlation = scatter(residuals, weights)
    freedom = np.where(usable, chunks - phases, 0)
    raw = total * chunks / np.maximum(freedom, 1)
    return moderated(raw, np.maximum(freedom, 0).astype(np.float64), _unbiased(correlation, compared))


def _by_windows(compared: _Compared, usual: _Compared, own: Effect, theirs: Effect) -> Effect:
    """What the reference's windows say where they are known: all that makes them differ, seasons and correlation too,
    is in them. Beyond chance it does not shrink with more rows in the window, so D - 1 grows with n.
    """
    known = usual.n > 0
    rows = usual.n / np.maximum((usual.cells.sum(axis=2) > 0).sum(axis=1), 1)
    size = 1 + (theirs.size - 1) * compared.n / np.maximum(rows, 1e-9)
    return Effect(np.where(known, size, own.size), np.where(known, theirs.freedom, own.freedom), own.apart)


def _residuals(sums: Array, rows: Array, phases: npt.NDArray[np.int64]) -> Array:
    """``sums`` (F, K, B) less what the chunk's ``rows`` (F, K) have on average at its place in the season."""
    places = np.eye(int(phases.max(initial=0)) + 1)[phases]
    total = np.einsum("kp,fkb->fpb", places, sums)
    weight = np.einsum("kp,fk->fp", places, rows)
    profile = total / np.maximum(weight, 1e-9)[:, :, None]
    result: Array = sums - rows[:, :, None] * profile[:, phases]
    return result


def _occupied(compared: _Compared) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(Chunks that have rows, places in the season that have), each (F,)."""
    filled = compared.cells.sum(axis=2) > 0
    places = np.eye(int(compared.phases.max(initial=0)) + 1)[compared.phases]
    return filled.sum(axis=1), ((filled @ places) > 0).sum(axis=1)


def _unbiased(correlation: float, compared: _Compared) -> float:
    """Of neighbouring chunks, not of windows: taking off the mean makes them look less alike, by 1/K."""
    if compared.windows:
        return 0.0
    return correlation + (1 / len(compared.phases) if compared.phases.max(initial=0) == 0 else 0.0)


def _worth(compared: _Compared, effect: Array) -> Array:
    """n_e (F,)."""
    return compared.n * compared.m / (compared.n + compared.m) / effect


def _smoothed(counts: Array, own: npt.NDArray[np.bool_]) -> Array:
    smooth = np.where(own, counts + SMOOTHING, 0.0)
    result: Array = smooth / np.maximum(smooth.sum(axis=-1, keepdims=True), 1e-9)
    return result


def _tail(statistic: Array, freedom: Array, below: Array) -> Array:
    """P-values of chi-square statistics (F,) divided by an effect that is known on ``below`` degrees of freedom."""
    finite = np.isfinite(below)
    fitted = fdtrc(freedom, np.where(finite, below, 1.0), statistic / freedom)
    result: Array = np.where(finite, fitted, chdtrc(freedom, statistic))
    return result
