"""Encodes all rows and holds some of them out."""

import numpy as np
import pandas as pd

from perennial.contracts.request import RunRequest
from perennial.contracts.signature import Signature
from perennial_components.failure import RunError
from perennial_components.split.encoding import class_indices, encode, signature_of, target_labels
from perennial_components.split.sides import sides
from perennial_components.storage import Encoded, Sides
from perennial_components.table import numbers
from perennial_components.tune.auto import resolved

_LEAST_HELD = 2
"""Held-out rows from which R2 says something."""


def split(request: RunRequest, table: pd.DataFrame, known: Sides | None = None) -> tuple[Encoded, Signature]:
    """The encoded rows, which of them are held out, and the signature they are encoded by. ``known`` are the sides of
    the rows of ``table``; without them it is as it was read.

    Raises RunError (DataRejected) when the rows left to train on, or those held out, lack a class (of a
    Regression: are too few).
    """
    request = resolved(request, table)
    found = known or sides(request, table)
    signature = signature_of(request, table, found.held)
    if request.task == "Regression":
        return _of_numbers(request, table, signature, found), signature
    target = class_indices(signature.classes, target_labels(request.target, table[request.target.column]))
    held = found.held
    for index, label in enumerate(signature.classes):
        rows = target == index
        trained, tested = int(np.sum(rows & ~held)), int(np.sum(rows & held))
        if trained < request.folds or tested < 1:
            raise RunError(
                "DataRejected",
                f"class {label!r} of column {signature.target!r} has {trained} rows to train on and {tested} held out;"
                f" {request.folds} (one a fold) and 1 are needed: more data, or another split",
            )
    return Encoded(encode(signature, table), target, held, found.groups), signature


def _of_numbers(request: RunRequest, table: pd.DataFrame, signature: Signature, found: Sides) -> Encoded:
    target = numbers(table[signature.target])
    held = found.held
    trained, tested = int(np.sum(~held)), int(np.sum(held))
    if trained < request.folds or tested < _LEAST_HELD:
        raise RunError(
            "DataRejected",
            f"there are {trained} rows to train on and {tested} held out; {request.folds} (one a fold) and"
            f" {_LEAST_HELD} are needed: more data, or another split",
        )
    return Encoded(encode(signature, table), target, held, found.groups)
