"""From text to the one tensor that models take, by a signature."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.contracts.datetimes import DatetimePart, parts_of
from perennial.contracts.request import DatetimeFeature, RunRequest, Target, TextFeature
from perennial.contracts.signature import MISSING_CATEGORY, Input, Signature, category_of
from perennial.contracts.texts import TermCounts, terms_of
from perennial_components.failure import RunError
from perennial_components.table import category_texts, numbers

_NO_PART: tuple[DatetimePart, ...] = ()
_EXAMPLE = 40
"""About so long is the text that is shown for an example."""


def signature_of(request: RunRequest, table: pd.DataFrame, held: NDArray[np.bool_] | None = None) -> Signature:
    """Inputs in the order of the request, numeric ones first, then categories, dates and texts; categories and classes
    are all that occur, as text, and terms all that do in rows that are not ``held`` out.

    Raises RunError (DataRejected) for a column of texts without any term that is frequent enough.
    """
    inputs = [_numeric_input(name, table[name]) for name in request.numeric]
    inputs += [_categorical_input(name, table[name]) for name in request.categorical]
    inputs += [_datetime_input(each, table[each.column]) for each in request.datetime]
    trained = slice(None) if held is None else ~held
    inputs += [_text_input(each, table[each.column][trained]) for each in request.text]
    if request.task == "Regression":
        return Signature("Regression", tuple(inputs), request.target.column, classes=(), positive=0)
    labels = target_labels(request.target, table[request.target.column])
    return Signature(
        task="Classification",
        inputs=tuple(inputs),
        target=request.target.column,
        classes=tuple(sorted({label for label in labels if label is not None})),
    )


def target_labels(target: Target, column: Any) -> NDArray[np.object_]:
    """The class of each row as text; None where the target is missing, or is no number but compared with one."""
    if target.above is not None:
        values = numbers(column)
        labels = np.where(values > target.above, "1", "0").astype(object)
        labels[np.isnan(values)] = None
        return labels
    texts = category_texts(column)
    if target.equals is None:
        return texts
    wanted = category_of(target.equals)
    return np.array([None if text is None else str(int(text == wanted)) for text in texts], dtype=object)


def class_indices(classes: tuple[str, ...], labels: NDArray[np.object_]) -> NDArray[np.int64]:
    """Labels as places in ``classes``. Raises ValueError for one that is not there."""
    return np.fromiter((classes.index(label) for label in labels), dtype=np.int64, count=len(labels))


def encode(signature: Signature, table: pd.DataFrame) -> NDArray[np.float32]:
    """The tensor [N, F]: a number or NaN; a category's index, or -1 when it is missing or not in the signature; the
    parts of a date, a column each, all NaN when it is missing or none; the counts of a text's terms, alike.
    """
    return np.column_stack([_encode_column(item, table[item.name]).astype(np.float32) for item in signature.inputs])


def _encode_column(item: Input, column: Any) -> NDArray[np.floating[Any]]:
    if item.kind == "Numeric":
        values = numbers(column)
        # What float32 cannot hold, and serving refuses, is missing.
        values[~(np.abs(values) <= np.finfo(np.float32).max)] = np.nan
        return values
    if item.kind == "Datetime":
        return datetime_parts(column, item.parts)
    if item.kind == "Text":
        return term_counts(column, item.terms)
    places = {category: float(i) for i, category in enumerate(item.categories)}
    texts = category_texts(column)
    return np.array([MISSING_CATEGORY if text is None else places.get(text, MISSING_CATEGORY) for text in texts])


def datetime_parts(column: Any, parts: tuple[DatetimePart, ...]) -> NDArray[np.float64]:
    """The ``parts`` [N, P] of each cell by ``parts_of``, all NaN where it is missing or no date."""
    codes, texts = pd.factorize(column)
    missing = [np.nan] * len(parts)
    found = [*(_parts(text, parts) or missing for text in texts), missing]
    values = np.array(found, dtype=np.float64).reshape(len(found), len(parts))
    return np.asarray(values[codes])


def term_counts(column: Any, terms: tuple[str, ...]) -> NDArray[np.float32]:
    """How often each of the ``terms`` is in each cell [N, T] by ``TermCounts``, all NaN where it is missing."""
    count, missing = TermCounts(terms), np.full(len(terms), np.nan, dtype=np.float32)
    found = np.empty((len(column), len(terms)), dtype=np.float32)
    for place, text in enumerate(column):
        found[place] = count(text) if isinstance(text, str) else missing
    return found


def undated(column: Any) -> NDArray[np.bool_]:
    """Where a cell [N] is there and is no date as ``parts_of`` takes them."""
    codes, texts = pd.factorize(column)
    wrong = np.array([*(_parts(text, _NO_PART) is None for text in texts), False], dtype=bool)
    return np.asarray(wrong[codes])


def _parts(text: str, parts: tuple[DatetimePart, ...]) -> list[float] | None:
    try:
        return parts_of(text, parts)
    except ValueError:
        return None


def _numeric_input(name: str, column: Any) -> Input:
    values = numbers(column)
    values = values[np.isfinite(values)]
    middle = float(np.quantile(values, 0.5, method="lower")) if len(values) else None
    return Input(name=name, kind="Numeric", example=middle)


def _categorical_input(name: str, column: Any) -> Input:
    texts = pd.Series(category_texts(column)).dropna()
    common = str(texts.mode().iloc[0]) if len(texts) else None
    return Input(name=name, kind="Categorical", categories=tuple(sorted(set(texts))), example=common)


def _datetime_input(feature: DatetimeFeature, column: Any) -> Input:
    dates = column[~undated(column)].dropna().sort_values()
    middle = str(dates.iloc[len(dates) // 2]) if len(dates) else None
    return Input(name=feature.column, kind="Datetime", example=middle, parts=feature.parts)


def _text_input(feature: TextFeature, column: Any) -> Input:
    """``column`` is that of the training rows: the terms that are in most of them, in the alphabet's order."""
    texts = column.dropna()
    rows = Counter(term for text in texts for term in set(terms_of(text)))
    often = sorted((term for term in rows if rows[term] >= feature.min_rows), key=lambda term: (-rows[term], term))
    if not often:
        raise RunError(
            "DataRejected",
            f"features.text: column {feature.column!r} has no term of two letters or more that is in {feature.min_rows}"
            " training rows (minRows)",
        )
    example = min(texts, key=lambda text: (abs(len(text) - _EXAMPLE), text))
    return Input(feature.column, "Text", example=example, terms=tuple(sorted(often[: feature.max_terms])))
