"""What the columns of a run hold, and what about it a person should look at."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import r2_score, roc_auc_score

from perennial.contracts.request import RunRequest
from perennial.contracts.signature import Input, Signature
from perennial_components.records import ColumnProfile, Finding, Profile
from perennial_components.storage import Encoded
from perennial_components.table import category_texts, numbers
from perennial_components.tune.auto import resolved

LEAKAGE = 0.995
MOSTLY = 0.5
RARE = 0.01
_TOP, _LEAST_TOLD, _BINS, _FINE = 8, 5, 20, 64
_LINE = 20
"""Held-out rows from which a line through them says something."""
_IDENTIFYING = 0.95
_GRAVITY = ("Leakage", "SplitDuplicates", "Identifier", "Duplicates", "Constant", "Missing", "Imbalance")


def profile_of(request: RunRequest, table: pd.DataFrame, rows: Encoded, signature: Signature) -> Profile:
    """The profile of ``table``, the prepared rows, of which ``rows`` are the encoded ones."""
    request = resolved(request, table)
    target = rows.target.astype(np.float64)
    columns = [_target(request, table, signature)]
    columns += [
        _feature(item, table[item.name], rows.features[:, place], rows, target, signature)
        for place, item in enumerate(signature.inputs)
    ]
    used = table[[item.name for item in signature.inputs]]
    duplicates = int(table.duplicated().sum())
    shared = _shared(used, rows.held)
    classes: tuple[tuple[str, int], ...] = ()
    if signature.classes:
        counts = np.bincount(rows.target, minlength=len(signature.classes))
        ordered = sorted(zip(signature.classes, counts.tolist(), strict=True), key=lambda pair: -pair[1])
        classes = tuple(ordered)
    found = list(_findings(columns, classes, len(table), duplicates, shared, int(rows.held.sum())))
    return Profile(
        rows=len(table), dropped=0, held=int(rows.held.sum()), duplicates=duplicates, shared=shared, classes=classes,
        columns=tuple(columns), findings=tuple(sorted(found, key=lambda each: _GRAVITY.index(each.kind))),
    )  # fmt: skip


def _shared(used: pd.DataFrame, held: NDArray[np.bool_]) -> int:
    """Held-out rows whose features a training row has, too."""
    hashes = pd.util.hash_pandas_object(used, index=False).to_numpy()
    return int(np.isin(hashes[held], hashes[~held]).sum())


def _target(request: RunRequest, table: pd.DataFrame, signature: Signature) -> ColumnProfile:
    column = table[request.target.column]
    kind = "Numeric" if not signature.classes else "Categorical"
    return _described(request.target.column, "Target", kind, column)


def _feature(
    item: Input,
    column: Any,
    encoded: NDArray[np.float32],
    rows: Encoded,
    target: NDArray[np.float64],
    signature: Signature,
) -> ColumnProfile:
    described = _described(item.name, "Feature", item.kind, column)
    many = len(signature.classes) > 2
    association, measure = _association(item, encoded, rows.target if many else target, classes=bool(signature.classes))
    alone = _alone(item, encoded, rows, signature)
    return msgspec.structs.replace(described, association=association, measure=measure, alone=alone)


def _described(name: str, role: Any, kind: Any, column: Any) -> ColumnProfile:
    missing = int(column.isna().sum())
    common = {"name": name, "role": role, "kind": kind, "rows": len(column), "missing": missing}
    if kind == "Numeric":
        values = numbers(column)
        values = values[np.isfinite(values)]
        if not len(values):
            return ColumnProfile(**common, distinct=0)
        # Among numbers that are large and nearly equal there may be no room for so many edges.
        bins = _BINS if np.ptp(values) > _BINS * np.spacing(np.abs(values).max()) else 1
        counts, edges = np.histogram(values, bins=bins)
        quantiles = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
        return ColumnProfile(
            **common, distinct=len(np.unique(values)), quantiles=tuple(quantiles.tolist()), mean=float(values.mean()),
            deviation=float(values.std()), edges=tuple(edges.tolist()), counts=tuple(counts.tolist()),
        )  # fmt: skip
    counted = pd.Series(category_texts(column)).value_counts()
    top = tuple((str(value), int(rows)) for value, rows in counted.head(_TOP).items() if rows >= _LEAST_TOLD)
    others = len(column) - missing - sum(rows for _, rows in top)
    return ColumnProfile(**common, distinct=len(counted), top=top, others=others)


def _association(
    item: Input, encoded: NDArray[np.float32], target: NDArray[Any], *, classes: bool
) -> tuple[float | None, Any]:
    """Pearson's correlation of two numbers (a binary target is one), Cramer's V of two categories (bias-corrected:
    Bergsma 2013), the correlation ratio eta of one of each.
    """
    known = np.isfinite(encoded) if item.kind == "Numeric" else np.ones(len(encoded), dtype=bool)
    values, truth = encoded[known].astype(np.float64), target[known]
    if len(values) < 2 or np.ptp(values) == 0 or np.ptp(truth) == 0:
        return None, ""
    if item.kind == "Numeric" and truth.dtype.kind == "f":
        return float(np.corrcoef(values, truth)[0, 1]), "pearson"
    if item.kind == "Categorical" and classes:
        return _cramers_v(values, truth), "cramers_v"
    number, group = (values, truth) if item.kind == "Numeric" else (truth, values)
    return _eta(number.astype(np.float64), group), "eta"


def _cramers_v(one: NDArray[Any], other: NDArray[Any]) -> float:
    table = pd.crosstab(one, other).to_numpy().astype(np.float64)
    total, (rows, columns) = table.sum(), table.shape
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / total
    phi2 = float(((table - expected) ** 2 / expected).sum()) / total
    phi2 = max(0.0, phi2 - (rows - 1) * (columns - 1) / (total - 1))
    least = min(rows - (rows - 1) ** 2 / (total - 1), columns - (columns - 1) ** 2 / (total - 1)) - 1
    return float(np.sqrt(phi2 / least)) if least > 0 else 0.0


def _eta(number: NDArray[np.float64], group: NDArray[Any]) -> float:
    places = np.unique(group, return_inverse=True)[1]
    counts = np.bincount(places)
    means = np.bincount(places, number) / counts
    between = float((counts * (means - number.mean()) ** 2).sum())
    return float(np.sqrt(between / ((number - number.mean()) ** 2).sum()))


def _alone(item: Input, encoded: NDArray[np.float32], rows: Encoded, signature: Signature) -> float | None:
    """See ``ColumnProfile.alone``."""
    bins = _bins(encoded, rows.held)
    if not signature.classes and item.kind == "Numeric":
        return _of_number(encoded, bins, rows)
    targets = [rows.target.astype(np.float64)]
    if len(signature.classes) > 2:
        targets = [(rows.target == place).astype(np.float64) for place in range(len(signature.classes))]
    scores = [
        score
        for target in targets
        if (score := _told(bins, target, rows.held, ranks=bool(signature.classes))) is not None
    ]
    return float(np.mean(scores)) if scores else None


def _of_number(encoded: NDArray[np.float32], bins: NDArray[np.int64], rows: Encoded) -> float | None:
    """R2 of the bins' means, or of a line through the values' or ranks' places where that is more: 64 bins tell little
    of a target with long tails, even if the feature is its copy.
    """
    score = _told(bins, rows.target.astype(np.float64), rows.held, ranks=False)
    known = rows.held & np.isfinite(encoded)
    values, truth = encoded[known].astype(np.float64), rows.target[known]
    if score is None or known.sum() < _LINE or np.ptp(values) == 0 or np.ptp(truth) == 0:
        return score
    told = float(known.sum() / rows.held.sum())  # nothing is told of rows without a value
    line = max(np.corrcoef(values, truth)[0, 1] ** 2, spearmanr(values, truth).statistic ** 2)
    return max(score, told * float(line))


def _bins(encoded: NDArray[np.float32], held: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The value's place among few values, or among 64 bins of equally many training rows; missing is one of its own."""
    known = encoded[~held & np.isfinite(encoded)]
    distinct = np.unique(known)
    edges = distinct if len(distinct) <= _FINE else np.unique(np.quantile(known, np.linspace(0, 1, _FINE + 1)[1:-1]))
    places = np.searchsorted(edges, encoded, side="right") + 1
    return np.where(np.isfinite(encoded), places, 0)


def _told(
    bins: NDArray[np.int64], target: NDArray[np.float64], held: NDArray[np.bool_], *, ranks: bool
) -> float | None:
    truth = target[held]
    if len(truth) < 2 or np.ptp(truth) == 0:
        return None
    size = int(bins.max()) + 1
    counts = np.bincount(bins[~held], minlength=size)
    overall = float(target[~held].mean())
    sums = np.bincount(bins[~held], target[~held], minlength=size)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
    predicted = means[bins[held]]
    if not ranks:
        return max(0.0, float(r2_score(truth, predicted)))
    auc = float(roc_auc_score(truth, predicted))
    return max(auc, 1 - auc)


def _findings(
    columns: list[ColumnProfile],
    classes: tuple[tuple[str, int], ...],
    rows: int,
    duplicates: int,
    shared: int,
    held: int,
) -> Iterator[Finding]:
    for column in columns:
        if column.role == "Feature":
            yield from _of_feature(column)
        if column.missing > MOSTLY * column.rows:
            yield Finding("Missing", column.name, f"{column.missing} of {column.rows} values are missing")
    if shared:
        said = f"{shared} of {held} held-out rows have the very features of a training row: figures may be too good"
        yield Finding("SplitDuplicates", "", f"{said}; split.key or split.group keeps such rows together")
    if duplicates:
        yield Finding(
            "Duplicates", "", f"{duplicates} of {rows} rows are equal to another one; dropDuplicates keeps one"
        )
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
    elif known > _FINE and column.distinct > _IDENTIFYING * known and (column.kind == "Categorical" or _counts(column)):
        said = f"{column.distinct} values in {known} rows: it names rows rather than describes them"
        yield Finding("Identifier", column.name, said)


def _counts(column: ColumnProfile) -> bool:
    """Whether numbers look like those of a list: whole ones, and hardly one left out."""
    low, high = column.quantiles[0], column.quantiles[-1]
    return low % 1 == 0 and high % 1 == 0 and column.distinct > _IDENTIFYING * (high - low + 1)
