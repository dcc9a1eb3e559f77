"""What somebody's own pipeline left, taken for a claim: its files are verified, its model is asked again."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
import pandas as pd

from perennial.contracts import names, objects
from perennial.contracts.estimator import EstimatorError
from perennial.contracts.request import RunRequest
from perennial.contracts.result import CandidateScore, RunResult
from perennial.contracts.signature import Signature
from perennial_components.evaluate.core import verified_reader
from perennial_components.evaluate.metrics import score
from perennial_components.failure import RunError, nearest
from perennial_components.inference import GraphError, answers_of
from perennial_components.own import FOLDER
from perennial_components.records import Parity, Tuned
from perennial_components.split.encoding import encode
from perennial_components.storage import Encoded, OutOfFold


@dataclass(frozen=True)
class Claimed:
    """The model with what our components need beside it; ``estimator`` is the skops file where there is one."""

    signature: Signature
    rows: Encoded
    model: bytes
    estimator: bytes | None
    tuned: Tuned
    parity: Parity
    predictions: OutOfFold


def claim(
    request: RunRequest, table: pd.DataFrame, rows: Encoded, signature: Signature, credentials: Mapping[str, str]
) -> Claimed:
    """What the pipeline's result.json names. ``rows`` and ``signature`` are as our own split has them.

    Raises RunError (TrainingFailed) for a result that cannot be served or is about something else.
    """
    result = _result(request, credentials)
    its = _signature(result, signature, table)
    read = verified_reader(credentials)
    file = names.model_file(result.artifacts)
    if file not in result.artifacts:
        raise RunError("TrainingFailed", f"the pipeline's result.json names no {names.FILE_MODEL}")
    try:
        model = read(result.artifacts[file])
        kept = result.artifacts.get(names.FILE_SKOPS)
        estimator = read(kept) if kept else None
    except (FileNotFoundError, objects.DigestMismatch) as error:
        raise RunError("TrainingFailed", f"the pipeline's files are not as it says: {error}") from error
    encoded = msgspec.structs.replace(rows, features=encode(its, table))
    predictions = _predictions(its, model, encoded)
    return Claimed(
        signature=its,
        rows=encoded,
        model=model,
        estimator=estimator,
        tuned=Tuned((_score(request, its, result, predictions),), 0),
        parity=Parity(None, len(table), "" if file == names.FILE_MODEL else result.format_reason or "it has no ONNX"),
        predictions=predictions,
    )


def _result(request: RunRequest, credentials: Mapping[str, str]) -> RunResult:
    uri = f"{request.output.rstrip('/')}/{FOLDER}/{names.FILE_RESULT}"
    try:
        return msgspec.json.decode(objects.read(uri, credentials), type=RunResult)
    except FileNotFoundError as error:
        said = f"the pipeline ended and left no {names.FILE_RESULT} in the output of its request"
        raise RunError("TrainingFailed", said) from error
    except msgspec.DecodeError as error:
        raise RunError("TrainingFailed", f"the pipeline's {names.FILE_RESULT} cannot be read: {error}") from error


def _signature(result: RunResult, ours: Signature, table: pd.DataFrame) -> Signature:
    its = result.signature
    if (its.task, its.target, its.classes, its.positive) != (ours.task, ours.target, ours.classes, ours.positive):
        asked = f"{ours.task} of {ours.target} ({', '.join(ours.classes) or 'a number'})"
        given = f"{its.task} of {its.target} ({', '.join(its.classes) or 'a number'})"
        raise RunError("TrainingFailed", f"the pipeline's model is a {given}; asked for is a {asked}")
    absent = [item.name for item in its.inputs if item.name not in table.columns]
    if absent:
        said = ", ".join(f"{name!r}{nearest(name, map(str, table.columns))}" for name in absent)
        raise RunError("TrainingFailed", f"the pipeline's signature has inputs that are not in the data: {said}")
    return its


def _score(request: RunRequest, signature: Signature, result: RunResult, predictions: OutOfFold) -> CandidateScore:
    """What it says of itself, where it says something that can be read as the tuned metric; otherwise what that is on
    the rows held out. Raises RunError (TrainingFailed) where it is undefined on them.
    """
    best = max(result.candidates, key=lambda each: each.algorithm == result.algorithm, default=None)
    if best is not None:
        return best
    found = result.metrics.get(request.metric)
    if found is None:
        found = score(request.metric, predictions.target, predictions.answers, signature.positive)
    if not math.isfinite(found):
        raise RunError(
            "TrainingFailed",
            f"the pipeline's result.json names no {request.metric} in its metrics, and it is undefined on the rows held"
            " out: choose another tuning.metric",
        )
    return CandidateScore(result.algorithm, result.parameters, found, 0.0, 1)


def _predictions(signature: Signature, model: bytes, rows: Encoded) -> OutOfFold:
    try:
        answers = answers_of(signature.task, model, rows.features[rows.held])
    except (EstimatorError, GraphError) as error:
        raise RunError("TrainingFailed", f"the pipeline's model cannot be served: {error}") from error
    except Exception as error:
        # onnxruntime has many exceptions and no common one.
        raise RunError("TrainingFailed", f"the pipeline's model cannot be asked: {error}") from error
    if signature.task == "Classification" and answers.shape[1] != len(signature.classes):
        said = f"the pipeline's model gives {answers.shape[1]} probabilities for {len(signature.classes)} classes"
        raise RunError("TrainingFailed", said)
    if not np.isfinite(answers).all():
        raise RunError("TrainingFailed", "the pipeline's model answers NaN or infinity on held-out rows")
    return OutOfFold(target=rows.target[rows.held], answers=answers.astype(np.float64), rows=rows.held)
