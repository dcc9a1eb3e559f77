"""What the peers share: the rows that ours was trained and measured on, and the account of a fit."""

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics

from benchmarks.training.datasets import TEST, TRAIN, Dataset

Answers = Callable[[pd.DataFrame], np.ndarray]


def rows(dataset: Dataset, folder: Path, part: str) -> tuple[pd.DataFrame, pd.Series]:
    """Features, categories as pandas' own, and the target of one part."""
    table = pd.read_csv(folder / part)
    target = table.pop(dataset.target)
    for name in dataset.categorical:
        # FLAML cannot read pandas' NA in categories: what is missing is one of its own, for all.
        table[name] = table[name].map(str).astype("category")
    return table, target


def measure(dataset: Dataset, folder: Path, method: str, fit: Callable[[pd.DataFrame, pd.Series], Answers]) -> None:
    """Fits on the training rows, scores the held-out ones, and writes FOLDER/METHOD.json."""
    features, target = rows(dataset, folder, TRAIN)
    held, truth = rows(dataset, folder, TEST)
    for name in dataset.categorical:
        held[name] = held[name].cat.set_categories(features[name].cat.categories)
    began = time.perf_counter()
    answers = fit(features, target)(held)
    seconds = time.perf_counter() - began
    found = {
        "score": score(dataset, truth, answers, sorted(target.unique())),
        "seconds": seconds,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    (folder / f"{method}.json").write_text(json.dumps(found))


def score(dataset: Dataset, truth: pd.Series, answers: np.ndarray, classes: list[Any]) -> float:
    """``answers`` are probabilities [N, K], or a regression's numbers [N]."""
    if dataset.metric == "rmse":
        return float(np.sqrt(np.mean((answers - truth) ** 2)))
    if dataset.metric == "log_loss":
        return float(metrics.log_loss(truth, answers, labels=classes))
    return float(metrics.roc_auc_score(truth, answers[:, 1]))
