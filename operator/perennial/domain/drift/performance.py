"""How good the version is in service: from labels, or estimated without them, with an interval.

Estimated of classes (CBPE, as NannyML names it: confidence-based performance estimation): with N predictions of each
class and S the sum of their calibrated probabilities of the positive one, expected are S true and N - S false ones
among those that were predicted positive, and S false and N - S true ones among the others. Of a Regression (direct loss
estimation): the mean of the errors that the baseline lets expect of each prediction. Either needs no labels and is
blind to a change of what inputs mean.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from perennial.api.drift import Performance
from perennial.api.verdict import PerformanceEvidence
from perennial.contracts.names import ABSOLUTE, SQUARED
from perennial.contracts.result import LOWER_IS_BETTER
from perennial.contracts.signature import Task
from perennial.domain.drift.queries import Family
from perennial.domain.drift.statistics import design_effect
from perennial.domain.drift.window import Chunk, Pair

Z95 = 1.959963984540054
EXCESS = 1.05
EXCESS_MIN = 20.0

ERRORS = {"mae": ABSOLUTE, "rmse": SQUARED}
"""The figures of a Regression, in the target's unit, with what each is a mean of."""
JUDGED: dict[Task, tuple[str, ...]] = {
    "Classification": ("accuracy", "precision", "recall", "f1", "log_loss"),
    "Regression": tuple(ERRORS),
}
"""The figures that fit each task; the first one is judged where none is named."""
SHARE_LET_PASS, RISE_LET_PASS = 0.05, 0.1
"""Where ``maxDrop`` is unset: absolute, and of an error as a share of the held-out one."""

Counts = Mapping[Pair, float]
"""Rows by (predicted, actual)."""


@dataclass(frozen=True)
class Held:
    """What the version's record says of it on held-out rows: the ``figure`` that is judged, the classes in order, the
    ``positive`` one, and the rows by actual class and predicted one, ``confusion`` (empty where an old version has
    none). A Regression has no classes; its ``figure`` is known to ``doubt``, half of a 95 % interval.
    """

    figure: float | None
    classes: tuple[str, ...]
    positive: str
    confusion: tuple[tuple[int, ...], ...] = ()
    task: Task = "Classification"
    doubt: float = 0.0


def metric_of(wanted: Performance, task: Task) -> str:
    """The figure that is judged of a version of ``task``."""
    return wanted.metric or JUDGED[task][0]


def let_pass(wanted: Performance, metric: str) -> float:
    """The largest drop that is let pass: absolute, of an error as a share of the held-out one."""
    if wanted.max_drop is not None:
        return wanted.max_drop
    return RISE_LET_PASS if metric in ERRORS else SHARE_LET_PASS


def limit(wanted: Performance, metric: str, reference: float, doubt: float = 0.0) -> float:
    """The worst figure that is let pass, where ``reference`` is the held-out one and an error is known to ``doubt``."""
    drop = let_pass(wanted, metric)
    if metric in ERRORS:
        return (reference + doubt) * (1 + drop)
    return reference + drop if metric in LOWER_IS_BETTER else reference - drop


def worst(wanted: Performance, found: PerformanceEvidence) -> float:
    """The same, from the status; an older operator has not written it there."""
    return limit(wanted, found.metric, found.reference) if found.limit is None else found.limit


def too_few(found: PerformanceEvidence, wanted: Performance | None) -> str:
    """Why there is no value, after the number of labels; an interval of a mean takes three chunks that have some."""
    enough = wanted is not None and found.labels >= wanted.min_labels
    return "in too few chunks" if enough and found.metric in LOWER_IS_BETTER else "are too few"


def doubt_of(metric: str, metrics: Mapping[str, float], rows: int) -> float:
    """To how much an error on ``rows`` held-out rows is known: half of its 95 % interval; 0 where nobody can tell.

    The variance of mae is (rmse^2 - mae^2) / rows. That of rmse takes the fourth moment of the errors, which is not
    recorded: it is taken from the gamma distribution with this mae and rmse (exact where errors are Laplace's, a little
    too wide where they are normal).
    """
    mae, rmse = metrics.get("mae", 0.0), metrics.get("rmse", 0.0)
    spread = rmse**2 - mae**2
    if metric not in ERRORS or rows <= 0 or mae <= 0 or spread <= 0:
        return 0.0
    if metric == "mae":
        return Z95 * math.sqrt(spread / rows)
    shape = mae**2 / spread
    kurtosis = (shape + 2) * (shape + 3) / (shape * (shape + 1))
    return Z95 * rmse * math.sqrt((kurtosis - 1) / rows) / 2


def told(metric: str, value: float) -> str:
    """``value`` for people: a share is told to four places, an error, which may be of any size, to four digits."""
    if metric not in ERRORS:
        return str(value)
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """The 95 % confidence interval of a share (Wilson 1927, JASA 22:209); counts need not be whole, trials > 0."""
    share, z2 = successes / trials, Z95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 / (1 + z2 / trials) * math.sqrt(max(0.0, share * (1 - share)) / trials + z2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def judge_labels(chunks: Sequence[Chunk], held: Held, wanted: Performance) -> PerformanceEvidence:
    """The figure over the chunks' labels. It is a loss when the whole interval lies more than ``max_drop`` beyond the
    held-out figure (of an error: beyond that one's whole interval); under ``min_labels`` labels there is no value.
    """
    total = sum(chunk.labels for chunk in chunks)
    found = _evidence("Labels", held, wanted, total).model_copy(update={"delay": _delay(chunks)})
    if total < wanted.min_labels:
        return found
    if found.metric in ERRORS:
        return _claimed(found, mean_error(found.metric, labelled_errors(found.metric, chunks)))
    if found.metric == "log_loss":
        return _claimed(found, mean_loss(chunks))
    return _claimed(found, figure(found.metric, [chunk.feedback for chunk in chunks], held.positive))


def judge_estimate(chunks: Sequence[Chunk], held: Held, wanted: Performance) -> PerformanceEvidence:
    """The figure as the calibrated probabilities have it (two classes only), or a Regression's expected errors."""
    if held.task == "Regression":
        return _expected_error(chunks, held, wanted)
    counts = [expected(chunk, held) for chunk in chunks]
    total = sum(sum(each.values()) for each in counts)
    found = _evidence("Estimated", held, wanted, total)
    if total < wanted.min_labels or len(held.classes) != 2:
        return found
    return _claimed(found, figure(found.metric, counts, held.positive))


def _expected_error(chunks: Sequence[Chunk], held: Held, wanted: Performance) -> PerformanceEvidence:
    total = sum(chunk.predictions for chunk in chunks)
    found = _evidence("Estimated", held, wanted, total)
    if total < wanted.min_labels:
        return found
    return _claimed(found, mean_error(found.metric, expected_errors(found.metric, chunks)))


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


Parts = Sequence[tuple[float, float]]
"""(Sum, rows) by chunk."""


def mean_loss(chunks: Sequence[Chunk]) -> Interval | None:
    """The mean log loss with its interval."""
    return _ratio([(chunk.sums.get(Family.LOSS_SUM, 0.0), chunk.sums.get(Family.LOSS_COUNT, 0.0)) for chunk in chunks])


def labelled_errors(metric: str, chunks: Iterable[Chunk]) -> Parts:
    """What ``metric`` is a mean of, by chunk, from labels; without the chunks of which no predictor tells it."""
    of = ERRORS[metric]
    return [(chunk.errors[of], chunk.labels) for chunk in chunks if of in chunk.errors]


def expected_errors(metric: str, chunks: Iterable[Chunk]) -> Parts:
    """The same, as the baseline lets it expect of the predictions."""
    of = ERRORS[metric]
    return [(chunk.expected[of], chunk.predictions) for chunk in chunks if of in chunk.expected]


def mean_error(metric: str, parts: Parts) -> Interval | None:
    """mae, or rmse by the delta method: half of an interval of the mean square m becomes half / (2 sqrt(m))."""
    found = _ratio(parts)
    if found is None or metric == "mae":
        return found
    mean, low, high = found
    root = math.sqrt(mean)
    half = max(mean - low, high - mean) / (2 * root) if root > 0 else 0.0
    return root, max(0.0, root - half), root + half


def error_of(metric: str, parts: Parts) -> float | None:
    """The figure alone; None where there are no rows."""
    sums, rows = (sum(each[at] for each in parts) for at in (0, 1))
    if rows <= 0:
        return None
    return math.sqrt(sums / rows) if metric == "rmse" else sums / rows


def _ratio(parts: Parts) -> Interval | None:
    """The mean of a row; its interval is a ratio's over the chunks (Cochran 1977, 6.4), with Student's t. None of fewer
    than three chunks with rows.
    """
    sums, rows = (np.array([each[at] for each in parts]) for at in (0, 1))
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
    metric = metric_of(wanted, held.task)
    reference = _rounded(metric, held.figure or 0.0)
    return PerformanceEvidence(
        metric=metric, source=source, reference=reference, labels=round(rows),
        limit=_rounded(metric, limit(wanted, metric, reference, held.doubt)),
    )  # fmt: skip


def _claimed(found: PerformanceEvidence, measured: Interval | None) -> PerformanceEvidence:
    if measured is None or found.limit is None:
        return found
    _, low, high = measured
    lost = low > found.limit if found.metric in LOWER_IS_BETTER else high < found.limit
    rounded = (_rounded(found.metric, each) for each in measured)
    return found.model_copy(update={**dict(zip(("value", "low", "high"), rounded, strict=True)), "loss": lost})


def _rounded(metric: str, value: float) -> float:
    return float(f"{value:.6g}") if metric in ERRORS else round(value, 4)


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
