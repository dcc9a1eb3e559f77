"""What a report draws of the held-out rows: confusion, curves, calibration, the figures of each class."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import classification_report, confusion_matrix, precision_recall_curve, roc_curve

from perennial.contracts.signature import Signature
from perennial_components.records import CalibrationBin, ClassFigures

_CALIBRATION_BINS = 10
_POINTS = 200
AVERAGES = ("macro avg", "weighted avg")

Curve = tuple[tuple[float, float], ...]


def confusion(signature: Signature, target: NDArray[np.int64], called: NDArray[np.int64]) -> tuple[Any, ...]:
    """[actual][predicted] counts in the signature's class order."""
    return tuple(map(tuple, confusion_matrix(target, called, labels=range(len(signature.classes))).tolist()))


def class_figures(
    signature: Signature, target: NDArray[np.int64], called: NDArray[np.int64]
) -> tuple[ClassFigures, ...]:
    """scikit-learn's classification report, by class and averaged; what is undefined is 0 there."""
    places = range(len(signature.classes))
    found: Any = classification_report(
        target, called, labels=places, target_names=list(map(str, places)), output_dict=True, zero_division=0
    )
    lines = [*zip(signature.classes, map(str, places), strict=True), *((name, name) for name in AVERAGES)]
    return tuple(
        ClassFigures(
            label,
            float(found[key]["precision"]),
            float(found[key]["recall"]),
            float(found[key]["f1-score"]),
            int(found[key]["support"]),
        )
        for label, key in lines
    )


def roc(happened: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> Curve:
    """(false, true) positive rates, none where only one of the two happened."""
    if happened.all() or not happened.any():
        return ()
    false, true, _ = roc_curve(happened, probabilities)
    return _thinned(false, true)


def precision_recall(happened: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> Curve:
    """(recall, precision) from recall 0 to 1, none where only one of the two happened."""
    if happened.all() or not happened.any():
        return ()
    precision, recall, _ = precision_recall_curve(happened, probabilities)
    return _thinned(recall[::-1], precision[::-1])


def calibration(happened: NDArray[Any], predicted: NDArray[np.float64]) -> Iterator[CalibrationBin]:
    """Ten bins of as many rows each, by what was predicted."""
    for rows in np.array_split(np.argsort(predicted, kind="stable"), min(_CALIBRATION_BINS, len(predicted))):
        yield CalibrationBin(float(predicted[rows].mean()), float(happened[rows].mean()), len(rows))


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64]) -> Curve:
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), _POINTS)).round().astype(int))
    return tuple((float(x[i]), float(y[i])) for i in keep)
