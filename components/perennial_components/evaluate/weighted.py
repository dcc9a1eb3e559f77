"""Metrics of weighted rows, many weightings at once: what a bootstrap needs, in a few passes over arrays.

``weights`` are [B, N]: one weighting of the N rows a line. A line of ones gives the figures of :mod:`.metrics`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.contracts.signature import Signature
from perennial_components.evaluate.metrics import BINS, calibration_gaps

Values = NDArray[np.float64]
Places = NDArray[np.int64]
Statistics = Callable[[Values], dict[str, Values]]
"""Every metric of a task, [B], NaN where it is undefined, of ``weights``."""


def statistics(
    signature: Signature, target: NDArray[Any], answers: NDArray[np.floating[Any]], metric: str = ""
) -> Statistics:
    """The metrics of these rows as a function of their weights; the arrays are as those of ``metrics.figures``.

    With ``metric`` only what is counted together with that one.
    """
    wide: Values = np.asarray(answers, dtype=np.float64)
    if signature.task == "Regression":
        return _of_errors(target, wide[:, 0])
    makers = {
        ("accuracy", "balanced_accuracy", "precision", "recall", "f1"): _of_decisions,
        ("roc_auc", "average_precision"): _of_rankings,
        ("log_loss", "brier"): _of_losses,
        ("calibration_error",): _of_calibration,
    }
    chosen = [make for names, make in makers.items() if not metric or metric in names]
    parts = [make(target, wide, signature.positive) for make in chosen]

    def of(weights: Values) -> dict[str, Values]:
        return {name: values for part in parts for name, values in part(weights).items()}

    return of


def _of_decisions(target: Places, probabilities: Values, positive: int) -> Statistics:
    classes = probabilities.shape[1]
    cells = target * classes + probabilities.argmax(axis=1)
    return lambda weights: _of_confusion(_sums(weights, cells, classes**2).reshape(-1, classes, classes), positive)


def _of_rankings(target: Places, probabilities: Values, positive: int) -> Statistics:
    places = [positive] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    rankings = [_Ranking(target == k, probabilities[:, k]) for k in places]

    def of(weights: Values) -> dict[str, Values]:
        ranked = [ranking.of(weights) for ranking in rankings]
        return {
            "roc_auc": np.mean([area for area, _ in ranked], axis=0),
            "average_precision": np.mean([average for _, average in ranked], axis=0),
        }

    return of


def _of_losses(target: Places, probabilities: Values, positive: int) -> Statistics:
    columns = _row_losses(target, probabilities, positive)

    def of(weights: Values) -> dict[str, Values]:
        log, squared = (weights @ columns / weights.sum(axis=1)[:, None]).T
        return {"log_loss": log, "brier": squared}

    return of


def _of_calibration(target: Places, probabilities: Values, positive: int) -> Statistics:
    bins, gaps = calibration_gaps(target, probabilities, positive)

    def of(weights: Values) -> dict[str, Values]:
        return {"calibration_error": np.abs(_sums(weights * gaps, bins, BINS)).sum(axis=1) / weights.sum(axis=1)}

    return of


def _row_losses(target: Places, probabilities: Values, positive: int) -> Values:
    """[N, 2]: each row's part in the log loss and in the Brier score."""
    rows = np.arange(len(target))
    edge = np.finfo(np.float64).eps
    log = -np.log(np.clip(probabilities[rows, target] / probabilities.sum(axis=1), edge, 1 - edge))
    if probabilities.shape[1] == 2:
        squared = (probabilities[:, positive] - (target == positive)) ** 2
    else:
        squared = ((probabilities - np.eye(probabilities.shape[1])[target]) ** 2).sum(axis=1)
    return np.column_stack([log, squared])


def _of_confusion(confusion: Values, positive: int) -> dict[str, Values]:
    """The metrics that follow from [B, actual, predicted] counts."""
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    actual, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    recall, precision = _ratio(hits, actual), _ratio(hits, predicted)
    f1 = np.where(np.isnan(recall), np.nan, 2 * hits / np.maximum(actual + predicted, 1e-300))
    chosen: Any = slice(positive, positive + 1) if confusion.shape[1] == 2 else slice(None)
    return {
        "accuracy": hits.sum(axis=1) / actual.sum(axis=1),
        "balanced_accuracy": recall.mean(axis=1),
        "precision": precision[:, chosen].mean(axis=1),
        "recall": recall[:, chosen].mean(axis=1),
        "f1": f1[:, chosen].mean(axis=1),
    }


class _Ranking:
    """The rows of one class against the others, once sorted by score; equal scores are one threshold."""

    def __init__(self, mine: NDArray[np.bool_], scores: Values) -> None:
        self._order = np.argsort(-scores, kind="stable")
        self._mine = mine[self._order].astype(np.float64)
        ordered = scores[self._order]
        self._ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))

    def of(self, weights: Values) -> tuple[Values, Values]:
        """ROC AUC (trapezoids) and average precision (steps), as scikit-learn defines them."""
        ordered = weights[:, self._order]
        found = np.cumsum(ordered * self._mine, axis=1)[:, self._ends]
        called = np.cumsum(ordered, axis=1)[:, self._ends]
        false = called - found
        positives, negatives = found[:, -1], false[:, -1]
        step = np.diff(found, axis=1, prepend=0.0)
        area = (np.diff(false, axis=1, prepend=0.0) * (found - step / 2)).sum(axis=1)
        precise = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
        average = _ratio((step * precise).sum(axis=1), positives)
        return _ratio(area, positives * negatives), np.where(negatives > 0, average, np.nan)


def _of_errors(target: Values, predictions: Values) -> Statistics:
    errors = predictions - target
    centred = target - target.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.abs(errors / target) if np.all(target != 0) else np.full(len(target), np.nan)
    columns = np.column_stack([np.abs(errors), errors**2, relative, centred, centred**2])

    def of(weights: Values) -> dict[str, Values]:
        means = weights @ columns / weights.sum(axis=1)[:, None]
        absolute, squared, share, middle, spread = means.T
        variance = spread - middle**2
        return {
            "mae": absolute,
            "rmse": np.sqrt(squared),
            "r2": 1 - _ratio(squared, np.where(variance > 1e-12 * spread, variance, 0.0)),
            "mape": share,
        }

    return of


def _sums(weights: Values, places: Places, size: int) -> Values:
    """[B, size]: the sums of each line of ``weights`` by ``places`` [N]."""
    lines = len(weights)
    index = (np.arange(lines)[:, None] * size + places).ravel()
    found: Values = np.bincount(index, weights.ravel(), lines * size).astype(np.float64)
    return found.reshape(lines, size)


def _ratio(part: Values, whole: Values) -> Values:
    """``part / whole``, NaN where ``whole`` is 0."""
    found: Values = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
    return found
