"""The baseline: how each feature and the prediction were distributed in training, in the bins that serving counts.

Every binned value falls in exactly one of ``bins``. The special bins come first, then the ordered (Numeric) or named
(Categorical) ones: a numeric feature with edges e0 < e1 < … < ek has the k regular bins [e0,e1) … [ek-1,ek], values
under e0 count as ``__below__`` and over ek as ``__above__``; an atom (a value with much of the mass) is a bin of its
own, [a, next float after a). :func:`bin_index` is the definition; values are compared as float64, as they were sent,
not as the float32 that enters the tensor.
"""

import math
from bisect import bisect_right
from collections.abc import Container
from typing import Literal

import msgspec

MISSING = "__missing__"
INVALID = "__invalid__"
BELOW = "__below__"
ABOVE = "__above__"
OTHER = "__other__"
VALID = "valid"
"""All that is a date or a text: nothing else is counted of them, for time goes on by itself and few texts are alike."""
JOINT, PREDICTION, LABEL = "__joint__", "__prediction__", "__label__"
"""What is judged beside the features: how they hang together, what is predicted, what turns out to be true."""

VALUE = "value"
"""A Regression's predictions are counted as of this one class, and so are its labels."""

PREDICTION_EDGES = (0.0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)
"""Of every classification's prediction: two versions can be compared only in the same bins."""

_INVALID_AT = 1
_BELOW_AT = 2
_FIRST_CATEGORY = 2


class Distribution(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Counts by bin: ``bins`` and ``counts`` have one length; ``edges`` (Numeric) has one more than the regular bins.

    ``quantiles`` (of a numeric feature) are the values at 0, 0.5, 1, … 100 %, so that the distribution can be told in
    other bins: each is the least finite value that at least so many of them do not exceed. ``chunks`` are the counts by
    chunk of time, oldest first, without the chunks in which nothing was counted (see :class:`Baseline`).

    Numeric bins: MISSING, INVALID, BELOW, the regular ones in order, ABOVE. Categorical bins: MISSING, INVALID, the top
    20 categories, OTHER (a known category outside the top 20). Of a Datetime or a Text there is
    the one category VALID. ``INVALID`` is what serving refuses: a wrong type, an unknown category, a text that is no
    date.
    """

    name: str
    kind: Literal["Numeric", "Categorical"]
    bins: tuple[str, ...]
    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()
    chunks: tuple[tuple[int, ...], ...] = ()


class Joint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How far a row lies from where training rows lie: a change of how features hang together shows here alone.

    A row of the model's tensor [F] becomes z: a number x is (x - centre) / scale, a category its share in ``shares``
    (place -1, the last, is the missing one's), likewise centred and scaled; what is missing of a number is 0. ``axes``
    [k][F] are the first principal components that hold 65 % of the variance together, but never all that vary. The
    row's error is |z - axes' axes z|, rounded to six decimals (``contracts.joint`` computes it), and ``distribution``
    (Numeric, named ``__joint__``) is that of all rows of the run. ``shares`` are empty for a number.
    """

    centre: tuple[float, ...]
    scale: tuple[float, ...]
    shares: tuple[tuple[float, ...], ...]
    axes: tuple[tuple[float, ...], ...]
    distribution: Distribution


class Baseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """``features`` over all rows of the run; ``prediction`` (probability of the positive class, in the bins of
    PREDICTION_EDGES) and ``predicted`` (Categorical, one bin a class) out of fold; ``calibration`` maps a raw
    probability to a calibrated one by linear interpolation of (x, y); ``metrics`` are the held-out figures, e.g.
    {"accuracy": 0.85}; ``confusion`` counts held-out rows by [actual][predicted] class in the signature's order.

    A Regression has ``prediction`` in bins between neighbouring multiples of a power of two, ``predicted`` with the
    one bin VALUE, no calibration and no confusion; ``losses`` are the points (prediction, expected absolute error,
    expected squared error), predictions ascending, fitted out of fold: linear between two, constant beyond the ends.

    Where the data has a time column, ``chunk_seconds`` is the length of the chunks that distributions were counted in,
    60 at most; 0 where it has none, or all rows are of one time. ``joint`` is None where fewer than two inputs vary.
    """

    rows: int
    features: tuple[Distribution, ...]
    prediction: Distribution
    predicted: Distribution
    calibration: tuple[tuple[float, float], ...]
    metrics: dict[str, float]
    confusion: tuple[tuple[int, ...], ...] = ()
    chunk_seconds: float = 0.0
    joint: Joint | None = None
    losses: tuple[tuple[float, float, float], ...] = ()


def bin_index(distribution: Distribution, value: float | str | None, categories: Container[str] = ()) -> int:
    """The place in ``distribution.bins`` where ``value`` counts.

    Numeric: ``value`` is a number; None and NaN are missing, infinities and text invalid; without edges (no value was
    there in training) every number is above. Categorical: ``value`` is the text from ``signature.category_of`` or None;
    ``categories`` are all known ones (the signature's), needed only where there are more than the bins name.
    """
    if value is None:
        return 0
    if distribution.kind == "Numeric":
        return _INVALID_AT if isinstance(value, str) else _numeric(distribution.edges, value)
    try:
        return distribution.bins.index(str(value), _FIRST_CATEGORY, len(distribution.bins) - 1)
    except ValueError:
        return len(distribution.bins) - 1 if value in categories else _INVALID_AT


def _numeric(edges: tuple[float, ...], value: float) -> int:
    if math.isnan(value):
        return 0
    if math.isinf(value):
        return _INVALID_AT
    place = bisect_right(edges, value)
    if edges and value == edges[-1]:
        place -= 1
    return _BELOW_AT + place if edges else _BELOW_AT + 1
