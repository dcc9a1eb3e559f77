"""How far off a regression's prediction is expected to be, as points that serving interpolates between.

The error is estimated from the prediction alone (the idea of direct loss estimation), so it holds as long as the target
still depends on the features as it did in training; labels tell when it does not.
"""

from itertools import groupby
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

ROWS_A_POINT = 50
"""The mean absolute error of so many rows is known to about a tenth of itself."""
_FEWEST, _MOST = 2, 33
_DIGITS = 9

Floats = NDArray[np.float64]
Point = tuple[float, float, float]


def loss_points(predictions: Floats, target: Floats) -> tuple[Point, ...]:
    """(prediction, expected absolute error, expected squared error), predictions ascending, from out-of-fold
    ``predictions`` [N] and ``target`` [N].

    Means over rows of like predictions; scaled so that over these rows the interpolated errors have the true mean.
    """
    errors = np.abs(predictions - target)
    parts = np.array_split(np.argsort(predictions, kind="stable"), _points(len(target)))
    means = [(float(predictions[rows].mean()), errors[rows].mean(), (errors[rows] ** 2).mean()) for rows in parts]
    merged = [np.mean(list(same), axis=0) for _, same in groupby(means, key=itemgetter(0))]
    if len(merged) < _FEWEST:
        merged = [merged[0], np.array([np.nextafter(merged[0][0], np.inf), *merged[0][1:]])]
    at, absolute, squared = np.array(merged).T
    absolute = _unbiased(predictions, at, absolute, errors)
    squared = _unbiased(predictions, at, squared, errors**2)
    return tuple((float(x), _short(a), _short(s)) for x, a, s in zip(at, absolute, squared, strict=True))


def _points(rows: int) -> int:
    return min(_MOST, max(_FEWEST, rows // ROWS_A_POINT))


def _unbiased(predictions: Floats, at: Floats, means: Floats, losses: Floats) -> Floats:
    told = float(np.interp(predictions, at, means).mean())
    return means * (float(losses.mean()) / told) if told > 0 else means


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
