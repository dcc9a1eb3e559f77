"""What the data and the predictions looked like at training time."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.contracts.baseline import PREDICTION_EDGES, Baseline, Distribution
from perennial.contracts.signature import Input, Signature
from perennial_components.baseline.bins import categorical, counted, numeric
from perennial_components.baseline.calibration import calibration_points
from perennial_components.storage import OutOfFold
from perennial_components.table import category_texts, numbers, unreadable


def baseline(table: pd.DataFrame, signature: Signature, predictions: OutOfFold, metrics: dict[str, float]) -> Baseline:
    """Features are counted over all rows of ``table``, predictions out of fold; ``metrics`` are those held out."""
    chosen = predictions.probabilities[:, signature.positive]
    return Baseline(
        rows=len(table),
        features=tuple(_feature(item, table) for item in signature.inputs),
        prediction=counted("probability", PREDICTION_EDGES, chosen),
        predicted=_predicted(signature, predictions.probabilities),
        calibration=calibration_points(chosen, predictions.target == signature.positive),
        metrics=metrics,
    )


def _feature(item: Input, table: pd.DataFrame) -> Distribution:
    column = table[item.name]
    if item.kind == "Categorical":
        return categorical(item.name, category_texts(column))
    values, invalid = numbers(column), unreadable(column)
    values[invalid] = np.nan
    return numeric(item.name, values, int(invalid.sum()))


def _predicted(signature: Signature, probabilities: NDArray[np.float64]) -> Distribution:
    counts = np.bincount(probabilities.argmax(axis=1), minlength=len(signature.classes))
    return Distribution("predicted", "Categorical", signature.classes, tuple(int(count) for count in counts))
