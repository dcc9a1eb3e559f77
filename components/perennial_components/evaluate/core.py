"""The served model on held-out rows: overall, by slice, and beside the champion."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
import obstore.exceptions
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, roc_curve

from perennial.contracts import objects
from perennial.contracts.estimator import EstimatorError
from perennial.contracts.request import Artifact, Champion, RunRequest
from perennial.contracts.result import ChampionMetrics, SliceMetrics
from perennial.contracts.signature import Signature
from perennial_components.baseline.bins import edges_of, labels_of, numeric_places
from perennial_components.evaluate.metrics import figures
from perennial_components.failure import RunError
from perennial_components.inference import answers_of
from perennial_components.records import CalibrationBin, Evaluation
from perennial_components.split.encoding import encode
from perennial_components.storage import Encoded, store_message
from perennial_components.table import category_texts, numbers

SLICES = 20
_CALIBRATION_BINS = 10
_PAIRS = 500
MISSING_SLICE = "(missing)"

Read = Callable[[Artifact], bytes]


def evaluate(
    request: RunRequest, table: pd.DataFrame, rows: Encoded, signature: Signature, model: bytes, read: Read
) -> Evaluation:
    """Measures ``model`` (ONNX or skops) on the rows held out; ``read`` fetches the champion's files, verified."""
    held, target = table[rows.held], rows.target[rows.held]
    answers = answers_of(signature.task, model, rows.features[rows.held])
    chosen = answers[:, signature.positive].astype(np.float64)
    numbers = signature.task == "Regression"
    happened = target if numbers else target == signature.positive
    return Evaluation(
        rows=len(target),
        metrics=figures(signature, target, answers),
        slices=tuple(
            found for column in request.slices for found in by_slice(column, held[column], target, answers, signature)
        ),
        confusion=() if numbers else _confusion(signature, target, answers),
        roc=() if numbers else _roc(happened, chosen),
        calibration=tuple(_calibration(happened, chosen)),
        champion=compare(request, held, target, signature, read) if request.champion else None,
        pairs=tuple(zip(chosen[:_PAIRS].tolist(), target[:_PAIRS].tolist(), strict=True)) if numbers else (),
    )


def _confusion(
    signature: Signature, target: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> tuple[tuple[int, ...], ...]:
    return tuple(map(tuple, confusion_matrix(target, probabilities.argmax(1), labels=_places(signature)).tolist()))


def by_slice(
    name: str, column: Any, target: NDArray[Any], answers: NDArray[np.float32], signature: Signature
) -> Iterator[SliceMetrics]:
    """Metrics for each value of a column; a numeric one with many values is cut at its quantiles."""
    texts = slice_texts(column)
    found, counts = np.unique(texts.astype(str), return_counts=True)
    largest = sorted(sorted(zip(-counts, found, strict=True))[:SLICES], key=lambda pair: str(pair[1]))
    for _, value in largest:
        rows = texts == value
        yield SliceMetrics(name, str(value), int(rows.sum()), figures(signature, target[rows], answers[rows]))


def slice_texts(column: Any) -> NDArray[np.object_]:
    """The slice of each row, ``MISSING_SLICE`` where the cell is missing."""
    texts = category_texts(column)
    values = numbers(column)
    distinct = {text for text in texts if text is not None}
    if len(distinct) > SLICES and np.isfinite(values).any():
        edges = edges_of(values[np.isfinite(values)])[::3]
        top = float(np.nanmax(values[np.isfinite(values)]))
        edges = edges if edges[-1] >= top else (*edges, top)
        names = np.array([MISSING_SLICE, "(not a number)", "(below)", *labels_of(edges), "(above)"], dtype=object)
        return np.asarray(names[numeric_places(edges, values)], dtype=object)
    return np.array([MISSING_SLICE if text is None else text for text in texts], dtype=object)


def compare(
    request: RunRequest, held: pd.DataFrame, target: NDArray[Any], signature: Signature, read: Read
) -> ChampionMetrics:
    """The champion on the same held-out rows, encoded by its own signature, or why that says nothing."""
    champion = request.champion
    assert champion is not None  # noqa: S101 - the caller asks only when there is one
    if champion.split != request.split:
        return _inconclusive(
            champion, "its split settings differ: rows held out here may be among those it learned from"
        )
    try:
        its = msgspec.json.decode(read(champion.signature), type=Signature)
        model = read(champion.model)
    except (FileNotFoundError, objects.DigestMismatch, msgspec.DecodeError) as error:
        return _inconclusive(champion, f"its files cannot be used: {store_message(error)}")
    if (its.task, its.classes, its.target) != (signature.task, signature.classes, signature.target):
        return _inconclusive(champion, f"it predicts {its.target} as {', '.join(its.classes) or 'a number'}")
    absent = [item.name for item in its.inputs if item.name not in held.columns]
    if absent:
        return _inconclusive(champion, f"its inputs {', '.join(absent)} are not in the data")
    try:
        answers = answers_of(its.task, model, encode(its, held))
    except EstimatorError as error:
        return _inconclusive(champion, str(error))
    return ChampionMetrics(champion.version, figures(its, target, answers), len(target))


def verified_reader(credentials: Mapping[str, str]) -> Read:
    """Reads an artifact and checks its digest. A store that is away raises RunError (StoreUnavailable)."""

    def read(artifact: Artifact) -> bytes:
        try:
            return objects.read_verified(artifact, credentials)
        except FileNotFoundError:
            raise
        except (obstore.exceptions.BaseError, objects.StoreNotTrusted) as error:
            raise RunError("StoreUnavailable", f"{artifact.uri} cannot be read: {store_message(error)}") from error

    return read


def _inconclusive(champion: Champion, why: str) -> ChampionMetrics:
    return ChampionMetrics(champion.version, {}, 0, why)


def _places(signature: Signature) -> list[int]:
    return list(range(len(signature.classes)))


def _roc(happened: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    if happened.all() or not happened.any():
        return ()
    false, true, _ = roc_curve(happened, probabilities)
    keep = np.unique(np.linspace(0, len(false) - 1, min(len(false), 200)).round().astype(int))
    return tuple((float(false[i]), float(true[i])) for i in keep)


def _calibration(happened: NDArray[Any], predicted: NDArray[np.float64]) -> Iterator[CalibrationBin]:
    for rows in np.array_split(np.argsort(predicted, kind="stable"), min(_CALIBRATION_BINS, len(predicted))):
        yield CalibrationBin(float(predicted[rows].mean()), float(happened[rows].mean()), len(rows))
