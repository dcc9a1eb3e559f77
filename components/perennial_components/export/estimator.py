"""Fitted estimators as files."""

from pathlib import Path
from typing import Any

import skops.io

from perennial.contracts import estimator


def save_estimator(model: Any, path: str) -> None:
    """Writes a fitted estimator as skops: readable without running anything it brings."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    skops.io.dump(model, path)


def load_estimator(path: str) -> Any:
    """Reads an estimator that :func:`save_estimator` wrote. Raises EstimatorError for types that are not trusted."""
    return estimator.load(Path(path).read_bytes())
