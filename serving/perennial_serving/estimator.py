"""scikit-learn estimators that have no ONNX form, from skops files."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.contracts.estimator import EstimatorError, load
from perennial.contracts.names import FILE_SKOPS
from perennial.contracts.signature import Task
from perennial_serving.scorers import ModelError


class EstimatorScorer:
    """An estimator fitted on the tensor ``features`` [N,F], as runs fit them; see ``scorers.Scorer``.

    It takes milliseconds where a graph takes microseconds, so it is called in a thread of its own.
    """

    file = FILE_SKOPS
    aside = True
    row_by_row = False

    def __init__(self, data: bytes, task: Task) -> None:
        """Raises :class:`ModelError` for a file that holds no estimator for ``task``, or types that are not trusted."""
        # Its threads would wait for the one core that a predictor has; scikit-learn reads this when it is loaded.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        try:
            estimator = load(data)
        except EstimatorError as error:
            raise ModelError(f"{FILE_SKOPS}: {error}") from None
        method = "predict" if task == "Regression" else "predict_proba"
        if not hasattr(estimator, method):
            raise ModelError(f"{FILE_SKOPS}: a {type(estimator).__name__} has no {method}")
        if task == "Regression" and _classifies(estimator):
            raise ModelError(f"{FILE_SKOPS}: a {type(estimator).__name__} predicts classes, not a Regression's number")
        self._predict = getattr(estimator, method)

    def probabilities(self, matrix: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """See ``scorers.Scorer``."""
        scores: NDArray[np.floating[Any]] = self._predict(matrix)
        return scores

    def values(self, matrix: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """See ``scorers.Scorer``."""
        return np.asarray(self._predict(matrix)).reshape(-1)


def _classifies(estimator: Any) -> bool:
    from sklearn.base import is_classifier  # noqa: PLC0415 - here skops has loaded it already

    return bool(is_classifier(estimator))
