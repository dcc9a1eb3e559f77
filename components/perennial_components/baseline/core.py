"""What the data and the predictions looked like at training time."""

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.contracts.baseline import PREDICTION_EDGES, VALID, VALUE, Baseline, Distribution
from perennial.contracts.signature import Input, Signature
from perennial_components.baseline.bins import categorical, counted, numeric, quantiles_of
from perennial_components.baseline.calibration import calibration_points
from perennial_components.baseline.chunks import Chunks, chunks_of
from perennial_components.baseline.grid import grid_edges, grid_labels
from perennial_components.baseline.joint import joint_of
from perennial_components.baseline.losses import loss_points
from perennial_components.records import Evaluation
from perennial_components.split.encoding import undated
from perennial_components.storage import Encoded, OutOfFold
from perennial_components.table import category_texts, numbers, unix_seconds, unreadable


def baseline(
    table: pd.DataFrame,
    rows: Encoded,
    signature: Signature,
    predictions: OutOfFold,
    evaluation: Evaluation,
    time: str = "",
) -> Baseline:
    """Features are counted over all rows of ``table`` (``rows`` are the same, encoded), predictions out of fold.

    ``time`` is the column by which they are counted in chunks too; without one there are no chunks.
    """
    chosen = predictions.answers[:, signature.positive]
    regression = signature.task == "Regression"
    chunks = chunks_of(unix_seconds(table[time])) if time else None
    trained = chunks.of_rows(~rows.held if predictions.rows is None else predictions.rows) if chunks else None
    return Baseline(
        rows=len(table),
        features=tuple(_feature(item, table, chunks) for item in signature.inputs),
        prediction=_prediction(signature, chosen, trained),
        predicted=_predicted(signature, predictions.answers),
        calibration=() if regression else calibration_points(chosen, predictions.target == signature.positive),
        metrics=evaluation.metrics,
        confusion=evaluation.confusion,
        chunk_seconds=chunks.seconds if chunks else 0.0,
        joint=joint_of(signature, rows.features, chunks),
        losses=loss_points(chosen, predictions.target) if regression else (),
    )


def _prediction(signature: Signature, chosen: NDArray[np.float64], chunks: Chunks | None) -> Distribution:
    if signature.task == "Regression":
        found = counted("prediction", grid_edges(chosen), chosen, chunks=chunks, labels=grid_labels)
        return msgspec.structs.replace(found, quantiles=quantiles_of(chosen))
    return counted("probability", PREDICTION_EDGES, chosen, chunks=chunks)


def _feature(item: Input, table: pd.DataFrame, chunks: Chunks | None) -> Distribution:
    column = table[item.name]
    if item.kind == "Categorical":
        return categorical(item.name, category_texts(column), chunks)
    if item.wide:
        texts = np.array([VALID if there else None for there in column.notna()], dtype=object)
        return categorical(item.name, texts, chunks, undated(column) if item.kind == "Datetime" else None)
    values, invalid = numbers(column), unreadable(column)
    values[invalid] = np.nan
    found = numeric(item.name, values, invalid, chunks)
    return msgspec.structs.replace(found, quantiles=quantiles_of(values))


def _predicted(signature: Signature, answers: NDArray[np.float64]) -> Distribution:
    if signature.task == "Regression":
        return Distribution("predicted", "Categorical", (VALUE,), (len(answers),))
    counts = np.bincount(answers.argmax(axis=1), minlength=len(signature.classes))
    return Distribution("predicted", "Categorical", signature.classes, tuple(int(count) for count in counts))
