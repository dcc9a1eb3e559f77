"""How good the version is in service: from labels, or estimated from calibrated probabilities, with an interval.

Estimated (CBPE, as NannyML names it: confidence-based performance estimation): with N predictions of each class and S
the sum of their calibrated probabilities of the positive one, expected are S true and N - S false ones among those that
were predicted positive, and S false and N - S true ones among the others. It needs no labels and is blind to a change
of what inputs mean.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from perennial.api.drift import Performance
from perennial.api.verdict import PerformanceEvidence
from perennial.domain.drift.queries import Family
from perennial.domain.drift.statistics import design_effect
from perennial.domain.drift.window import Chunk, Pair

Z95 = 1.959963984540054
EXCESS = 1.05
EXCESS_MIN = 20.0
HIGHER_IS_WORSE = frozenset({"log_loss"})

Counts = Mapping[Pair, float]
"""Rows by (predicted, actual)."""


@dataclass(frozen=True)
class Held:
    """What the version's record says of it on held-out rows: the ``figure`` that is judged, the classes in order, the
    ``positive`` one, and the rows by actual class and predicted one, ``confusion`` (empty where an old version has
    none).
    """

    figure: float | None
    classes: tuple[str, ...]
    positive: str
    confusion: tuple[tuple[int, ...], ...] = ()


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """The 95 % confidence interval of a share (Wilson 1927, JASA 22:209); counts need not be whole, trials > 0."""
    share, z2 = successes / trials, Z95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 / (1 + z2 / trials) * math.sqrt(max(0.0, share * (1 - share)) / trials + z2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def judge_labels(chunks: Sequence[Chunk], held: Held, wanted: Performance) -> PerformanceEvidence:
    """The figure over the chunks' labels. It is a loss when the whole interval lies more than ``max_drop`` beyond the
    held-out figure; under ``min_labels`` labels there is no value.
    """
    total = sum(chunk.labels for chunk in chunks)
    found = _evidence("Labels", held, wanted, total).model_copy(update={"delay": _delay(chunks)})
    if total < wanted.min_labels:
        return found
    if wanted.metric == "log_loss":
        return _claimed(found, mean_loss(chunks), wanted)
    return _claimed(found, figure(wanted.metric, [chunk.feedback for chunk in chunks], held.positive), wanted)


def judge_estimate(chunks: Sequence[Chunk], held: Held, wanted: Performance) -> PerformanceEvidence:
    """The figure as the calibrated probabilities have it; two classes only."""
    counts = [expected(chunk, held) for chunk in chunks]
    total = sum(sum(each.values()) for each in counts)
    found = _evidence("Estimated", held, wanted, total)
    if total < wanted.min_labels or len(held.classes) != 2:
        return found
    return _claimed(found, figure(wanted.metric, counts, held.positive), wanted)


def expected(chunk: Chunk, held: Held) -> dict[Pair, float]:
    """Rows by (predicted, actual) that a chunk's calibrated probabilities let expect; ``held`` has two classes."""
    negative = next((each for each in held.classes if each != held.positive), "")
    found: dict[Pair, float] = {}
    for predicted in held.classes:
        rows = chunk.predicted.get(predicted, 0.0)
        positive = min(chunk.calibrated.get(predicted, 0.0), rows)
        found[predicted, held.positive], found[predicted, negative] = positive, rows - positive
    return found


Interval = tuple[float, float, float]
"""(value, low, high)."""


def figure(metric: str, chunks: Sequence[Counts], positive: str) -> Interval | None:
    """A figure of the chunks' rows with its 95 % interval; None where it is not defined.

    Rows of one chunk may be alike: by how much stands in their design effect, as for features.
    """
    if metric == "f1":
        return _f1(chunks, positive)
    parts = np.array([_right_and_wrong(metric, each, positive) for each in chunks])
    right, wrong = (float(each) for each in parts.sum(axis=0))
    if right + wrong <= 0:
        return None
    filled = parts[parts.sum(axis=1) > 0]
    effect = design_effect(filled) if len(filled) > 2 else 1.0
    low, high = wilson(right / effect, (right + wrong) / effect)
    return right / (right + wrong), low, high


def _right_and_wrong(metric: str, counts: Counts, positive: str) -> tuple[float, float]:
    """Of the rows that ``metric`` is a share of."""
    chosen = counts.items()
    if metric == "precision":
        chosen = [(pair, count) for pair, count in chosen if pair[0] == positive]  # type: ignore[assignment]
    elif metric == "recall":
        chosen = [(pair, count) for pair, count in chosen if pair[1] == positive]  # type: ignore[assignment]
    right = sum(count for (predicted, actual), count in chosen if predicted == actual)
    return right, sum(count for _, count in chosen) - right


def _f1(chunks: Sequence[Counts], positive: str) -> Interval | None:
    """F1 = 2TP / (2TP + FP + FN), its variance by the delta method over multinomial counts."""
    found = [_hits(each, positive) for each in chunks]
    hits, misses, total = (sum(each[at] for each in found) for at in range(3))
    whole = 2 * hits + misses
    if whole <= 0:
        return None
    value = 2 * hits / whole
    slope_hit, slope_miss = 2 * misses / whole**2, -2 * hits / whole**2
    mean = slope_hit * hits + slope_miss * misses
    variance = slope_hit**2 * hits + slope_miss**2 * misses - mean**2 / total
    half = Z95 * math.sqrt(max(variance, 0.0))
    return value, max(0.0, value - half), min(1.0, value + half)


def _hits(counts: Counts, positive: str) -> tuple[float, float, float]:
    """(True positives, false positives and negatives, all)."""
    hits = counts.get((positive, positive), 0.0)
    named = sum(count for pair, count in counts.items() if positive in pair)
    return hits, named - hits, sum(counts.values())


def mean_loss(chunks: Sequence[Chunk]) -> Interval | None:
    """The mean log loss; its interval is a ratio's over the chunks (Cochran 1977, 6.4), with Student's t."""
    sums = np.array([chunk.sums.get(Family.LOSS_SUM, 0.0) for chunk in chunks])
    rows = np.array([chunk.sums.get(Family.LOSS_COUNT, 0.0) for chunk in chunks])
    filled = int((rows > 0).sum())
    if filled < 3:
        return None
    mean = float(sums.sum() / rows.sum())
    variance = filled / (filled - 1) * float(((sums - mean * rows) ** 2).sum()) / float(rows.sum()) ** 2
    half = float(stdtrit(filled - 1, 0.975)) * math.sqrt(variance)
    return mean, max(0.0, mean - half), mean + half


def unrecognised(feedback: Iterable[Counts], held: Held, max_drop: float) -> list[str]:
    """Classes whose recall is surely more than ``max_drop`` under the held-out one."""
    counts = list(feedback)
    found = []
    for place, actual in enumerate(held.classes if held.confusion else ()):
        row = held.confusion[place]
        rows = sum(count for each in counts for pair, count in each.items() if pair[1] == actual)
        right = sum(each.get((actual, actual), 0.0) for each in counts)
        if rows and sum(row) and wilson(right, rows)[1] < row[place] / sum(row) - max_drop:
            found.append(actual)
    return found


def suspect(predictions: float, feedback: float) -> bool:
    """Whether there has been more feedback than there were predictions: tokens are being replayed.

    A little more is let pass: a pod's last predictions may be lost with its last scrape, their feedback goes elsewhere.
    """
    return feedback > predictions * EXCESS + EXCESS_MIN


def _evidence(
    source: Literal["Labels", "Estimated"], held: Held, wanted: Performance, rows: float
) -> PerformanceEvidence:
    return PerformanceEvidence(
        metric=wanted.metric, source=source, reference=round(held.figure or 0.0, 4), labels=round(rows)
    )


def _claimed(found: PerformanceEvidence, measured: Interval | None, wanted: Performance) -> PerformanceEvidence:
    if measured is None:
        return found
    value, low, high = measured
    if wanted.metric in HIGHER_IS_WORSE:
        lost = low > found.reference + wanted.max_drop
    else:
        lost = high < found.reference - wanted.max_drop
    return found.model_copy(
        update={"value": round(value, 4), "low": round(low, 4), "high": round(high, 4), "loss": lost}
    )


def _delay(chunks: Sequence[Chunk]) -> str:
    """The labels' mean delay, for people."""
    rows = sum(chunk.sums.get(Family.DELAY_COUNT, 0.0) for chunk in chunks)
    if rows <= 0:
        return ""
    mean = sum(chunk.sums.get(Family.DELAY_SUM, 0.0) for chunk in chunks) / rows
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("m", 60.0)):
        if mean >= 2 * length:
            return f"{mean / length:.0f}{unit}"
    return f"{mean:.0f}s"
