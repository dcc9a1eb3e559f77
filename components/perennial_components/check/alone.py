"""What one feature by itself has to do with the target: an association, and what it would tell of held-out rows.

All of it is counted in bins, so that a column of a million rows is gone through a few times.
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from perennial.contracts.signature import Input
from perennial_components.storage import Encoded

FINE = 64
"""Bins of a feature with more values than that."""
RANKED = 100_000
"""Of more held-out rows the first so many are put into ranks: sorting is what takes the time."""
_LINE = 20
"""Held-out rows from which a line through them says something."""
_MISSING = -1.0


class Truth(msgspec.Struct, frozen=True):
    """The target of all rows, ``values`` [N] as numbers, and which are held out. Of a classification ``places`` [N] are
    those of the ``classes``; of a regression there are none.
    """

    values: NDArray[np.float64]
    held: NDArray[np.bool_]
    places: NDArray[np.int64]
    classes: int

    @classmethod
    def of(cls, rows: Encoded, classes: int) -> "Truth":
        """That of ``rows``."""
        places = rows.target if classes else np.zeros(0, dtype=np.int64)
        return cls(rows.target.astype(np.float64), rows.held, places, classes)


def association(item: Input, encoded: NDArray[np.float32], truth: Truth) -> tuple[float | None, Any]:
    """Pearson's correlation of two numbers (a binary target is one), Cramer's V of two categories (bias-corrected:
    Bergsma 2013), the correlation ratio eta of one of each; with its name. None where it is undefined.
    """
    known = np.isfinite(encoded) if item.kind == "Numeric" else np.ones(len(encoded), dtype=bool)
    values, target = encoded[known].astype(np.float64), truth.values[known]
    if len(values) < 2 or np.ptp(values) == 0 or np.ptp(target) == 0:
        return None, ""
    if item.kind == "Numeric" and truth.classes <= 2:
        return float(np.corrcoef(values, target)[0, 1]), "pearson"
    if item.kind == "Numeric":
        return _eta(values, truth.places[known]), "eta"
    groups = (values - _MISSING).astype(np.int64)
    if truth.classes:
        return _cramers_v(groups, truth.places, truth.classes), "cramers_v"
    return _eta(target, groups), "eta"


def _cramers_v(one: NDArray[np.int64], other: NDArray[np.int64], size: int) -> float:
    table = np.bincount(one * size + other, minlength=(int(one.max()) + 1) * size).reshape(-1, size).astype(np.float64)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    total, (rows, columns) = table.sum(), table.shape
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / total
    phi2 = float(((table - expected) ** 2 / expected).sum()) / total
    phi2 = max(0.0, phi2 - (rows - 1) * (columns - 1) / (total - 1))
    least = min(rows - (rows - 1) ** 2 / (total - 1), columns - (columns - 1) ** 2 / (total - 1)) - 1
    return float(np.sqrt(phi2 / least)) if least > 0 else 0.0


def _eta(number: NDArray[np.float64], places: NDArray[np.int64]) -> float:
    counts = np.bincount(places)
    sums = np.bincount(places, number)
    there = counts > 0
    means = sums[there] / counts[there]
    between = float((counts[there] * (means - number.mean()) ** 2).sum())
    return float(np.sqrt(between / ((number - number.mean()) ** 2).sum()))


def alone(item: Input, encoded: NDArray[np.float32], truth: Truth) -> float | None:
    """See ``ColumnProfile.alone``."""
    bins = _bins(item, encoded, truth.held)
    if truth.classes:
        return _ranks(bins, truth)
    score = _share(bins, truth)
    return score if score is None or item.kind == "Categorical" else _of_number(encoded, truth, score)


def _bins(item: Input, encoded: NDArray[np.float32], held: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The value's place among few values, or among 64 bins of equally many training rows; missing is one of its own."""
    there = np.isfinite(encoded)
    known = encoded[~held & there]
    distinct = np.unique(known)
    edges = distinct if len(distinct) <= FINE else np.unique(np.quantile(known, np.linspace(0, 1, FINE + 1)[1:-1]))
    places = np.searchsorted(edges.astype(np.float32), encoded, side="right") + 1
    return np.where(there, places, 0)


def _ranks(bins: NDArray[np.int64], truth: Truth) -> float | None:
    """ROC AUC on the held-out rows where each is given its bin's share of the class in training; of more than two
    classes their mean.
    """
    size = (int(bins.max()) + 1) * 2
    cells = np.bincount((bins * 2 + truth.held) * truth.classes + truth.places, minlength=size * truth.classes)
    trained, tested = np.moveaxis(cells.reshape(-1, 2, truth.classes).astype(np.float64), 1, 0)
    wanted = range(truth.classes) if truth.classes > 2 else (1,)
    scores = [_auc(trained, tested, place) for place in wanted]
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if known else None


def _auc(trained: NDArray[np.float64], tested: NDArray[np.float64], place: int) -> float | None:
    """Of the class at ``place``, by the rows of each bin [B, classes]: bins of one mean share their rank."""
    totals, positive = tested.sum(1), tested[:, place]
    negative = totals - positive
    if not positive.sum() or not negative.sum():
        return None
    means = _means(trained[:, place], trained.sum(1))
    ranks = np.unique(means, return_inverse=True)[1]
    above, under = np.bincount(ranks, positive), np.bincount(ranks, negative)
    won = float((above * (np.cumsum(under) - under / 2)).sum())
    auc = won / float(positive.sum() * negative.sum())
    return max(auc, 1 - auc)


def _share(bins: NDArray[np.int64], truth: Truth) -> float | None:
    """R2 on the held-out rows where each is given its bin's mean in training, 0 where that is worse than the mean."""
    size = int(bins.max()) + 1
    held = truth.values[truth.held]
    if len(held) < 2 or np.ptp(held) == 0:
        return None
    where = bins * 2 + truth.held
    counts = np.bincount(where, minlength=2 * size).reshape(-1, 2)
    # Around the mean, so that what is squared is not so large that the difference is lost.
    moved = truth.values - held.mean()
    sums = np.bincount(where, moved, minlength=2 * size).reshape(-1, 2)
    means = _means(sums[:, 0], counts[:, 0])
    total = float((moved[truth.held] ** 2).sum())
    errors = total - 2 * float((means * sums[:, 1]).sum()) + float((means**2 * counts[:, 1]).sum())
    return max(0.0, 1 - errors / total)


def _means(sums: NDArray[Any], counts: NDArray[Any]) -> NDArray[np.float64]:
    """Of each bin; of an empty one that of all."""
    overall = sums.sum() / max(counts.sum(), 1)
    return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), overall), dtype=np.float64)


def _of_number(encoded: NDArray[np.float32], truth: Truth, score: float) -> float:
    """``score``, or what a line through the values' or ranks' places tells where that is more: 64 bins tell little of a
    target with long tails, even if the feature is its copy.
    """
    known = truth.held & np.isfinite(encoded)
    values, target = encoded[known].astype(np.float64), truth.values[known]
    if len(values) < _LINE or np.ptp(values) == 0 or np.ptp(target) == 0:
        return score
    told = len(values) / int(truth.held.sum())  # nothing is told of rows without a value
    line = np.corrcoef(values, target)[0, 1] ** 2
    ranks = [rankdata(each[:RANKED]) for each in (values, target)]
    if all(np.ptp(each) for each in ranks):
        line = max(line, np.corrcoef(*ranks)[0, 1] ** 2)
    return max(score, told * float(line))
