"""From raw to calibrated probabilities, as points that serving interpolates between."""

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

ISOTONIC_FROM = 1000
"""Rows from which isotonic regression (Zadrozny & Elkan 2002) is used; fewer get the two parameters of Platt 1999."""
_GRID = 33
_CLIP = 1e-6


def calibration_points(
    probabilities: NDArray[np.float64], outcomes: NDArray[np.bool_]
) -> tuple[tuple[float, float], ...]:
    """(raw, calibrated) points from 0 to 1, neither descending, from out-of-fold probabilities [N] and what happened."""
    fit = _isotonic if len(outcomes) >= ISOTONIC_FROM else _platt
    x, y = fit(probabilities, outcomes)
    y = np.maximum.accumulate(np.clip(y, 0.0, 1.0))
    return tuple((round(float(a), 6), round(float(b), 6)) for a, b in zip(x, y, strict=True))


def _isotonic(p: NDArray[np.float64], y: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(p, y.astype(float))
    grid = np.unique(np.concatenate([[0.0, 1.0], fitted.X_thresholds_]))
    if len(grid) > 200:
        grid = np.unique(np.quantile(grid, np.linspace(0, 1, 200)))
    return grid, fitted.predict(grid)


def _platt(p: NDArray[np.float64], y: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    grid = np.linspace(0.0, 1.0, _GRID)
    fitted = LogisticRegression(C=1e6).fit(_logit(p), y)
    if fitted.coef_[0, 0] <= 0:  # the scores rank no better than chance: all that is known is how often it happens
        return grid, np.full(_GRID, y.mean())
    return grid, fitted.predict_proba(_logit(grid))[:, 1]


def _logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(p, _CLIP, 1 - _CLIP)
    return np.log(clipped / (1 - clipped)).reshape(-1, 1)
