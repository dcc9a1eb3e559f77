"""A served model's answers, by the same runtime that serves it."""

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from perennial.contracts import estimator
from perennial.contracts.signature import Task

_ZIP = b"PK"
"""How a skops file begins, and no ONNX file does."""


class GraphError(ValueError):
    """A graph that no predictor could serve; the message says what it must be like."""


def probabilities_of(model: bytes, features: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """``label`` [N] and ``probabilities`` [N, K] of a model (ONNX or skops) for ``features`` [N, F].

    Raises EstimatorError for a skops file that is not to be trusted.
    """
    if model.startswith(_ZIP):
        fitted = np.asarray(estimator.load(model).predict_proba(features), dtype=np.float32)
        return fitted.argmax(axis=1), fitted
    label, probabilities = _session(model).run(["label", "probabilities"], {"features": features})
    return np.asarray(label), np.asarray(probabilities)


def values_of(model: bytes, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The predictions [N, 1] of a Regression's model; raises as :func:`probabilities_of` does."""
    if model.startswith(_ZIP):
        return np.asarray(estimator.load(model).predict(features), dtype=np.float32).reshape(-1, 1)
    [found] = _session(model).run(["variable"], {"features": features})
    return np.asarray(found)


def answers_of(task: Task, model: bytes, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities [N, K], or of a Regression its predictions [N, 1], as the predictor reads them of any graph that it
    serves: one input, and an output ``probabilities`` or one of floats alone.

    Raises EstimatorError as :func:`probabilities_of` does, and GraphError for a graph of another form.
    """
    if model.startswith(_ZIP):
        return values_of(model, features) if task == "Regression" else probabilities_of(model, features)[1]
    session = _session(model)
    taken, given = session.get_inputs(), session.get_outputs()
    floats = [item.name for item in given if item.type == "tensor(float)"]
    chosen = [name for name in floats if name == "probabilities"] or floats
    if len(taken) != 1 or len(chosen) != 1:
        names = ", ".join(item.name for item in (*taken, *given))
        raise GraphError(f"it must have one input, and one output of float32 or named probabilities; it has {names}")
    scores = np.asarray(session.run(chosen, {taken[0].name: features})[0])
    if task == "Regression":
        return scores.reshape(-1, 1)
    if scores.ndim == 2 and scores.shape[1] > 1:
        return scores
    positive = scores.reshape(-1)
    return np.column_stack((1 - positive, positive))


def _session(model: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
