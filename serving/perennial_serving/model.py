"""The model in memory: verified bytes become a session, a signature and a baseline that fit each other."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from perennial.contracts.baseline import Baseline
from perennial.contracts.names import FILE_BASELINE, FILE_MODEL, FILE_SIGNATURE
from perennial.contracts.signature import Signature
from perennial_serving.inputs import TENSOR, Decoder, InputError
from perennial_serving.protocol import InputTensor

OUTPUT = "probabilities"
_TOLERANCE = 1e-4
"""A float32 softmax may leave [0, 1] by this much."""


class ModelError(RuntimeError):
    """The files cannot be served together, or the model answered nonsense; the message says what."""


class Prediction(msgspec.Struct):
    """By row: the ``predicted`` class index, the ``probability`` to report, and ``positive``, the positive class's."""

    predicted: list[int]
    probability: list[float]
    positive: list[float]


class Model:
    """One ONNX model with its signature and baseline."""

    def __init__(self, session: Any, signature: Signature, baseline: Baseline) -> None:
        self.signature = signature
        self.baseline = baseline
        self.decoder = Decoder(signature)
        self._session = session

    def predict(self, matrix: NDArray[np.float32]) -> Prediction:
        """Scores ``matrix`` [N,F]. Raises :class:`ModelError` when a probability is none."""
        try:
            probabilities: list[list[float]] = self._session.run([OUTPUT], {TENSOR: matrix})[0].tolist()
        except Exception as error:
            raise ModelError(f"onnxruntime refused the input: {error}") from error
        signature = self.signature
        place = signature.positive
        positive = [row[place] for row in probabilities]
        if not all(-_TOLERANCE <= p <= 1 + _TOLERANCE for p in positive):
            raise ModelError("the model answered something that is no probability")
        if len(signature.classes) == 2:
            threshold = signature.threshold
            return Prediction([place if p >= threshold else 1 - place for p in positive], positive, positive)
        predicted = [max(range(len(row)), key=row.__getitem__) for row in probabilities]
        return Prediction(predicted, [row[top] for row, top in zip(probabilities, predicted, strict=True)], positive)

    def warm_up(self) -> None:
        """One prediction on the signature's examples, so that the first caller does not pay for it.

        Raises :class:`ModelError` when it fails or has another shape than the classes.
        """
        tensors = [
            InputTensor(item.name, [1], _datatype(item.example), [item.example]) for item in self.signature.inputs
        ]
        try:
            rows = self.decoder.decode(tensors)
        except InputError as error:
            raise ModelError(f"{FILE_SIGNATURE}: its own examples are refused: {error}") from None
        try:
            shape = self._session.run([OUTPUT], {TENSOR: rows.matrix})[0].shape
        except Exception as error:
            raise ModelError(f"{FILE_MODEL}: the warm-up prediction failed: {error}") from error
        if shape != (1, len(self.signature.classes)):
            raise ModelError(
                f"{FILE_MODEL}: {OUTPUT} has shape {shape}, the signature has {len(self.signature.classes)} classes"
            )
        self.predict(rows.matrix)


def _datatype(example: float | str | None) -> str:
    return "BYTES" if isinstance(example, str) else "FP64"


def load(files: Mapping[str, bytes]) -> Model:
    """The model in ``files`` (verified content by file name), warmed up. Raises :class:`ModelError`."""
    absent = [name for name in (FILE_MODEL, FILE_SIGNATURE, FILE_BASELINE) if name not in files]
    if absent:
        raise ModelError(f"not among the artifacts: {', '.join(absent)}")
    signature = _decode(files[FILE_SIGNATURE], FILE_SIGNATURE, Signature)
    baseline = _decode(files[FILE_BASELINE], FILE_BASELINE, Baseline)
    _check(signature, baseline)
    model = Model(_session(files[FILE_MODEL]), signature, baseline)
    model.warm_up()
    return model


def _decode(data: bytes, name: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise ModelError(f"{name}: {error}") from None


def _check(signature: Signature, baseline: Baseline) -> None:
    """What the two files must have in common for counting to mean anything."""
    if len(signature.classes) < 2 or not 0 <= signature.positive < len(signature.classes):
        raise ModelError(f"{FILE_SIGNATURE}: no positive class among {signature.classes}")
    counted = {item.name: item.kind for item in baseline.features}
    for item in signature.inputs:
        if counted.get(item.name) != item.kind:
            raise ModelError(f"{FILE_BASELINE}: has no {item.kind} feature {item.name!r}, which the signature names")


def _session(data: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"{FILE_MODEL}: onnxruntime cannot load it: {error}") from error
    inputs, outputs = [item.name for item in session.get_inputs()], [item.name for item in session.get_outputs()]
    if inputs != [TENSOR] or OUTPUT not in outputs:
        raise ModelError(f"{FILE_MODEL}: takes {inputs} and gives {outputs}, expected are [{TENSOR!r}] and {OUTPUT!r}")
    return session
