"""The model in memory: verified bytes become a session, a signature and a baseline that fit each other."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from perennial.contracts.baseline import VALUE, Baseline, Joint
from perennial.contracts.names import FILE_BASELINE, FILE_MODEL, FILE_SIGNATURE, FILE_SKOPS
from perennial.contracts.signature import Signature, by_column
from perennial_serving.inputs import Decoder, InputError, Rows
from perennial_serving.protocol import InputTensor
from perennial_serving.scorers import ModelError, OnnxScorer, Scorer

_TOLERANCE = 1e-4
"""A float32 softmax may leave [0, 1] by this much."""
_SUM_TOLERANCE = 1e-2
_WIDTH_80 = 2.5631031310892007
"""Standard deviations between the 10th and the 90th percentile of a normal distribution."""

_BESIDE_EDGES = 3
"""Of a number there are four special bins, and one regular bin fewer than edges."""


class Prediction(msgspec.Struct):
    """By row: the ``predicted`` class index, the ``probability`` to report, and ``positive``, the positive class's.

    Of a Regression both are the predicted number, and the class is its only one, the first of :attr:`Model.labels`.
    """

    predicted: list[int]
    probability: list[float]
    positive: list[float]

    def part(self, begin: int, end: int) -> "Prediction":
        """The rows from ``begin`` up to ``end``."""
        return Prediction(self.predicted[begin:end], self.probability[begin:end], self.positive[begin:end])

    def only(self, rows: Sequence[int]) -> "Prediction":
        """The ``rows`` alone."""
        columns = (self.predicted, self.probability, self.positive)
        return Prediction(*([column[row] for row in rows] for column in columns))  # type: ignore[arg-type]

    def extend(self, other: "Prediction") -> None:
        """Puts the rows of ``other`` behind these."""
        self.predicted += other.predicted
        self.probability += other.probability
        self.positive += other.positive


class Model:
    """One model with its signature and baseline."""

    def __init__(self, scorer: Scorer, signature: Signature, baseline: Baseline) -> None:
        self.signature = signature
        self.baseline = baseline
        self.decoder = Decoder(signature)
        self.scorer = scorer

    @property
    def labels(self) -> tuple[str, ...]:
        """What predictions and labels are counted as: the classes, or the one that a Regression has."""
        return self.signature.classes or (VALUE,)

    @property
    def regression(self) -> bool:
        """Whether it predicts a number."""
        return self.signature.task == "Regression"

    @property
    def spread(self) -> float:
        """How far a Regression's predictions usually lie from each other: their standard deviation, were they normal,
        by the width of the middle 80 % of those in training; 1 where that is nothing, or for classes.
        """
        known = self.baseline.prediction.quantiles
        width = known[len(known) * 9 // 10] - known[len(known) // 10] if known else 0.0
        return width / _WIDTH_80 if width > 0 else 1.0

    def predict(self, matrix: NDArray[np.float64]) -> Prediction:
        """Scores ``matrix`` [N,F]. Raises :class:`ModelError` when the model fails or a probability is none."""
        if self.regression:
            return self._numbers(matrix)
        signature = self.signature
        place = signature.positive
        try:
            probabilities = self.scorer.probabilities(matrix.astype(np.float32))
            positive: list[float] = probabilities[:, place].tolist()
        except Exception as error:
            raise ModelError(f"the model refused the input: {error}") from error
        for p in positive:
            if not -_TOLERANCE <= p <= 1 + _TOLERANCE:
                raise ModelError("the model answered something that is no probability")
        if len(signature.classes) == 2:
            threshold = signature.threshold
            return Prediction([place if p >= threshold else 1 - place for p in positive], positive, positive)
        predicted = probabilities.argmax(axis=1)
        return Prediction(predicted.tolist(), probabilities[np.arange(len(predicted)), predicted].tolist(), positive)

    def _numbers(self, matrix: NDArray[np.float64]) -> Prediction:
        try:
            values: list[float] = self.scorer.values(matrix.astype(np.float32)).tolist()
        except Exception as error:
            raise ModelError(f"the model refused the input: {error}") from error
        if not all(map(isfinite, values)):
            raise ModelError("the model answered something that is no number")
        return Prediction([0] * len(values), values, values)

    def warm_up(self) -> None:
        """One prediction on the signature's examples, so that the first caller does not pay for it.

        Raises :class:`ModelError` when it fails or has another shape than the classes.
        """
        matrix = np.array(self.example(), dtype=np.float64)
        if self.regression:
            try:
                given = len(self.predict(matrix).predicted)
            except ModelError as error:
                raise ModelError(f"{self.scorer.file}: the warm-up prediction failed: {error}") from error
            if given != 1:
                raise ModelError(f"{self.scorer.file}: gives {given} numbers for a row; a Regression's gives one")
            return
        try:
            probabilities = self.scorer.probabilities(matrix.astype(np.float32))
        except Exception as error:
            raise ModelError(f"{self.scorer.file}: the warm-up prediction failed: {error}") from error
        if probabilities.shape != (1, len(self.signature.classes)):
            raise ModelError(
                f"{self.scorer.file}: its probabilities have shape {list(probabilities.shape)}, the signature has"
                f" {len(self.signature.classes)} classes"
            )
        if abs(probabilities.sum() - 1) > _SUM_TOLERANCE:
            raise ModelError(
                f"{self.scorer.file}: its probabilities {probabilities[0].tolist()} do not add up to 1; a graph"
                " that gives logits needs a softmax or a sigmoid at its end"
            )
        self.predict(matrix)

    def example(self) -> Rows:
        """The signature's examples as a row. Raises :class:`ModelError` when its own inputs refuse them."""
        tensors = [
            InputTensor(item.name, [1], _datatype(item.example), [item.example]) for item in self.signature.inputs
        ]
        try:
            return self.decoder.decode(tensors)
        except InputError as error:
            raise ModelError(f"{FILE_SIGNATURE}: its own examples are refused: {error}") from None


def _datatype(example: float | str | None) -> str:
    return "BYTES" if isinstance(example, str) else "FP64"


def load(files: Mapping[str, bytes]) -> Model:
    """The model in ``files`` (verified content by file name), warmed up. Raises :class:`ModelError`."""
    absent = [name for name in (FILE_SIGNATURE, FILE_BASELINE) if name not in files]
    if FILE_MODEL not in files and FILE_SKOPS not in files:
        absent.insert(0, FILE_MODEL)
    if absent:
        raise ModelError(f"not among the artifacts: {', '.join(absent)}")
    signature = _decode(files[FILE_SIGNATURE], FILE_SIGNATURE, Signature)
    baseline = _decode(files[FILE_BASELINE], FILE_BASELINE, Baseline)
    _check(signature, baseline)
    model = Model(_scorer(files, signature), signature, baseline)
    model.warm_up()
    if baseline.joint is not None:
        _check_joint(signature, baseline.joint)
    return model


def _scorer(files: Mapping[str, bytes], signature: Signature) -> Scorer:
    if FILE_MODEL in files:
        return OnnxScorer(files[FILE_MODEL])
    from perennial_serving.estimator import EstimatorScorer  # noqa: PLC0415 - scikit-learn, seldom needed, is large

    return EstimatorScorer(files[FILE_SKOPS], signature.task)


def _decode(data: bytes, name: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise ModelError(f"{name}: {error}") from None


def _check(signature: Signature, baseline: Baseline) -> None:
    """What the two files must have in common for counting to mean anything."""
    if signature.task == "Regression":
        _check_regression(signature, baseline)
    elif baseline.losses:
        raise ModelError(f"{FILE_BASELINE}: has expected losses, so it is a Regression's; the signature has classes")
    elif len(signature.classes) < 2 or not 0 <= signature.positive < len(signature.classes):
        raise ModelError(f"{FILE_SIGNATURE}: no positive class among {signature.classes}")
    counted = {item.name: item.kind for item in baseline.features}
    for item in signature.inputs:
        # Of a date or a text is counted whether it is one.
        if counted.get(item.name) != ("Categorical" if item.wide else item.kind):
            raise ModelError(f"{FILE_BASELINE}: has no {item.kind} feature {item.name!r}, which the signature names")


def _check_regression(signature: Signature, baseline: Baseline) -> None:
    if signature.classes:
        raise ModelError(f"{FILE_SIGNATURE}: a Regression has no classes, this one has {list(signature.classes)}")
    counted, predicted = baseline.prediction, baseline.predicted.bins
    if counted.kind != "Numeric" or len(counted.edges) < 2 or len(counted.bins) != len(counted.edges) + _BESIDE_EDGES:
        raise ModelError(
            f"{FILE_BASELINE}: its prediction is {counted.kind}, in {len(counted.bins)} bins, with {len(counted.edges)}"
            f" edges; a Regression's is Numeric, with two edges or more and {_BESIDE_EDGES} bins more than edges"
        )
    if not counted.quantiles:
        raise ModelError(f"{FILE_BASELINE}: its prediction has no quantiles, by which a shadow's numbers are compared")
    if predicted != (VALUE,):
        raise ModelError(f"{FILE_BASELINE}: its predicted has the bins {list(predicted)}; a Regression's is {VALUE!r}")
    if not baseline.losses:
        raise ModelError(f"{FILE_BASELINE}: has no losses, the errors that are expected of a Regression's predictions")


def _check_joint(signature: Signature, joint: Joint) -> None:
    columns = by_column(signature.inputs)
    width = [len(columns)] * (3 + len(joint.axes))
    wanted = [len(item.categories) + 1 if item.kind == "Categorical" else 0 for item in columns]
    if list(map(len, (joint.centre, joint.scale, joint.shares, *joint.axes))) != width or not joint.axes:
        raise ModelError(f"{FILE_BASELINE}: joint is not of the {len(columns)} columns of the signature")
    if list(map(len, joint.shares)) != wanted:
        raise ModelError(f"{FILE_BASELINE}: joint has other categories than the signature")
