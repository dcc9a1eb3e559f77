"""The metrics that gates and monitors know, of a classification from class probabilities."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from perennial.contracts.result import CLASSIFICATION_METRICS, REGRESSION_METRICS
from perennial.contracts.signature import Signature
from perennial_components.evaluate.errors import error_score, measure_errors

BINS = 10
"""Of the calibration error: of one width, from 0 to 1."""

Labels = NDArray[np.int64]
Probabilities = NDArray[np.floating[Any]]


def figures(signature: Signature, target: NDArray[Any], answers: NDArray[np.floating[Any]]) -> dict[str, float]:
    """Every metric of the signature's task that is defined: ``answers`` [N, K] are probabilities, or predictions [N, 1]
    of a Regression.
    """
    if signature.task == "Regression":
        return measure_errors(target, answers[:, 0])
    return measure(target, answers, signature.positive)


def measure(target: Labels, probabilities: Probabilities, positive: int = 1) -> dict[str, float]:
    """Every metric of ``CLASSIFICATION_METRICS`` that is defined on these rows.

    ``target`` [N] are class indices, ``probabilities`` [N, K]. With two classes precision, recall, F1, ROC AUC and
    average precision are those of the class ``positive``; with more they are unweighted means over the classes (ROC AUC
    one against the rest). The Brier score is the mean squared distance of the positive class's probability, with more
    classes that of the whole vector. The calibration error is the expected one (Naeini et al. 2015): the distance of
    the mean probability from the share that happened in ten bins of one width, weighted by their rows; of the positive
    class, with more classes of the one that is answered (Guo et al. 2017).
    """
    found = {name: _value(name, target, probabilities, positive) for name in CLASSIFICATION_METRICS}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def score(name: str, target: NDArray[Any], answers: Probabilities, positive: int = 1) -> float:
    """One metric of either task, NaN where it is undefined on these rows; ``answers`` are as in :func:`figures`."""
    if name in REGRESSION_METRICS:
        return error_score(name, target, answers[:, 0])
    return _value(name, target, answers, positive)


def rates(signature: Signature, target: NDArray[Any], answers: Probabilities) -> dict[str, float]:
    """``RATES`` of two classes, where they are defined: the share of rows that are called positive, and that share
    among those that are not.
    """
    if len(signature.classes) != 2 or len(target) == 0:
        return {}
    called, negative = answers.argmax(axis=1) == signature.positive, target != signature.positive
    found = {"selection_rate": float(called.mean())}
    return found | ({"false_positive_rate": float(called[negative].mean())} if negative.any() else {})


def calibration_gaps(
    target: Labels, probabilities: Probabilities, positive: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of each row its bin of the calibration error, and by how much its probability is above what happened (0 or 1)."""
    answer = np.full(len(target), positive) if probabilities.shape[1] == 2 else probabilities.argmax(axis=1)
    said = np.asarray(probabilities, dtype=np.float64)[np.arange(len(target)), answer]
    return np.clip((said * BINS).astype(np.int64), 0, BINS - 1), said - (target == answer)


def _value(name: str, target: Labels, probabilities: Probabilities, positive: int) -> float:
    if len(target) == 0:
        return math.nan
    probabilities = np.asarray(probabilities, dtype=np.float64)
    binary = probabilities.shape[1] == 2
    compute = _BINARY if binary else _MULTICLASS
    return float(compute[name](target, probabilities, positive))


def _present(target: Labels, classes: int) -> bool:
    return len(np.unique(target)) == classes


def _one_hot(target: Labels, classes: int) -> NDArray[np.float64]:
    return np.eye(classes)[target]


def _accuracy(y: Labels, p: Probabilities, _: int) -> float:
    return float(np.mean(p.argmax(axis=1) == y))


def _balanced(y: Labels, p: Probabilities, _: int) -> float:
    if not _present(y, p.shape[1]):
        return math.nan
    return float(metrics.balanced_accuracy_score(y, p.argmax(axis=1)))


def _log_loss(y: Labels, p: Probabilities, _: int) -> float:
    return float(metrics.log_loss(y, p / p.sum(axis=1, keepdims=True), labels=range(p.shape[1])))


def _calibration_error(y: Labels, p: Probabilities, positive: int) -> float:
    bins, gaps = calibration_gaps(y, p, positive)
    return float(np.abs(np.bincount(bins, gaps, BINS)).sum() / len(y))


def _precision(y: Labels, p: Probabilities, positive: int) -> float:
    predicted = p.argmax(axis=1) == positive
    return float(np.mean(y[predicted] == positive)) if predicted.any() else math.nan


def _recall(y: Labels, p: Probabilities, positive: int) -> float:
    actual = y == positive
    return float(np.mean(p.argmax(axis=1)[actual] == positive)) if actual.any() else math.nan


def _f1(y: Labels, p: Probabilities, positive: int) -> float:
    precision, recall = _precision(y, p, positive), _recall(y, p, positive)
    if math.isnan(recall):
        return math.nan
    return 0.0 if math.isnan(precision) or precision + recall == 0 else 2 * precision * recall / (precision + recall)


def _ranking(compute: Callable[..., float]) -> Callable[[Labels, Probabilities, int], float]:
    def value(y: Labels, p: Probabilities, positive: int) -> float:
        return float(compute(y == positive, p[:, positive])) if _present(y, 2) else math.nan

    return value


def _macro(compute: Callable[..., float]) -> Callable[[Labels, Probabilities, int], float]:
    """The unweighted mean over the classes of a metric of one class, NaN where it is undefined for any."""

    def value(y: Labels, p: Probabilities, _: int) -> float:
        return float(np.mean([compute(y, p, k) for k in range(p.shape[1])]))

    return value


def _one_against_rest(compute: Callable[..., float]) -> Callable[[Labels, Probabilities, int], float]:
    def value(y: Labels, p: Probabilities, k: int) -> float:
        return float(compute(y == k, p[:, k])) if _present(y, p.shape[1]) else math.nan

    return value


_BINARY: dict[str, Callable[[Labels, Probabilities, int], float]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced,
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
    "roc_auc": _ranking(metrics.roc_auc_score),
    "average_precision": _ranking(metrics.average_precision_score),
    "log_loss": _log_loss,
    "brier": lambda y, p, positive: float(np.mean((p[:, positive] - (y == positive)) ** 2)),
    "calibration_error": _calibration_error,
}
_MULTICLASS: dict[str, Callable[[Labels, Probabilities, int], float]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced,
    "precision": _macro(_precision),
    "recall": _macro(_recall),
    "f1": _macro(_f1),
    "roc_auc": _macro(_one_against_rest(metrics.roc_auc_score)),
    "average_precision": _macro(_one_against_rest(metrics.average_precision_score)),
    "log_loss": _log_loss,
    "brier": lambda y, p, _: float(np.mean(np.sum((p - _one_hot(y, p.shape[1])) ** 2, axis=1))),
    "calibration_error": _calibration_error,
}
