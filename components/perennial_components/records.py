"""What components tell those after them, beside the data itself."""

import msgspec

from perennial.contracts.request import RunRequest
from perennial.contracts.result import CandidateScore, ChampionMetrics, Interval, SliceMetrics, Trial
from perennial.contracts.signature import Signature


class Ingested(msgspec.Struct, frozen=True):
    """``sha256`` over the sorted digests of the files' contents."""

    sha256: str
    rows: int
    files: int
    columns: tuple[str, ...]


class Checked(msgspec.Struct, frozen=True):
    """What was checked, of a run that passed; ``classes`` has the rows by class (a Regression has none)."""

    rows: int
    checks: int
    classes: dict[str, int]


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
    """Everything that the components of a run said."""

    request: RunRequest
    ingested: Ingested
    signature: Signature
    tuned: Tuned
    parity: Parity
    evaluation: Evaluation
