"""ModelTraining: the definition of how a model comes to be; each run is a recorded event of it."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from perennial.api.common import (
    Column,
    Conditions,
    Generation,
    HandledActions,
    HandledRequest,
    Model,
    ModelName,
    Object,
    PositiveDuration,
    Quantity,
    Status,
    Time,
    rules,
)
from perennial.contracts.result import CLASSIFICATION_METRICS, REGRESSION_METRICS
from perennial.contracts.signature import Task

Metric = Literal[
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier",
    "mae",
    "rmse",
    "r2",
    "mape",
]
DEFAULT_METRIC: dict[Task, Metric] = {"Classification": "roc_auc", "Regression": "rmse"}
"""By task, where the spec names none. No default of the schema: that could not depend on the task."""
_IN_TASK = f"(self.task == 'Regression' ? {list(REGRESSION_METRICS)} : {list(CLASSIFICATION_METRICS)})"
_WHICH = f"Classification has {', '.join(CLASSIFICATION_METRICS)}; Regression has {', '.join(REGRESSION_METRICS)}"
Scalar = Annotated[float | int | str | bool, Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]


class Source(Model):
    """Where the rows are."""

    uri: str = Field(
        min_length=8,
        max_length=1024,
        pattern=r"^(s3|gs|az|https?|file)://.+",
        description="Address of the data; its last part may hold * and ?. "
        "It is read with the credentials in the namespace's Secret perennial-store.",
    )
    format: Literal["CSV"] = Field(default="CSV", description="How the files are written: CSV with a header line.")


class Positive(Model):
    """Which values of the target count as the positive class, 1."""

    model_config = ConfigDict(
        json_schema_extra=rules(("has(self.above) != has(self.equals)", "give one of above and equals"))
    )
    above: float | None = Field(default=None, description="Positive where the value is greater than this.")
    equals: str | None = Field(default=None, max_length=128, description="Positive where the value is this text.")


class TargetColumn(Model):
    """What is to be predicted."""

    column: Column = Field(description="The column that holds the truth.")
    positive: Positive | None = Field(
        default=None,
        description="Makes the target binary; without it each value is a class. "
        "A Regression has none: its target is a number.",
    )


class DataCheck(Model):
    """A condition that the data must hold before anything is trained on it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.min) || has(self.max) || has(self.maxMissing) || has(self.allowed)",
                "give at least one of min, max, maxMissing, allowed",
            ),
            ("!has(self.min) || !has(self.max) || self.min <= self.max", "min must not be above max"),
        )
    )
    column: Column = Field(description="The column that is checked.")
    min: float | None = Field(default=None, description="No value may be smaller.")
    max: float | None = Field(default=None, description="No value may be greater.")
    max_missing: float | None = Field(default=None, ge=0, le=1, description="Largest share of missing values, 0 to 1.")
    allowed: list[Annotated[str, Field(max_length=128)]] | None = Field(
        default=None, max_length=100, description="The only values there may be."
    )


class SplitSpec(Model):
    """How rows are held out: by a hash of their key and the seed, so that a row once held out stays held out."""

    test: float = Field(default=0.25, gt=0, lt=1, description="Share of rows held out.")
    seed: int = Field(
        default=7,
        ge=0,
        description="Changes which rows are held out; changing it makes champion comparisons inconclusive.",
    )
    key: list[Column] = Field(
        default=[], max_length=16, description="Columns that identify a row; the whole row where empty."
    )


class DataSpec(Model):
    """The rows, what is predicted, what must hold of them, and how they are split."""

    source: Source
    target: TargetColumn
    checks: list[DataCheck] = Field(
        default=[], max_length=200, description="What the data must hold; a run on data that does not is refused."
    )
    split: SplitSpec = SplitSpec()
    time: Column | None = Field(
        default=None,
        description="A column that says when a row was: ISO 8601 dates (2026-05-31, with or without a time; UTC where "
        "no zone is named) or Unix seconds. The baseline is then counted by time too, and a DriftMonitor learns from "
        "it how much the data varies by itself.",
    )


class FeaturesSpec(Model):
    """The columns the model sees."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("size(self.numeric) + size(self.categorical) > 0", "name at least one feature in numeric or categorical"),
            ("self.numeric.all(f, !(f in self.categorical))", "a feature is numeric or categorical, not both"),
        )
    )
    numeric: list[Column] = Field(
        default=[],
        max_length=200,
        description="Columns read as numbers.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    categorical: list[Column] = Field(
        default=[],
        max_length=200,
        description="Columns read as categories.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class SearchRangeSpec(Model):
    """Values tried for a parameter."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.low < self.high", "low must be under high"),
            ("self.scale != 'Log' || self.low > 0.0", "a Log scale needs low above 0"),
        )
    )
    low: float = Field(description="The smallest value.")
    high: float = Field(description="The greatest value.")
    scale: Literal["Linear", "Log"] = Field(description="Even steps (Linear) or even ratios (Log).")


class CandidateSpec(Model):
    """An estimator to be tried."""

    algorithm: Literal["LogisticRegression", "HistGradientBoosting", "Ridge"] = Field(
        description="The estimator: LogisticRegression is for Classification, Ridge for Regression, "
        "HistGradientBoosting for both."
    )
    parameters: dict[str, Scalar] = Field(
        default={}, max_length=20, description="Fixed parameters by the names that scikit-learn gives them."
    )
    search: dict[str, SearchRangeSpec] = Field(
        default={}, max_length=20, description="Parameters to be searched, with their ranges."
    )


class Tuning(Model):
    """How candidates are compared: cross-validation on the training rows."""

    metric: Metric | None = Field(
        default=None,
        description="The figure that decides; where unset, roc_auc for Classification and rmse for Regression.",
    )
    trials: int = Field(default=20, ge=1, le=1000, description="Trials over all candidates together.")
    folds: int = Field(default=5, ge=2, le=20, description="Parts that the training rows are cut into.")


class Gate(Model):
    """A bound that a version must hold on the held-out rows."""

    model_config = ConfigDict(json_schema_extra=rules(("has(self.min) || has(self.max)", "give min or max")))
    metric: Metric = Field(description="The figure that is bounded.")
    min: float | None = Field(default=None, description="The smallest value that passes.")
    max: float | None = Field(default=None, description="The greatest value that passes.")
    by: Column | None = Field(
        default=None, description="Hold it for every value of this column that has at least minRows rows."
    )
    min_rows: int | None = Field(
        default=None, ge=1, description="Slices with fewer held-out rows are not judged; 20 where unset."
    )


class ChampionGate(Model):
    """The challenger meets the deployed version on the same held-out rows."""

    metric: Metric | None = Field(
        default=None,
        description="The figure that is compared; where unset, roc_auc for Classification and rmse for Regression.",
    )
    min_improvement: float = Field(
        default=0.0, description="By how much the challenger must be better; negative lets a little loss pass."
    )


class Evaluation(Model):
    """What a version must show before it is registered as fit to serve."""

    gates: list[Gate] = Field(default=[], max_length=50, description="Bounds that must all hold.")
    champion: ChampionGate | None = None


class Resources(Model):
    """Compute of one pod: memory is requested and limited alike, CPU is requested (a run may use what is idle)."""

    cpu: Quantity = Field(default="1", description="Cores, such as 1 or 500m.")
    memory: Quantity = Field(default="1Gi", description="Bytes, such as 512Mi.")


class Engine(Model):
    """Where runs run."""

    type: Literal["Embedded"] = Field(default="Embedded", description="Embedded: one Job a run, in this namespace.")
    resources: Resources = Resources()
    deadline: PositiveDuration = Field(default="1h", description="A run that takes longer is ended and failed.")


_TASK_RULES = (
    (
        "self.task != 'Regression' || !has(self.data.target.positive)",
        "data.target.positive is for Classification: the target of a Regression is a number",
    ),
    (
        "self.task != 'Regression' || self.imbalance == 'None'",
        "imbalance is for Classification: a Regression has no classes to weigh",
    ),
    (
        f"!has(self.tuning.metric) || self.tuning.metric in {_IN_TASK}",
        f"tuning.metric must be one of its task: {_WHICH}",
    ),
    (
        f"self.evaluation.gates.all(gate, gate.metric in {_IN_TASK})",
        f"a gate's metric must be one of its task: {_WHICH}",
    ),
    (
        (
            "!has(self.evaluation.champion) || !has(self.evaluation.champion.metric)"
            f" || self.evaluation.champion.metric in {_IN_TASK}"
        ),
        f"evaluation.champion.metric must be one of its task: {_WHICH}",
    ),
    (
        ("self.candidates.all(each, each.algorithm != (self.task == 'Regression' ? 'LogisticRegression' : 'Ridge'))"),
        "LogisticRegression is for Classification, Ridge for Regression; HistGradientBoosting is for both",
    ),
)


class TrainingSpec(Model):
    """How a model comes to be."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                (
                    "!(self.data.target.column in self.features.numeric)"
                    " && !(self.data.target.column in self.features.categorical)"
                ),
                "the target column must not be a feature",
            ),
            (
                (
                    "!has(self.data.time) || (self.data.time != self.data.target.column"
                    " && !(self.data.time in self.features.numeric) && !(self.data.time in self.features.categorical))"
                ),
                "data.time must be neither a feature nor the target",
            ),
            *_TASK_RULES,
        )
    )
    model: ModelName = Field(
        description="Name of the model; versions are <model>-v1, -v2, …",
        json_schema_extra=rules(("self == oldSelf", "model cannot be changed: make another ModelTraining")),
    )
    task: Task = Field(
        default="Classification",
        description="What kind of target it is: one of several classes, or a number (Regression).",
    )
    data: DataSpec
    features: FeaturesSpec
    imbalance: Literal["None", "ClassWeight"] = Field(default="None", description="ClassWeight weighs rare classes up.")
    candidates: list[CandidateSpec] = Field(
        min_length=1, max_length=10, description="The estimators that compete; the best one of a run is exported."
    )
    tuning: Tuning = Tuning()
    evaluation: Evaluation = Evaluation()
    approval: Literal["Automatic", "Manual"] = Field(
        default="Automatic", description="Manual: a version waits for spec.approval: Approved."
    )
    engine: Engine = Engine()

    @property
    def tuned_metric(self) -> Metric:
        """The metric that candidates are compared by."""
        return self.tuning.metric or DEFAULT_METRIC[self.task]


class Trigger(Status):
    """Why a run was started."""

    type: Literal["Spec", "Drift", "Request"] = Field(
        description="Spec: it is new or has changed. Drift: a DriftMonitor's action. Request: the annotation."
    )
    id: str = Field(default="", max_length=128, description="Spec hash, action id or request id.")
    by: str = Field(default="", max_length=256, description="Who asked, such as DriftMonitor/heart-disease.")


class Run(Status):
    """One run of the training."""

    number: int = Field(description="Runs are counted from 1.")
    trigger: Trigger
    phase: Literal["Running", "Succeeded", "Failed"] = Field(description="How far it is.")
    job: str = Field(max_length=63, description="The Job that runs it.")
    image: str = Field(default="", max_length=512, description="Image that the run runs in.")
    launched: bool = Field(default=False, description="Whether its Job was made; a Job that is missing then is lost.")
    started_at: Time = Field(description="When it was decided.")
    finished_at: Time | None = Field(default=None, description="When its outcome was seen.")
    version: str = Field(default="", max_length=63, description="The ModelVersion it made.")
    result: dict[str, Any] | None = Field(
        default=None,
        description="uri and sha256 of its result.json.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    reserved: int | None = Field(default=None, description="Number reserved for its version.")
    outcome: str = Field(
        default="", max_length=64, description="Reason in one word: Registered, GateFailed, DataRejected, …"
    )
    message: str = Field(default="", max_length=4096, description="The outcome for people.")
    score: str = Field(default="", max_length=64, description="The figure to know it by, such as roc_auc 0.912.")


class TrainingStatus(Status):
    """What the operator knows of the training."""

    observed_generation: Generation = None
    conditions: Conditions = Field(default=[])
    phase: str = Field(default="", max_length=32, description="For people: where it stands, in one word.")
    spec_hash: str = Field(default="", max_length=64, description="Of the spec that the last Spec run was started for.")
    run_counter: int = Field(default=0, description="Number of the last run.")
    version_counter: int = Field(default=0, description="Number of the last version, or the last one reserved.")
    runs: list[Run] = Field(default=[], max_length=10, description="The last runs, newest first.")
    latest_version: str = Field(default="", max_length=63, description="The newest version that it made.")
    latest_score: str = Field(default="", max_length=64, description="That version's score.")
    handled_request: HandledRequest = ""
    handled_actions: HandledActions = Field(default=[])


class ModelTraining(Object):
    """A ModelTraining as the API server holds it."""

    KIND: ClassVar[str] = "ModelTraining"
    PLURAL: ClassVar[str] = "modeltrainings"
    SHORT: ClassVar[str] = "mt"
    DOC: ClassVar[str] = (
        "How a model comes to be: data, checks, features, candidates, evaluation and gates. "
        "Each run that passes makes a ModelVersion."
    )
    COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("Model", "string", ".spec.model"),
        ("Phase", "string", ".status.phase"),
        ("Runs", "integer", ".status.runCounter"),
        ("Latest", "string", ".status.latestVersion"),
        ("Score", "string", ".status.latestScore"),
        ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason'),
        ("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: TrainingSpec
    status: TrainingStatus = TrainingStatus()
