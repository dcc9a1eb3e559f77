"""What components tell those after them, beside the data itself."""

from typing import Literal

import msgspec

from perennial.contracts.request import RunRequest
from perennial.contracts.result import (
    CandidateScore,
    ChampionMetrics,
    ColumnType,
    FeastSeen,
    Interval,
    SliceMetrics,
    Trial,
)
from perennial.contracts.signature import Signature


class Ingested(msgspec.Struct, frozen=True):
    """``sha256`` is the version of the table (ingest.digest), ``types`` are the columns'; a query has no ``files``.
    ``feast`` is what features were read of a Feast repository.
    """

    sha256: str
    rows: int
    files: int
    columns: tuple[str, ...]
    types: tuple[ColumnType, ...] = ()
    feast: FeastSeen | None = None


class Checked(msgspec.Struct, frozen=True):
    """What was checked, of a run that passed; ``classes`` has the rows by class (a Regression has none).

    ``dropped`` are the rows that ``data.prepare`` took out.
    """

    rows: int
    checks: int
    classes: dict[str, int]
    dropped: int = 0


class ColumnProfile(msgspec.Struct, frozen=True):
    """What a column that the run uses holds, over all prepared rows.

    ``missing`` and ``distinct`` are counts. A column of numbers has ``quantiles`` (minimum, quartiles, maximum), mean
    and standard deviation, and a histogram: ``counts`` of the bins between ``edges``, the last one closed. Others have
    ``top``, their most frequent values with their rows (none that fewer than 5 rows have), and the rows of ``others``.

    ``association`` with the target is by ``measure``: pearson (-1 to 1, two numbers or a number and a binary target),
    cramers_v (0 to 1, categories; bias-corrected) or eta (0 to 1, the correlation ratio). ``alone`` is what this one
    feature tells by itself on the held-out rows: ROC AUC (0.5 to 1; of more classes their mean) or R2 (0 to 1), by the
    target's mean in each value, or bin of 64, on the training rows; of a number for a number, by a line through them or
    their ranks (of 100,000 rows at most) where that tells more. Both are None where they are undefined.
    """

    name: str
    role: Literal["Target", "Feature"]
    kind: Literal["Numeric", "Categorical", "Datetime", "Text"]
    rows: int
    missing: int
    distinct: int
    quantiles: tuple[float, ...] = ()
    mean: float | None = None
    deviation: float | None = None
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    top: tuple[tuple[str, int], ...] = ()
    others: int = 0
    association: float | None = None
    measure: Literal["", "pearson", "cramers_v", "eta"] = ""
    alone: float | None = None


class Finding(msgspec.Struct, frozen=True):
    """Something about the data that a person should look at; ``message`` is for them, ``column`` may be "".

    Leakage: one feature alone all but tells the target. SplitDuplicates: held-out rows have the very features of a
    training row. Identifier: a feature names rows rather than describes them. Constant: a feature says nothing.
    """

    kind: Literal["Leakage", "SplitDuplicates", "Duplicates", "Identifier", "Constant", "Missing", "Imbalance"]
    column: str
    message: str


class Profile(msgspec.Struct, frozen=True):
    """The data that a run is about. ``dropped`` rows were taken out by ``data.prepare``, ``held`` are held out,
    ``duplicates`` are equal to a row before them, ``shared`` are held-out rows whose features a training row has, too.

    ``classes`` are (label, rows), the most frequent first; a Regression has none. ``columns`` begin with the target.
    ``findings`` begin with the gravest.
    """

    rows: int
    dropped: int
    held: int
    duplicates: int
    shared: int
    classes: tuple[tuple[str, int], ...]
    columns: tuple[ColumnProfile, ...]
    findings: tuple[Finding, ...]


class Tuned(msgspec.Struct, frozen=True):
    """The best trial of every candidate, the place of the winner among them, and every trial in its order."""

    candidates: tuple[CandidateScore, ...]
    winner: int
    trials: tuple[Trial, ...] = ()


class Parity(msgspec.Struct, frozen=True):
    """The largest difference of a probability between the estimator and what is served, over ``rows`` rows; of a
    Regression's prediction, as a share of the target's standard deviation.

    ``reason`` says why the estimator itself is served and not an ONNX form of it; "" when there is one. Then nothing is
    compared: ``difference`` is None.
    """

    difference: float | None
    rows: int
    reason: str = ""


class CalibrationBin(msgspec.Struct, frozen=True):
    """Held-out rows by what was predicted (a probability or number): the mean ``predicted``, the ``observed`` share or
    mean, and how many.
    """

    predicted: float
    observed: float
    rows: int


class ClassFigures(msgspec.Struct, frozen=True):
    """A line of scikit-learn's classification report; ``rows`` are the held-out rows of the class (its support)."""

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


class Importance(msgspec.Struct, frozen=True):
    """By how much ``feature``'s permutation makes the tuned metric worse: mean and standard deviation of repeats."""

    feature: str
    mean: float
    deviation: float


class Evaluation(msgspec.Struct, frozen=True):
    """``confusion`` [actual][predicted] in the signature's class order; ``roc`` are (false, true) positive rates,
    ``precision_recall`` (recall, precision), both of the positive class; a Regression has none of them, and up to 500
    ``pairs`` (predicted, actual) in their place.

    ``intervals`` are of ``metrics``. ``classes`` are in the signature's order, then "macro avg" and "weighted avg";
    ``importance`` begins with the greatest.
    """

    rows: int
    metrics: dict[str, float]
    slices: tuple[SliceMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]
    roc: tuple[tuple[float, float], ...]
    calibration: tuple[CalibrationBin, ...]
    champion: ChampionMetrics | None = None
    pairs: tuple[tuple[float, float], ...] = ()
    intervals: dict[str, Interval] = {}
    precision_recall: tuple[tuple[float, float], ...] = ()
    classes: tuple[ClassFigures, ...] = ()
    importance: tuple[Importance, ...] = ()


class Account(msgspec.Struct, frozen=True):
    """Everything that the components of a run said. ``left_out`` are the columns that ``features.auto`` made no
    features of, each with the reason.
    """

    request: RunRequest
    ingested: Ingested
    signature: Signature
    tuned: Tuned
    parity: Parity
    evaluation: Evaluation
    profile: Profile | None = None
    left_out: dict[str, str] = {}
