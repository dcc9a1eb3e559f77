"""How good the version is in service, from labelled feedback alone, against its own held-out figure."""

import math
from collections.abc import Iterable, Mapping

from perennial.api.drift import Performance
from perennial.api.verdict import PerformanceEvidence

Z95 = 1.959963984540054
EXCESS = 1.05
EXCESS_MIN = 20.0


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """The 95 % confidence interval of a share (Wilson 1927, JASA 22:209); counts need not be whole, trials > 0."""
    share, z2 = successes / trials, Z95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def judge_labels(
    feedback: Iterable[Mapping[tuple[str, str], float]], reference: float, wanted: Performance
) -> PerformanceEvidence:
    """Accuracy over the chunks' labels by (predicted, actual). It is a loss when even the upper bound of its interval
    is more than ``max_drop`` under ``reference``; under ``min_labels`` labels there is no value.
    """
    right = total = 0.0
    for chunk in feedback:
        for (predicted, actual), count in chunk.items():
            total += count
            right += count if predicted == actual else 0.0
    evidence = PerformanceEvidence(metric=wanted.metric, reference=round(reference, 4), labels=round(total))
    if total < wanted.min_labels:
        return evidence
    low, high = wilson(right, total)
    figures = {"value": round(right / total, 4), "low": round(low, 4), "high": round(high, 4)}
    return evidence.model_copy(update={**figures, "loss": high < reference - wanted.max_drop})


def suspect(predictions: float, feedback: float) -> bool:
    """Whether a version has had more feedback than predictions over its life: tokens are being replayed.

    A little more is let pass: a pod's last predictions may be lost with its last scrape, their feedback goes elsewhere.
    """
    return feedback > predictions * EXCESS + EXCESS_MIN
