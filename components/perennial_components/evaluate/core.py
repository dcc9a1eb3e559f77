"""The served model on held-out rows: overall, by slice, and beside the champion."""

from collections.abc import Mapping

import numpy as np
import obstore.exceptions
import pandas as pd

from perennial.contracts import objects
from perennial.contracts.request import Artifact, RunRequest
from perennial.contracts.signature import Signature
from perennial_components.evaluate import curves
from perennial_components.evaluate.bootstrap import intervals
from perennial_components.evaluate.champion import Read, compare
from perennial_components.evaluate.held import Held
from perennial_components.evaluate.importance import importance
from perennial_components.evaluate.metrics import figures
from perennial_components.evaluate.slices import by_slice
from perennial_components.failure import RunError
from perennial_components.inference import answers_of
from perennial_components.records import Evaluation
from perennial_components.storage import Encoded, store_message

_PAIRS = 500


def evaluate(
    request: RunRequest, table: pd.DataFrame, rows: Encoded, signature: Signature, model: bytes, read: Read
) -> Evaluation:
    """Measures ``model`` (ONNX or skops) on the rows held out; ``read`` fetches the champion's files, verified."""
    features, target = rows.features[rows.held], rows.target[rows.held]
    answers = answers_of(signature.task, model, features)
    groups = rows.groups[rows.held] if rows.groups is not None and request.split.group else None
    held = Held(table[rows.held], target, answers, groups)
    chosen = answers[:, signature.positive].astype(np.float64)
    numbers = signature.task == "Regression"
    happened, called = (target, target) if numbers else (target == signature.positive, answers.argmax(axis=1))
    return Evaluation(
        rows=len(target),
        metrics=figures(signature, target, answers),
        intervals=intervals(signature, target, answers, request.seed, groups),
        slices=tuple(found for column in request.slices for found in by_slice(column, held, signature, request.seed)),
        confusion=() if numbers else curves.confusion(signature, target, called),
        classes=() if numbers else curves.class_figures(signature, target, called),
        roc=() if numbers else curves.roc(happened, chosen),
        precision_recall=() if numbers else curves.precision_recall(happened, chosen),
        calibration=tuple(curves.calibration(happened, chosen)),
        champion=compare(request, held, signature, read) if request.champion else None,
        pairs=tuple(zip(chosen[:_PAIRS].tolist(), target[:_PAIRS].tolist(), strict=True)) if numbers else (),
        importance=importance(signature, model, features, target, request.metric, request.seed),
    )


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
