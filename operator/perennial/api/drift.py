"""DriftMonitor: watches one ModelDeployment from counters alone, and has it retrained or rolled back."""

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from perennial.api.common import (
    Column,
    Duration,
    Model,
    Name,
    Object,
    PositiveDuration,
    rules,
)
from perennial.api.verdict import MonitorStatus


class Window(Model):
    """The stretch of time that is judged, cut into chunks that align to the clock."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                (
                    "!has(self.fast) || (duration(self.fast) < duration(self.length) &&"
                    " duration(self.fast).getSeconds() * self.chunks % duration(self.length).getSeconds() == 0)"
                ),
                "fast must be shorter than length, and whole chunks (length / chunks)",
            ),
            (
                (
                    "!has(self.season) || (duration(self.length).getSeconds() % duration(self.season).getSeconds() == 0"
                    " && duration(self.season).getSeconds() * self.chunks % duration(self.length).getSeconds() == 0)"
                ),
                "length must be whole seasons, and season whole chunks (length / chunks)",
            ),
        )
    )
    length: PositiveDuration = Field(default="24h", description="How much time is judged together.")
    chunks: int = Field(
        default=24, ge=2, le=200, description="Parts of the window; they show how much the data varies by itself."
    )
    fast: PositiveDuration | None = Field(
        default=None,
        description="A shorter window at the end of the long one that is judged too: it sees large "
        "changes sooner. The rate of false alarms is shared between both.",
    )
    season: PositiveDuration | None = Field(
        default=None,
        description="The data repeats itself after so long, such as 24h: what changes from chunk to chunk "
        "within a season is then no noise. It takes two seasons in a window to tell.",
    )


class BaselineChoice(Model):
    """What the window is compared with."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("(self.from == 'Version') == has(self.version)", "version goes with from: Version"),
            ("self.from == 'Serving' || !has(self.windows)", "windows goes with from: Serving"),
        )
    )
    source: Literal["Training", "Serving", "Version"] = Field(
        default="Training",
        alias="from",
        description="Training: the rows that the serving version was trained on; it moves with each promotion. "
        "Serving: the first windows after the version's promotion. Version: what the version named by "
        "version was trained on, whichever serves.",
    )
    windows: int | None = Field(
        default=None,
        ge=1,
        le=30,
        description="Serving: so many windows are learnt from; 3 where unset. How much they "
        "differ from each other is no drift.",
    )
    version: Name | None = Field(default=None, description="Version: the ModelVersion whose training data is meant.")


class FeatureOverride(Model):
    """How one feature is judged otherwise than the others."""

    name: Column = Field(description="The feature.")
    alpha: float | None = Field(default=None, gt=0, lt=0.5, description="Its false discovery rate.")
    tolerance: float | None = Field(default=None, ge=0, le=10, description="Its smallest index that matters.")
    max_missing: float | None = Field(default=None, ge=0, le=1, description="Largest share of missing values.")
    max_invalid: float | None = Field(
        default=None, ge=0, le=1, description="Largest share of values that were refused."
    )
    max_out_of_range: float | None = Field(
        default=None, ge=0, le=1, description="Largest share of values beyond all that training saw."
    )


class Inputs(Model):
    """How the features are judged."""

    alpha: float = Field(
        default=0.01, gt=0, lt=0.5, description="False discovery rate over all features (Benjamini-Hochberg)."
    )
    tolerance: float = Field(
        default=0.02, ge=0, le=10, description="Smallest population stability index, bias removed, that matters."
    )
    exclude: list[Column] = Field(default=[], max_length=200, description="Features that are not judged.")
    features: list[FeatureOverride] = Field(
        default=[],
        max_length=200,
        description="Features that are judged otherwise.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    joint: bool = Field(
        default=True,
        description="Also judges how the features hang together: the error of reconstructing rows from the training "
        "data's principal components.",
    )


class Predictions(Model):
    """What the model predicts is judged like a feature; ``{}`` takes what inputs has."""

    alpha: float | None = Field(default=None, gt=0, lt=0.5, description="Its false discovery rate.")
    tolerance: float | None = Field(default=None, ge=0, le=10, description="Its smallest index that matters.")


PerformanceMetric = Literal["accuracy", "precision", "recall", "f1", "log_loss", "mae", "rmse"]


class Performance(Model):
    """How good the model is in service, against the version's held-out figure."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.metric) || self.metric != 'log_loss' || self.source == 'Labels'",
                "log_loss is known from labels only",
            ),
        )
    )
    metric: PerformanceMetric | None = Field(
        default=None,
        description="The figure that is judged; unset: accuracy, of a Regression mae. mae and rmse are a Regression's, "
        "the others are for classes.",
    )
    max_drop: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Largest drop that is let pass (rise, of log_loss), absolute; unset: 0.05. Of mae and rmse the "
        "largest rise as a share of the held-out figure: 0.1, as where it is unset, lets 10 % more pass.",
    )
    source: Literal["Labels", "Estimated", "Both"] = Field(
        default="Labels",
        description="Labels: from feedback with the truth. Estimated: from calibrated probabilities, of a Regression "
        "from the error that is expected of each prediction, without labels; it is blind to a change of what inputs "
        "mean. Both: labels where there are enough, otherwise the estimate.",
    )
    min_labels: int = Field(default=50, ge=10, description="Fewer labels in a window are no ground for a verdict.")


class Signal(Model):
    """Any figure with bounds, looked at as each chunk closes. It does not change the verdict; it has a condition,
    SignalsBreached, and an action of its own.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.builtin) != has(self.query)", "give one of builtin and query"),
            ("has(self.max) || has(self.min)", "give max or min"),
        )
    )
    name: Name = Field(description="What the status calls it.")
    builtin: Literal["ErrorRate", "LatencyP50", "LatencyP99", "RequestRate", "CPU", "Memory"] | None = Field(
        default=None,
        description="ErrorRate: share of answers that are the server's errors. LatencyP50, LatencyP99: seconds in "
        "which 50 or 99 % of requests are answered. RequestRate: requests a second, over the median of the window's "
        "chunks: min: 0.1 finds a collapse. CPU, Memory: the largest share of its limit that a pod uses.",
    )
    query: str | None = Field(
        default=None,
        min_length=1,
        max_length=2048,
        description="Any PromQL with one value as its result. {{deployment}}, {{version}}, {{namespace}}, {{name}} and "
        "{{interval}} (a chunk) are filled in.",
    )
    max: float | None = Field(default=None, description="Largest good value.")
    min: float | None = Field(default=None, description="Smallest good value.")
    action: Literal["Alert", "Retrain", "Rollback"] | None = Field(
        default=None,
        description="What is done when it is out of bounds policy.consecutive chunks in a row; unset: Alert.",
    )


class RetrainBudget(Model):
    """So many retrains in so many days, then a person is asked."""

    max: int = Field(default=3, ge=0, le=100, description="Retrains at most.")
    days: int = Field(default=7, ge=1, le=365, description="In so many days.")


class Maintenance(Model):
    """A time of the week in which the monitor only watches."""

    days: list[Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]] = Field(
        min_length=1, max_length=7, description="The days on which it begins."
    )
    start: str = Field(max_length=5, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="When, such as 22:00.")
    length: PositiveDuration = Field(description="How long, such as 4h; at most a week.")
    time_zone: str | None = Field(
        default=None, max_length=64, pattern=r"^[A-Za-z0-9_+\-/]+$", description="Such as Europe/Zurich; unset: UTC."
    )


class Policy(Model):
    """What is done about a verdict."""

    on_input_drift: Literal["Retrain", "Alert"] = Field(
        default="Alert",
        description="When inputs or labels drift. Nothing is rolled back for that alone: an older version has seen no "
        "more of the new world.",
    )
    on_prediction_drift: Literal["Retrain", "Alert"] = Field(
        default="Alert", description="When what is predicted drifts, and no input does."
    )
    on_performance_loss: Literal["Rollback", "Retrain", "RollbackAndRetrain", "Auto", "Alert"] = Field(
        default="Alert",
        description="When the performance is lost. Rollback: the deployment goes back to its last good version and "
        "keeps this one out. Auto: a fresh version that is worse than its predecessor was at that age is rolled back, "
        "an old one in a changed world is retrained (docs/drift-policy.md has the table).",
    )
    fresh: PositiveDuration | None = Field(
        default=None, description="Auto: a version is fresh for so long after its promotion; unset: four windows."
    )
    consecutive: int = Field(
        default=2, ge=1, le=20, description="So many windows in a row, without overlap, must agree."
    )
    cooldown: Duration = Field(
        default="6h",
        description="Time after an action in which none is taken; but a Retrain does not hold a Rollback back.",
    )
    retrain_budget: RetrainBudget = RetrainBudget()
    maintenance: list[Maintenance] = Field(
        default=[], max_length=10, description="Times in which verdicts are reached and nothing is done about them."
    )


class MonitorSpec(Model):
    """What is watched, how it is judged, what is done."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                (
                    "has(self.training) || !(self.policy.onInputDrift == 'Retrain'"
                    " || self.policy.onPredictionDrift == 'Retrain'"
                    " || self.policy.onPerformanceLoss in ['Retrain', 'RollbackAndRetrain', 'Auto']"
                    " || self.signals.exists(s, has(s.action) && s.action == 'Retrain'))"
                ),
                "name the training that a Retrain policy retrains",
            ),
            (
                (
                    "duration(self.window.length).getSeconds()"
                    " >= 20 * self.window.chunks * duration(self.scrapeInterval).getSeconds()"
                ),
                "window too short: each chunk (window.length / window.chunks) needs 20 scrapes (scrapeInterval)",
            ),
            (
                "!has(self.policy.fresh) || duration(self.policy.fresh) > duration(self.window.length)",
                "policy.fresh must be longer than window.length: a version is judged after a whole window",
            ),
        )
    )
    deployment: Name = Field(
        description="The ModelDeployment that is watched.",
        json_schema_extra=rules(("self == oldSelf", "deployment cannot be changed: make another DriftMonitor")),
    )
    training: Name | None = Field(default=None, description="The ModelTraining that retrains.")
    mode: Literal["Act", "Observe"] = Field(
        default="Act",
        description="Observe: what would have been done stands in status.observed, and nobody hears of it.",
    )
    window: Window = Window()
    scrape_interval: PositiveDuration = Field(
        default="15s", description="Prometheus' scrape interval for the predictors; a chunk needs 20 of them."
    )
    baseline: BaselineChoice = BaselineChoice()
    inputs: Inputs = Inputs()
    predictions: Predictions | None = Field(default=None, description="Judges what is predicted; unset: it does not.")
    performance: Performance | None = None
    signals: list[Signal] = Field(
        default=[],
        max_length=20,
        description="Other figures with bounds: of the service, or any PromQL.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    policy: Policy = Policy()


class DriftMonitor(Object):
    """A DriftMonitor as the API server holds it."""

    KIND: ClassVar[str] = "DriftMonitor"
    PLURAL: ClassVar[str] = "driftmonitors"
    SHORT: ClassVar[str] = "dm"
    DOC: ClassVar[str] = (
        "Watches a ModelDeployment: tells drift from noise, and has the model retrained or rolled back."
    )
    COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("Verdict", "string", ".status.verdict"),
        ("Since", "date", ".status.since"),
        ("Version", "string", ".status.version"),
        ("Worst", "string", ".status.worst"),
        ("Predictions", "integer", ".status.observations"),
        ("Last-Action", "string", ".status.lastAction"),
        ("Age", "date", ".metadata.creationTimestamp"),
    )

    WIDE: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("Cause", "string", ".status.cause"),
        ("Baseline", "string", ".status.baseline.source"),
        ("Mode", "string", ".spec.mode"),
    )

    spec: MonitorSpec
    status: MonitorStatus = MonitorStatus()
