"""ONNX with one float tensor in, label and probabilities (or a Regression's number) out, and the proof that it answers
as the estimator does.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType

from perennial.contracts.request import RunRequest
from perennial.contracts.signature import Signature
from perennial_components.failure import RunError
from perennial_components.inference import probabilities_of, values_of
from perennial_components.prepare.core import value_steps, values
from perennial_components.prepare.graph import with_values
from perennial_components.records import Parity

TOLERANCE = 1e-4
_OPSET = 18
_REASON = 400


def export(
    request: RunRequest, signature: Signature, model: Any, features: NDArray[np.float32], spread: float | None = None
) -> tuple[bytes | None, Parity]:
    """The ONNX bytes of ``model`` with the value steps of ``data.prepare`` before it, and how they differ from it on
    ``features`` as they are served; None, and why, when it has no such form.

    A conversion that fails and one that answers otherwise are alike: the model itself can be served. ``spread`` is the
    standard deviation of a Regression's target; None says that the model classifies. Raises RunError (ExportMismatch)
    where values are prepared and there is no ONNX form: nothing else could prepare them in serving.
    """
    taken = values(request, signature, features)
    try:
        converted = with_values(convert(model, taken.shape[1], request.model), request, signature)
        if spread is not None:
            return converted, check_values(model.predict(taken), converted, features, spread)
        return converted, check_parity(model.predict_proba(taken), converted, features)
    except RunError as error:
        reason = error.message
    except Exception as error:  # noqa: BLE001 - a converter fails in any way it likes
        reason = f"it has no ONNX form: {' '.join(str(error).split())}"
    if value_steps(request.prepare):
        raise RunError("ExportMismatch", f"data.prepare: steps on values need a model with an ONNX form: {reason}")
    print(f"served from skops: {reason}")
    return None, Parity(difference=None, rows=0, reason=reason[:_REASON])


def convert(model: Any, features: int, name: str) -> bytes:
    """The ONNX bytes of ``model``: input ``features`` float32 [N, F]; outputs ``label`` int64 [N] and ``probabilities``
    float32 [N, K], of a regressor ``variable`` float32 [N, 1]. The same model gives the same bytes.
    """
    proto = to_onnx(
        model,
        initial_types=[("features", FloatTensorType([None, features]))],
        options={"zipmap": False} if hasattr(model, "predict_proba") else None,
        target_opset=_OPSET,
        naming="n",
        name=name,
    )
    proto.doc_string = ""
    proto.opset_import.sort(key=lambda opset: opset.domain)  # comes in the order of a set, another in each process
    return bytes(proto.SerializeToString(deterministic=True))


def check_parity(expected: NDArray[Any], onnx: bytes, features: NDArray[np.float32]) -> Parity:
    """Compares the estimator's probabilities ``expected`` [N, K] on every row. Raises RunError (ExportMismatch) over
    ``TOLERANCE``.
    """
    labels, probabilities = probabilities_of(onnx, features)
    difference = float(np.max(np.abs(expected - probabilities)))
    wrong = int(np.sum(labels != probabilities.argmax(axis=1)))
    if not difference <= TOLERANCE or wrong:
        raise RunError(
            "ExportMismatch",
            f"the exported model differs from the estimator by up to {difference:.2g} in a probability over"
            f" {len(features)} rows ({TOLERANCE:g} is allowed); {wrong} labels disagree with their probabilities",
        )
    return Parity(difference=difference, rows=len(features))


def check_values(expected: NDArray[Any], onnx: bytes, features: NDArray[np.float32], spread: float) -> Parity:
    """As :func:`check_parity` does, of a Regression's predictions [N] in units of ``spread``."""
    difference = float(np.max(np.abs(expected - values_of(onnx, features)[:, 0]))) / spread
    if not difference <= TOLERANCE:
        raise RunError(
            "ExportMismatch",
            f"the exported model differs from the estimator by {difference:.2g} of the target's standard deviation"
            f" over {len(features)} rows ({TOLERANCE:g} is allowed)",
        )
    return Parity(difference=difference, rows=len(features))
