"""What the columns of a run hold, and what about it a person should look at."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.contracts.request import RunRequest
from perennial.contracts.signature import Input, Signature, by_column, category_of, starts
from perennial_components.check.alone import FINE, Truth, alone, association
from perennial_components.check.repeats import duplicates, feature_hashes, shared
from perennial_components.records import ColumnProfile, Finding, Profile
from perennial_components.storage import Encoded
from perennial_components.table import numbers

LEAKAGE = 0.995
MOSTLY = 0.5
RARE = 0.01
_TOP, _LEAST_TOLD, _BINS = 8, 5, 20
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
_IDENTIFYING = 0.95
_GRAVITY = ("Leakage", "SplitDuplicates", "Identifier", "Duplicates", "Constant", "Missing", "Imbalance")


def profile_of(request: RunRequest, table: pd.DataFrame, rows: Encoded, signature: Signature) -> Profile:
    """The profile of ``table``, the prepared rows, of which ``rows`` are the encoded ones."""
    truth = Truth.of(rows, len(signature.classes))
    columns = [_target(request, table, signature)]
    columns += [
        _feature(item, table[item.name], rows.features[:, place : place + item.width], truth)
        for item, place in zip(signature.inputs, starts(signature.inputs), strict=False)
    ]
    hashes = feature_hashes(rows.features)
    repeated, both = duplicates(table, hashes), shared(hashes, rows.held)
    classes: tuple[tuple[str, int], ...] = ()
    if signature.classes:
        counts = np.bincount(rows.target, minlength=len(signature.classes))
        ordered = sorted(zip(signature.classes, counts.tolist(), strict=True), key=lambda pair: -pair[1])
        classes = tuple(ordered)
    found = list(_findings(columns, classes, len(table), repeated, both, int(rows.held.sum())))
    return Profile(
        rows=len(table), dropped=0, held=int(rows.held.sum()), duplicates=repeated, shared=both, classes=classes,
        columns=tuple(columns), findings=tuple(sorted(found, key=lambda each: _GRAVITY.index(each.kind))),
    )  # fmt: skip


def _target(request: RunRequest, table: pd.DataFrame, signature: Signature) -> ColumnProfile:
    column = table[request.target.column]
    kind = "Numeric" if not signature.classes else "Categorical"
    return _described(request.target.column, "Target", kind, column)


def _feature(item: Input, column: Any, encoded: NDArray[np.float32], truth: Truth) -> ColumnProfile:
    described = _described(item.name, "Feature", item.kind, column)
    if item.kind == "Text":
        return described
    if item.kind == "Datetime":
        told = [
            alone(each, np.ascontiguousarray(part), truth)
            for each, part in zip(by_column([item]), encoded.T, strict=True)
        ]
        return msgspec.structs.replace(described, alone=max((each for each in told if each is not None), default=None))
    encoded = np.ascontiguousarray(encoded[:, 0])
    related, measure = association(item, encoded, truth)
    return msgspec.structs.replace(described, association=related, measure=measure, alone=alone(item, encoded, truth))


def _described(name: str, role: Any, kind: Any, column: Any) -> ColumnProfile:
    missing = int(column.isna().sum())
    common = {"name": name, "role": role, "kind": kind, "rows": len(column), "missing": missing}
    if kind == "Numeric":
        values = numbers(column)
        values = np.sort(values[np.isfinite(values)])
        if not len(values):
            return ColumnProfile(**common, distinct=0)
        # Among numbers that are large and nearly equal there may be no room for so many edges.
        bins = _BINS if values[-1] - values[0] > _BINS * np.spacing(np.abs(values[[0, -1]]).max()) else 1
        counts, edges = np.histogram(values, bins=bins)
        return ColumnProfile(
            **common, distinct=1 + int(np.count_nonzero(np.diff(values))), quantiles=_quantiles(values),
            mean=float(values.mean()), deviation=float(values.std()), edges=tuple(edges.tolist()),
            counts=tuple(counts.tolist()),
        )  # fmt: skip
    if kind in {"Datetime", "Text"}:
        return ColumnProfile(**common, distinct=int(column.nunique()))
    counted = _categories(column)
    top = tuple((value, rows) for value, rows in counted.most_common(_TOP) if rows >= _LEAST_TOLD)
    others = len(column) - missing - sum(rows for _, rows in top)
    return ColumnProfile(**common, distinct=len(counted), top=top, others=others)


def _quantiles(ordered: NDArray[np.float64]) -> tuple[float, ...]:
    """Those of ``_QUANTILES`` of numbers in order, linear between two of them."""
    places = np.array(_QUANTILES) * (len(ordered) - 1)
    before, after = ordered[np.floor(places).astype(int)], ordered[np.ceil(places).astype(int)]
    return tuple((before + (after - before) * (places % 1)).tolist())


def _categories(column: Any) -> Counter[str]:
    """The rows of each category."""
    codes, texts = pd.factorize(column)
    counted: Counter[str] = Counter()
    for text, rows in zip(texts, np.bincount(codes[codes >= 0], minlength=len(texts)).tolist(), strict=True):
        counted[category_of(text)] += rows
    return counted


def _findings(
    columns: list[ColumnProfile],
    classes: tuple[tuple[str, int], ...],
    rows: int,
    repeated: int,
    both: int,
    held: int,
) -> Iterator[Finding]:
    for column in columns:
        if column.role == "Feature":
            yield from _of_feature(column)
        if column.missing > MOSTLY * column.rows:
            yield Finding("Missing", column.name, f"{column.missing} of {column.rows} values are missing")
    if both:
        said = f"{both} of {held} held-out rows have the very features of a training row: figures may be too good"
        yield Finding("SplitDuplicates", "", f"{said}; split.key or split.group keeps such rows together")
    if repeated:
        yield Finding("Duplicates", "", f"{repeated} of {rows} rows are equal to another one; dropDuplicates keeps one")
    for label, count in classes:
        if count < RARE * rows:
            yield Finding("Imbalance", "", f"class {label} has {count} of {rows} rows")


def _of_feature(column: ColumnProfile) -> Iterator[Finding]:
    known = column.rows - column.missing
    if column.alone is not None and column.alone >= LEAKAGE:
        said = f"it alone all but tells the target ({column.alone:.3f}): is it known when a prediction is asked for?"
        yield Finding("Leakage", column.name, said)
    if column.distinct <= 1:
        yield Finding("Constant", column.name, "it is the same in every row and tells nothing")
    elif known > FINE and column.distinct > _IDENTIFYING * known and _names(column):
        said = f"{column.distinct} values in {known} rows: it names rows rather than describes them"
        yield Finding("Identifier", column.name, said)


def _names(column: ColumnProfile) -> bool:
    """Whether a value of its own in each row is a name: dates and most numbers have such values, too."""
    return column.kind == "Categorical" or (column.kind == "Numeric" and _counts(column))


def _counts(column: ColumnProfile) -> bool:
    """Whether numbers look like those of a list: whole ones, and hardly one left out."""
    low, high = column.quantiles[0], column.quantiles[-1]
    return low % 1 == 0 and high % 1 == 0 and column.distinct > _IDENTIFYING * (high - low + 1)
