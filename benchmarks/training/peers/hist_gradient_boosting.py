"""scikit-learn's boosted trees: ``python -m benchmarks.training.peers.hist_gradient_boosting NAME FOLDER``."""

import sys
from pathlib import Path

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from benchmarks.training.datasets import named
from benchmarks.training.peers.common import Answers, measure


def fit(features: pd.DataFrame, target: pd.Series) -> Answers:
    """The fitted model's answers."""
    if dataset.task == "Regression":
        return HistGradientBoostingRegressor(random_state=0).fit(features, target).predict
    return HistGradientBoostingClassifier(random_state=0).fit(features, target).predict_proba


if __name__ == "__main__":
    dataset = named(sys.argv[1])
    measure(dataset, Path(sys.argv[2]), "hist_gradient_boosting", fit)
