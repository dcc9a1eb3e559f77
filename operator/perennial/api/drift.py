"""DriftMonitor: watches one ModelDeployment from counters alone, and has it retrained or rolled back."""

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from perennial.api.common import (
    Column,
    Conditions,
    Duration,
    Generation,
    Model,
    Name,
    Object,
    PositiveDuration,
    Status,
    Time,
    rules,
)


class Window(Model):
    """The stretch of time that is judged, cut into chunks that align to the clock."""

    length: PositiveDuration = Field(default="24h", description="How much time is judged together.")
    chunks: int = Field(
        default=24, ge=2, le=200, description="Parts of the window; they show how much the data varies by itself."
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


class Performance(Model):
    """How labelled feedback is judged against the version's held-out figure."""

    metric: Literal["accuracy"] = Field(default="accuracy", description="The figure that is judged.")
    max_drop: float = Field(default=0.05, gt=0, le=1, description="Largest drop that is let pass, absolute.")
    source: Literal["Labels"] = Field(default="Labels", description="Labels: from feedback with the truth.")
    min_labels: int = Field(default=50, ge=10, description="Fewer labels in a window are no ground for a verdict.")


class RetrainBudget(Model):
    """So many retrains in so many days, then a person is asked."""

    max: int = Field(default=3, ge=0, le=100, description="Retrains at most.")
    days: int = Field(default=7, ge=1, le=365, description="In so many days.")


class Policy(Model):
    """What is done about a verdict."""

    on_input_drift: Literal["Retrain", "Alert"] = Field(
        default="Alert",
        description="When the inputs drift. Nothing is rolled back for that alone: an older version has seen no more "
        "of the new world.",
    )
    on_performance_loss: Literal["Rollback", "Retrain", "RollbackAndRetrain", "Alert"] = Field(
        default="Alert",
        description="When the performance is lost. Rollback: the deployment goes back to its last good version and "
        "keeps this one out.",
    )
    consecutive: int = Field(
        default=2, ge=1, le=20, description="So many windows in a row, without overlap, must agree."
    )
    cooldown: Duration = Field(
        default="6h",
        description="Time after an action in which none is taken; but a Retrain does not hold a Rollback back.",
    )
    retrain_budget: RetrainBudget = RetrainBudget()


class MonitorSpec(Model):
    """What is watched, how it is judged, what is done."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                (
                    "has(self.training) || !(self.policy.onInputDrift == 'Retrain'"
                    " || self.policy.onPerformanceLoss in ['Retrain', 'RollbackAndRetrain'])"
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
        )
    )
    deployment: Name = Field(
        description="The ModelDeployment that is watched.",
        json_schema_extra=rules(("self == oldSelf", "deployment cannot be changed: make another DriftMonitor")),
    )
    training: Name | None = Field(default=None, description="The ModelTraining that retrains.")
    window: Window = Window()
    scrape_interval: PositiveDuration = Field(
        default="15s", description="Prometheus' scrape interval for the predictors; a chunk needs 20 of them."
    )
    inputs: Inputs = Inputs()
    performance: Performance | None = None
    policy: Policy = Policy()


Verdict = Literal["Healthy", "Drifting", "PerformanceLoss", "InsufficientData", "NoMetrics"]


class FeatureEvidence(Status):
    """A feature's test."""

    feature: str = Field(max_length=128, description="The feature.")
    psi: float = Field(description="The population stability index, its bias removed.")
    threshold: float = Field(description="The largest index that is let pass.")
    p_value: float = Field(description="How likely so much change is by chance, adjusted for the number of features.")
    drifting: bool = Field(description="Whether the change is both significant and large.")
    top_bin: str = Field(default="", max_length=128, description="The bin whose share changed most, with both shares.")


class PerformanceEvidence(Status):
    """The labelled figure of the window against the held-out one."""

    metric: str = Field(max_length=64, description="The figure.")
    reference: float = Field(description="The version's own on held-out rows.")
    value: float | None = Field(default=None, description="The window's.")
    low: float | None = Field(default=None, description="Bounds of the 95 % confidence interval.")
    high: float | None = Field(default=None, description="The upper one of these bounds.")
    labels: int = Field(default=0, description="Labels in the window.")
    loss: bool = Field(default=False, description="Whether the drop is larger than is let pass.")


class Action(Status):
    """What the monitor asked for; the controllers that it concerns acknowledge by id in their own status."""

    id: str = Field(max_length=128, description="What those who heard it repeat in their own status.")
    kind: Literal["Retrain", "Rollback"] = Field(description="What was asked.")
    version: str = Field(max_length=63, description="The version that was serving when it was asked.")
    digest: str = Field(default="", max_length=64, description="That version's model digest.")
    since: Time = Field(description="When it was asked.")
    reason: str = Field(default="", max_length=512, description="Why.")


class MonitorStatus(Status):
    """The verdict and its evidence."""

    observed_generation: Generation = None
    conditions: Conditions = Field(default=[])
    verdict: Verdict | None = Field(default=None, description="What the last window showed.")
    since: Time | None = Field(default=None, description="Since when that is so.")
    version: str = Field(default="", max_length=63, description="The version that the verdict is about.")
    window_end: Time | None = Field(default=None, description="End of the last window that was judged.")
    observations: int = Field(default=0, description="Predictions in the window.")
    consecutive: int = Field(default=0, description="Windows in a row, without overlap, with this verdict.")
    counted_until: Time | None = Field(default=None, description="End of the last window that consecutive counts.")
    worst: str = Field(default="", max_length=256, description="The features that changed most.")
    features: list[FeatureEvidence] = Field(
        default=[], max_length=10, description="The features that changed most, the worst first."
    )
    performance: PerformanceEvidence | None = None
    actions: list[Action] = Field(default=[], max_length=120, description="Newest first.")
    last_action: str = Field(default="", max_length=128, description="For people: what was asked last, and when.")


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

    spec: MonitorSpec
    status: MonitorStatus = MonitorStatus()
