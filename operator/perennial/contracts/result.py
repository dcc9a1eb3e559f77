"""What a run says at its end: ``result.json`` in the store, and the outcome in the pod's termination message."""

from typing import Literal

import msgspec

from perennial.contracts.request import Artifact
from perennial.contracts.signature import Signature, Task

CLASSIFICATION_METRICS = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier",
    "calibration_error",
)
REGRESSION_METRICS = ("mae", "rmse", "r2", "mape")
METRICS: dict[Task, tuple[str, ...]] = {
    "Classification": CLASSIFICATION_METRICS,
    "Regression": REGRESSION_METRICS,
}
"""The metrics of each task."""
FILE_REQUEST, FILE_TRIALS = "request.json", "trials.json"
"""Of a run's artifacts: what it was asked (RunRequest), and every :class:`Trial`."""
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "calibration_error", "mae", "rmse", "mape"})
RATES = ("selection_rate", "false_positive_rate")
"""Of a slice of two classes, besides the metrics: what groups are compared by, and nothing is better at."""


class Interval(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A 95 % confidence interval of a metric, by bootstrap over the held-out rows."""

    low: float
    high: float


class SliceMetrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Metrics over the held-out rows where ``column`` has ``value``; a metric that is undefined there is left out.

    With two classes also the ``RATES``.
    """

    column: str
    value: str
    rows: int
    metrics: dict[str, float]
    intervals: dict[str, Interval] = {}


class CandidateScore(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A tuned candidate: its best parameters and cross-validated score (mean and standard deviation over folds)."""

    algorithm: str
    parameters: dict[str, float | int | str | bool | None]
    score: float
    deviation: float
    trials: int


class Gain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """By how much the challenger is better than the champion in ``metric`` (worse where it is negative).

    ``low`` and ``high`` bound it with 95 %. ``probability`` is that of a gain above the least one that was asked for.
    """

    metric: str
    value: float
    low: float
    high: float
    probability: float
    method: Literal["PairedBootstrap", "McNemar"]


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One setting of a candidate that was tried: the tuned metric's mean and deviation over ``folds``, its value in
    each fold that was fitted. ``number`` counts all trials of a run from 1; a Failed one has no score and says why.
    """

    number: int
    algorithm: str
    parameters: dict[str, float | int | str | bool | None]
    state: Literal["Complete", "Pruned", "Failed"] = "Complete"
    score: float | None = None
    deviation: float | None = None
    folds: tuple[float, ...] = ()
    seconds: float = 0.0
    message: str = ""


class ChampionMetrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The champion on the challenger's held-out rows; ``inconclusive`` says why the two cannot be compared, if so.

    ``gain`` is in the metric that they are compared by; None where its distribution is not known.
    """

    version: str
    metrics: dict[str, float]
    rows: int
    inconclusive: str = ""
    gain: Gain | None = None


ColumnType = Literal["Number", "Integer", "Boolean", "Datetime", "Text", "Empty"]
"""What every cell of a column that is not missing is; Empty has none."""


class SeenView(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """A feature view as it was read: ``sha256`` (hex) is of its definition, ``updated`` (ISO 8601, UTC) when that was
    last applied. ``version`` is its number where the registry numbers versions.
    """

    name: str
    sha256: str
    updated: str = ""
    version: int | None = None


class FeastSeen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """What was read of a Feast repository: the ``features`` (view:feature) of its ``project``, and their views, also
    those that an on-demand view is computed from. ``service`` is the feature service that named them.
    """

    project: str
    features: tuple[str, ...]
    views: tuple[SeenView, ...]
    service: str = ""


class DataSummary(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What was read: SHA-256 over the content (not over names or dates), rows, held-out rows, columns and, in their
    order, their types. A query has read no ``files``. ``feast`` is what features were read of a Feast repository.
    """

    sha256: str
    rows: int
    test_rows: int
    columns: tuple[str, ...]
    files: int
    types: tuple[ColumnType, ...] = ()
    feast: FeastSeen | None = None


class Reproduction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What became of a replay: the SHA-256 of ``version``'s model and that of the one fitted now."""

    version: str
    expected: str
    found: str
    identical: bool


class Tracked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What MLflow knows the run as: its id, its page, and the number of the registered version; ``problem`` says what
    could not be recorded.
    """

    run: str = ""
    url: str = ""
    version: str = ""
    problem: str = ""


class RunResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The full account of a successful run. ``artifacts`` is keyed by file name (see ``names.FILE_*``).

    ``format`` is what the model is served from; ``format_reason`` says why it is not ONNX. ``parity`` is the largest
    difference of a probability between the fitted model and its ONNX form, of a Regression that of a prediction as a
    share of the target's standard deviation; None where there is none to compare.
    """

    data: DataSummary
    algorithm: str
    parameters: dict[str, float | int | str | bool | None]
    candidates: tuple[CandidateScore, ...]
    metrics: dict[str, float]
    slices: tuple[SliceMetrics, ...]
    artifacts: dict[str, Artifact]
    signature: Signature
    seed: int
    packages: dict[str, str]
    pipeline_sha256: str
    parity: float | None = None
    champion: ChampionMetrics | None = None
    format: Literal["onnx", "skops"] = "onnx"
    format_reason: str = ""
    tracking: Tracked | None = None
    reproduction: Reproduction | None = None
    intervals: dict[str, Interval] = {}


class DataSeen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The termination message of a poll that has seen the data: what a run would record of them. A poll that has not
    leaves a :class:`RunOutcome` that failed.
    """

    sha256: str
    rows: int


class RunOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The termination message (JSON, at most 4 KiB). ``message`` is for people: a failure's last lines, redacted."""

    succeeded: bool
    result: Artifact | None = None
    component: str = ""
    reason: Literal[
        "",
        "SourceInvalid",
        "DataUnavailable",
        "DataRejected",
        "TrainingFailed",
        "ExportMismatch",
        "StoreUnavailable",
        "InternalError",
    ] = ""
    message: str = ""
