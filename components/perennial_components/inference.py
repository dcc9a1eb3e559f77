"""A served model's answers, by the same runtime that serves it."""

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from perennial.contracts import estimator

_ZIP = b"PK"
"""How a skops file begins, and no ONNX file does."""


def probabilities_of(model: bytes, features: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """``label`` [N] and ``probabilities`` [N, K] of a model (ONNX or skops) for ``features`` [N, F].

    Raises EstimatorError for a skops file that is not to be trusted.
    """
    if model.startswith(_ZIP):
        fitted = np.asarray(estimator.load(model).predict_proba(features), dtype=np.float32)
        return fitted.argmax(axis=1), fitted
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    label, probabilities = session.run(["label", "probabilities"], {"features": features})
    return np.asarray(label), np.asarray(probabilities)
