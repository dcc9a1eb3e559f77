"""Confidence intervals of metrics, and the probability of a gain, by bootstrap over the held-out rows.

The rows are drawn with replacement from a fixed seed (Efron 1979); where rows were held out by group, whole groups are,
for rows of one patient tell less than as many patients (cluster bootstrap, Field and Welsh 2007). For an interval of a
metric the draws' quantiles are taken (percentile interval); those of the calibration error lie above it (a bin's gap
never cancels in a draw), so that its interval is their mirror image (basic interval), from 0 on. Two models meet in the
same draws (paired bootstrap).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from perennial.contracts.result import LOWER_IS_BETTER, Gain, Interval
from perennial.contracts.signature import Signature
from perennial_components.evaluate.weighted import Statistics, Values, statistics

RESAMPLES, RESAMPLES_OF_SLICE = 1000, 400
ROWS, ROWS_OF_SLICE = 50_000, 5_000
"""Of more rows that many, drawn without replacement, stand for all: the spread shrinks with the root of the share."""
_WORK = 12_000_000
_FEWEST = 200
_FEWEST_GROUPS = 5
"""Of fewer, draws that are one group again and again make up an end of the interval: of one group, all of it."""
_BLOCK = 250_000
_LEVEL = 0.95
_DEFINED = 0.95
"""The share of draws in which a metric must be defined: elsewhere its rows are too few to say how sure it is."""

Draws = dict[str, Values]
Groups = NDArray[np.int64] | None


def intervals(
    signature: Signature,
    target: NDArray[Any],
    answers: NDArray[np.floating[Any]],
    seed: int,
    groups: Groups = None,
    *,
    part: bool = False,
) -> dict[str, Interval]:
    """The 95 % interval of each metric, for those that the rows suffice for; ``part``: the rows are a slice.

    Arrays are as those of ``metrics.figures``; ``groups`` [N] numbers the group of each row.
    """
    if _too_few(groups):
        return {}
    many, rows = (RESAMPLES_OF_SLICE, ROWS_OF_SLICE) if part else (RESAMPLES, ROWS)
    [draws], [whole] = distributions(signature, target, [answers], seed, (many, rows), groups=groups)
    found = {name: _interval(name, values, float(whole[name][0])) for name, values in draws.items()}
    return {name: interval for name, interval in found.items() if interval is not None}


def gain(
    signature: Signature,
    target: NDArray[Any],
    pair: tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]],
    metric: str,
    least: float,
    seed: int,
    groups: Groups = None,
) -> Gain | None:
    """What the first of ``pair`` gains over the second in ``metric`` on the same rows, None where they do not suffice.

    The probability of a gain above ``least`` is the share of draws above it, those at it by half: two models that
    answer alike have one half. For the accuracy, where ``least`` is 0 and there are no ``groups``, it is 1 minus the
    one-sided p-value of McNemar's exact test.
    """
    if _too_few(groups):
        return None
    draws, whole = distributions(signature, target, pair, seed, (RESAMPLES, ROWS), metric, groups)
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    differences = sign * (draws[0][metric] - draws[1][metric])
    value = sign * float(whole[0][metric][0] - whole[1][metric][0])
    defined = differences[np.isfinite(differences)]
    if not np.isfinite(value) or len(defined) < _DEFINED * len(differences):
        return None
    low, high = np.quantile(defined, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    if metric == "accuracy" and least == 0 and groups is None:
        probability = mcnemar(*(answers.argmax(axis=1) == target for answers in pair))
        return Gain(metric, value, float(low), float(high), probability, "McNemar")
    edge = 1e-12
    above, under = float(np.mean(defined > least + edge)), float(np.mean(defined < least - edge))
    return Gain(metric, value, float(low), float(high), (1 + above - under) / 2, "PairedBootstrap")


def mcnemar(mine: NDArray[np.bool_], its: NDArray[np.bool_]) -> float:
    """1 minus the one-sided p-value of McNemar's exact test that the first is right more often; 0.5 where both are
    right and wrong on the same rows. ``mine`` and ``its`` [N] say who was right.
    """
    won, lost = int(np.sum(mine & ~its)), int(np.sum(its & ~mine))
    if won + lost == 0:
        return 0.5
    return 1 - float(binomtest(won, won + lost, 0.5, alternative="greater").pvalue)


def distributions(
    signature: Signature,
    target: NDArray[Any],
    models: Sequence[NDArray[np.floating[Any]]],
    seed: int,
    bounds: tuple[int, int],
    metric: str = "",
    groups: Groups = None,
) -> tuple[list[Draws], list[Draws]]:
    """For each model its metrics [B] in the same draws, and [1] on the rows as they are.

    ``bounds`` are the most draws and rows; B is less where that is too much work, but 200 at least. ``metric`` is as
    that of ``statistics``.
    """
    random = np.random.default_rng((seed, 1))
    classes = max(models[0].shape[1], 2)
    rows, work = max(bounds[1] * 2 // classes, _FEWEST), _WORK * 2 // classes
    whole = [_once(statistics(signature, target, answers, metric), len(target)) for answers in models]
    if len(target) == 0:
        return [{name: np.full(bounds[0], np.nan) for name in each} for each in whole], whole
    kept = np.sort(random.choice(len(target), rows, replace=False)) if len(target) > rows else np.arange(len(target))
    chosen = [statistics(signature, target[kept], answers[kept], metric) for answers in models]
    found: list[list[Draws]] = [[] for _ in models]
    whose = None if groups is None else np.unique(groups[kept], return_inverse=True)[1]
    for weights in _draws(random, len(kept), max(min(bounds[0], work // len(kept)), _FEWEST), whose):
        for place, statistic in enumerate(chosen):
            found[place].append(statistic(weights))
    shrunk = float(np.sqrt(len(kept) / len(target)))
    drawn = []
    for place, statistic in enumerate(chosen):
        here = _once(statistic, len(kept))
        values = {name: np.concatenate([block[name] for block in found[place]]) for name in here}
        drawn.append({
            name: values[name] if shrunk == 1 else whole[place][name] + (values[name] - here[name]) * shrunk
            for name in values
        })  # fmt: skip
    return drawn, whole


def _too_few(groups: Groups) -> bool:
    return groups is not None and len(np.unique(groups)) < _FEWEST_GROUPS


def _once(statistic: Statistics, rows: int) -> Draws:
    return statistic(np.ones((1, rows))) if rows else {}


def _draws(random: np.random.Generator, rows: int, many: int, whose: Groups) -> Iterator[Values]:
    """``many`` lines [rows] of how often each row was drawn, in blocks that fit into a processor's cache.

    ``whose`` [rows] numbers the rows' groups from 0 where these are drawn.
    """
    units = rows if whose is None else int(whose.max()) + 1
    block = max(_BLOCK // rows, 1)
    for start in range(0, many, block):
        lines = min(block, many - start)
        drawn = random.integers(0, units, (lines, units)) + np.arange(lines)[:, None] * units
        counts = np.bincount(drawn.ravel(), minlength=lines * units).reshape(lines, units).astype(np.float64)
        yield counts if whose is None else counts[:, whose]


def _interval(name: str, values: Values, whole: float) -> Interval | None:
    defined = values[np.isfinite(values)]
    if not np.isfinite(whole) or len(defined) < _DEFINED * len(values):
        return None
    low, high = (float(each) for each in np.quantile(defined, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]))
    if name == "calibration_error":
        low, high = max(2 * whole - high, 0.0), max(2 * whole - low, 0.0)
    return Interval(low, high)
