"""From raw to calibrated probabilities, as points that serving interpolates between."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit

ISOTONIC_FROM = 1000
"""Rows from which isotonic regression (Zadrozny & Elkan 2002) is used; fewer get the two parameters of Platt 1999."""
_POINTS = 33
_MOST_POINTS = 200
_CLIP = 1e-6

Floats = NDArray[np.float64]


def calibration_points(probabilities: Floats, outcomes: NDArray[np.bool_]) -> tuple[tuple[float, float], ...]:
    """(raw, calibrated) points, neither descending, from out-of-fold probabilities [N] and what happened [N]."""
    fit = _isotonic if len(outcomes) >= ISOTONIC_FROM else _platt
    x, y = fit(probabilities, outcomes.astype(np.float64))
    y = np.maximum.accumulate(np.clip(y, 0.0, 1.0))
    return tuple((round(float(a), 6), round(float(b), 6)) for a, b in zip(x, y, strict=True))


def _isotonic(p: Floats, y: Floats) -> tuple[Floats, Floats]:
    raw, places, rows = np.unique(p, return_inverse=True, return_counts=True)
    observed = np.bincount(places, weights=y) / rows
    fitted = isotonic_regression(observed, weights=rows).x
    grid = np.unique(np.concatenate([[0.0, 1.0], raw]))
    if len(grid) > _MOST_POINTS:
        grid = np.unique(np.quantile(grid, np.linspace(0, 1, _MOST_POINTS)))
    return grid, np.interp(grid, raw, fitted)


def _platt(p: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Logistic regression on the logit, with Platt's smoothed targets; maximum likelihood, so the mean is kept."""
    positive = y.sum()
    wanted = np.where(y == 1, (positive + 1) / (positive + 2), 1 / (len(y) - positive + 2))
    scores = logit(np.clip(p, _CLIP, 1 - _CLIP))

    def loss(at: Floats) -> tuple[float, Floats]:
        margin = at[0] * scores + at[1]
        slack = expit(margin) - wanted
        value = np.mean(np.logaddexp(0, margin) - wanted * margin)
        return float(value), np.array([np.mean(slack * scores), np.mean(slack)])

    slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    grid = np.linspace(0.0, 1.0, _POINTS)
    if slope <= 0:  # the scores rank no better than chance: all that is known is how often it happens
        return grid, np.full(_POINTS, y.mean())
    return grid, expit(slope * logit(np.clip(grid, _CLIP, 1 - _CLIP)) + offset)
