"""An exported model's answers, by the same runtime that serves it."""

import numpy as np
import onnxruntime
from numpy.typing import NDArray


def probabilities_of(model: bytes, features: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """``label`` [N] and ``probabilities`` [N, K] of an ONNX model for ``features`` [N, F]."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    label, probabilities = session.run(["label", "probabilities"], {"features": features})
    return np.asarray(label), np.asarray(probabilities)
