"""What the operator asks a run to do: everything a run may depend on, so that it can be replayed."""

from typing import Literal

import msgspec

from perennial.contracts.datetimes import USUAL_PARTS, DatetimePart
from perennial.contracts.prepare import Step, ValueType
from perennial.contracts.signature import Task


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A condition on a column of the data; ``max_missing`` is a share in [0, 1], ``pattern`` a regular expression that
    a whole cell must match.
    """

    column: str
    min: float | None = None
    max: float | None = None
    max_missing: float | None = None
    allowed: tuple[str, ...] = ()
    type: ValueType | None = None
    unique: bool = False
    pattern: str | None = None


class Require(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How many rows there must be at least, in all and of every class; 0 asks for none."""

    min_rows: int = 0
    min_rows_per_class: int = 0


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The column to predict; ``above`` or ``equals`` make it binary (classes "0" and "1"), neither keeps its values.

    A Regression has neither: its values are numbers.
    """

    column: str
    above: float | None = None
    equals: str | None = None


class ByTime(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Rows whose ``column`` is at ``start`` (ISO 8601) or later are held out."""

    column: str
    start: str = msgspec.field(name="from")


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How rows are held out. Columns are named as they are read, before any ``rename``: what the data is prepared by
    moves no row.

    ``test`` is the held-out share in (0, 1); the side of a row depends on the hash of its ``key`` or ``group`` (of the
    whole row where neither is given) and ``seed`` alone, or with ``by_time`` on its time alone.
    """

    test: float
    seed: int
    key: tuple[str, ...] = ()
    group: str = ""
    by_time: ByTime | None = None


Scalar = float | int | str | bool


class SearchRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Values tried for one parameter: from ``low`` to ``high``, spaced evenly on ``scale`` and in steps of ``step``
    from ``low`` on where it is given, or one of ``choices``.
    """

    low: float = 0.0
    high: float = 0.0
    scale: Literal["Linear", "Log"] = "Linear"
    step: float | None = None
    choices: tuple[Scalar, ...] = ()


Algorithm = Literal[
    "LogisticRegression",
    "Ridge",
    "Lasso",
    "ElasticNet",
    "HistGradientBoosting",
    "GradientBoosting",
    "RandomForest",
    "ExtraTrees",
    "DecisionTree",
    "MLP",
    "SVC",
    "SVR",
    "GaussianNB",
    "Dummy",
]
CLASSIFIERS = ("LogisticRegression", "SVC", "GaussianNB")
REGRESSORS = ("Ridge", "Lasso", "ElasticNet", "SVR")
"""The algorithms of one task; all others are for both."""


class Candidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """An estimator of the allow-list with fixed parameters and ranges to search. ``space`` Builtin searches what is
    neither fixed nor given a range in the ranges that the estimator brings.
    """

    algorithm: Algorithm
    parameters: dict[str, Scalar] = {}
    search: dict[str, SearchRange] = {}
    space: Literal["Given", "Builtin"] = "Given"


class AutoFeatures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """All columns that may be features are, but those in ``exclude``."""

    exclude: tuple[str, ...] = ()


class Preprocessing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How features reach an estimator. ``imputation`` and ``scaling`` "" leave it to what the estimator needs; ``fill``
    is the Constant that stands for missing numbers.
    """

    imputation: Literal["", "Median", "Mean", "MostFrequent", "Constant"] = ""
    fill: float = 0.0
    scaling: Literal["", "Standard", "MinMax", "Robust", "None"] = ""
    encoding: Literal["OneHot", "Ordinal", "Target"] = "OneHot"


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The recorded winner of an earlier run, to be fitted again without a search. ``parameters`` are as text, as
    ModelVersions record them; ``model_sha256`` is of the file that ``version`` is served from.
    """

    version: str
    algorithm: str
    parameters: dict[str, str]
    data_sha256: str
    model_sha256: str


class Artifact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A file in the store: its address and the SHA-256 (hex) and size (bytes) of its content."""

    uri: str
    sha256: str
    size: int = 0


class Champion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The deployed version that a challenger meets; ``split`` is what it was trained with, ``request`` is what the run
    that made it was asked (None: it is not known any more).

    They are compared by ``metric`` (empty: the run's own), in which the challenger is to gain ``min_improvement``, and
    with a ``confidence`` to do so with this probability.
    """

    version: str
    model: Artifact
    signature: Artifact
    split: Split
    metric: str = ""
    min_improvement: float = 0.0
    confidence: float | None = None
    request: Artifact | None = None


MIN_ROWS = 20
"""Rows of a slice from which it is judged, where a gate says nothing."""


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A bound on ``metric`` over the held-out rows; with ``by`` for every value of that column that has ``min_rows`` of
    them.
    """

    metric: str
    min: float | None = None
    max: float | None = None
    by: str = ""
    min_rows: int = MIN_ROWS


class FairnessGate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A bound on what lies between the values of ``by`` in ``metric``: on the greatest figure less the smallest, or on
    the share of the greatest that the smallest is.
    """

    metric: str
    by: str
    max_difference: float | None = None
    min_ratio: float | None = None
    min_rows: int = MIN_ROWS


class Gates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What the version must show to be fit to serve: ``bounds`` are the spec's evaluation.gates. Who approves one that
    does: nobody, or with ``approval`` Manual a person.
    """

    bounds: tuple[Gate, ...] = ()
    fairness: tuple[FairnessGate, ...] = ()
    approval: Literal["Automatic", "Manual"] = "Automatic"


class Tracking(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """An MLflow server, by its address, and the experiment in which runs are recorded."""

    uri: str
    experiment: str


SQL_URL = "PERENNIAL_SQL_URL"
"""Environment of a run that reads a database: the connection's URL, from a Secret. It stands nowhere else."""


class SqlSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The rows that ``query`` gives, of the database whose URL is in the Secret ``secret`` under ``key``."""

    secret: str
    key: str
    query: str


FEAST_STORE = "PERENNIAL_FEAST_STORE"
"""Environment of the container that reads a Feast repository: its feature_store.yaml, from a Secret."""
FEAST_FOLDER = "PERENNIAL_FEAST_FOLDER"
"""Environment of that container, which writes into this folder, and of those that read what it wrote."""
FEAST_ROWS, FEAST_SEEN = "rows.parquet", "seen.json"
"""The files in that folder: the rows with their features, and a contracts.result.FeastSeen."""


class FeastSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """The ``features`` (view:feature), or those of the feature ``service``, of the Feast repository whose configuration
    is in the Secret ``secret`` under ``key``, read by ``image``. The entity rows are in files of ``format`` at
    ``rows``, or ``rows`` is "" and they are what ``sql`` gives. With ``full_names`` columns are named view__feature.
    """

    secret: str
    key: str
    image: str
    features: tuple[str, ...] = ()
    service: str = ""
    full_names: bool = False
    rows: str = ""
    format: Literal["CSV", "Parquet"] = "CSV"
    sql: SqlSource | None = None


class OwnPipeline(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A compiled pipeline of somebody's own: where its file is, that file's SHA-256, the image of its components."""

    url: str
    sha256: str
    image: str


class DatetimeFeature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A column of dates that the model sees by its ``parts``."""

    column: str
    parts: tuple[DatetimePart, ...] = USUAL_PARTS


class TextFeature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A column of texts that the model sees by ``max_terms`` terms, each in ``min_rows`` training rows or more."""

    column: str
    max_terms: int = 100
    min_rows: int = 2


class RunRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """One run of a ModelTraining. ``output`` is the store address under which the run writes its files; ``time`` is the
    column that says when a row was. Without ``candidates`` the task's own compete. No trial starts ``timeout`` seconds
    after the first, 0 is for ever; ``pruning`` Median ends a trial whose first folds are worse than the median's. The
    rows are in files of ``format`` at ``source``, or ``source`` is "" and they are what ``sql`` or ``feast`` gives.

    Fields at their defaults are left out of the JSON: a version is reproduced in the image that it was made by, which
    refuses fields that it does not know. A run without ``gates`` says nothing of its verdict.
    """

    namespace: str
    training: str
    run: int
    model: str
    task: Task
    source: str
    target: Target
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    checks: tuple[Check, ...]
    split: Split
    imbalance: Literal["None", "ClassWeight", "Oversample", "Undersample"]
    candidates: tuple[Candidate, ...]
    metric: str
    trials: int
    folds: int
    slices: tuple[str, ...]
    seed: int
    output: str
    time: str = ""
    champion: Champion | None = None
    require: Require = Require()
    prepare: tuple[Step, ...] = ()
    tracking: Tracking | None = None
    pipeline: OwnPipeline | None = None
    auto: AutoFeatures | None = None
    preprocessing: Preprocessing = Preprocessing()
    timeout: float = 0.0
    pruning: Literal["Median", "None"] = "Median"
    replay: Replay | None = None
    format: Literal["CSV", "Parquet"] = "CSV"
    sql: SqlSource | None = None
    gates: Gates | None = None
    feast: FeastSource | None = None
    datetime: tuple[DatetimeFeature, ...] = ()
    text: tuple[TextFeature, ...] = ()
