"""FLAML's AutoML in so many seconds: ``python -m benchmarks.training.peers.flaml NAME FOLDER SECONDS``."""

import sys
from pathlib import Path

import pandas as pd
from flaml import AutoML

from benchmarks.training.datasets import named
from benchmarks.training.peers.common import Answers, measure


def fit(features: pd.DataFrame, target: pd.Series) -> Answers:
    """The answers of the best model that it found."""
    automl = AutoML()
    automl.fit(
        features, target, task=dataset.task.lower(), metric=dataset.metric, time_budget=float(sys.argv[3]),
        seed=0, verbose=0,
    )  # fmt: skip
    return automl.predict if dataset.task == "Regression" else automl.predict_proba


if __name__ == "__main__":
    dataset = named(sys.argv[1])
    measure(dataset, Path(sys.argv[2]), "flaml", fit)
