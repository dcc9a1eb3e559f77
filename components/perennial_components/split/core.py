"""Encodes all rows and holds some of them out."""

import numpy as np
import pandas as pd

from perennial.contracts.request import RunRequest
from perennial.contracts.signature import Signature
from perennial_components.failure import RunError
from perennial_components.split.encoding import class_indices, encode, signature_of, target_labels
from perennial_components.split.hashing import held_out
from perennial_components.storage import Encoded


def split(request: RunRequest, table: pd.DataFrame) -> tuple[Encoded, Signature]:
    """The encoded rows, which of them are held out, and the signature they are encoded by.

    Raises RunError (DataRejected) when the rows left to train on, or those held out, lack a class.
    """
    signature = signature_of(request, table)
    target = class_indices(signature.classes, target_labels(request.target, table[request.target.column]))
    held = held_out(table, test=request.split.test, seed=request.split.seed, key=request.split.key)
    for index, label in enumerate(signature.classes):
        rows = target == index
        trained, tested = int(np.sum(rows & ~held)), int(np.sum(rows & held))
        if trained < request.folds or tested < 1:
            raise RunError(
                "DataRejected",
                f"class {label!r} of column {signature.target!r} has {trained} rows to train on and {tested} held out;"
                f" {request.folds} (one a fold) and 1 are needed: more data, or another split.test or split.key",
            )
    return Encoded(features=encode(signature, table), target=target, held=held), signature
