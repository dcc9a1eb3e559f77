"""The metrics of a regression, from predictions."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.contracts.result import REGRESSION_METRICS

Values = NDArray[np.float64]


def measure_errors(target: Values, predictions: NDArray[np.floating[Any]]) -> dict[str, float]:
    """Every metric of ``REGRESSION_METRICS`` that is defined on these rows; ``target`` and ``predictions`` are [N]."""
    found = {name: error_score(name, target, predictions) for name in REGRESSION_METRICS}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def error_score(name: str, target: Values, predictions: NDArray[np.floating[Any]]) -> float:
    """One metric, NaN where it is undefined: R2 of a target that does not vary, MAPE of one that is 0 anywhere.

    MAPE is a share: 0.1 is an error of 10 % of the target.
    """
    if len(target) == 0:
        return math.nan
    errors = np.asarray(predictions, dtype=np.float64) - target
    if name == "mae":
        return float(np.mean(np.abs(errors)))
    if name == "rmse":
        return float(np.sqrt(np.mean(errors**2)))
    if name == "mape":
        return float(np.mean(np.abs(errors / target))) if np.all(target != 0) else math.nan
    spread = float(np.sum((target - target.mean()) ** 2))
    return 1 - float(np.sum(errors**2)) / spread if spread > 0 else math.nan
