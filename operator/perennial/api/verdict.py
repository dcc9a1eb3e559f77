"""What a DriftMonitor has found and asked for: its status."""

from typing import Literal

from pydantic import Field

from perennial.api.common import Conditions, Generation, HandledRequest, Status, Time

Verdict = Literal["Healthy", "Drifting", "PerformanceLoss", "InsufficientData", "NoTraffic", "NoMetrics"]
Cause = Literal["InputDrift", "PredictionDrift", "PriorShift", "ConceptDrift"]


class FeatureEvidence(Status):
    """The test of a feature, or of what is judged like one."""

    feature: str = Field(
        max_length=128,
        description="The feature; __joint__: how all hang together; __prediction__, __label__: what is predicted, "
        "what turns out to be true.",
    )
    psi: float = Field(description="The population stability index, its bias removed.")
    threshold: float = Field(description="The largest index that is let pass.")
    p_value: float = Field(description="How likely so much change is by chance, adjusted for the number of features.")
    drifting: bool = Field(description="Whether the change is both significant and large, or a share over its limit.")
    rows: int = Field(default=0, description="Values in the window.")
    top_bin: str = Field(default="", max_length=128, description="The bin whose share changed most, with both shares.")
    limit: str = Field(default="", max_length=128, description="The share that is over its limit, with both.")
    window: Literal["", "Fast"] = Field(default="", description="Fast where the fast window shows it.")


class PerformanceEvidence(Status):
    """The window's figure against the held-out one."""

    metric: str = Field(max_length=64, description="The figure; mae and rmse are in the target's unit.")
    source: Literal["Labels", "Estimated"] = Field(default="Labels", description="What it is known from.")
    reference: float = Field(description="The version's own on held-out rows.")
    limit: float | None = Field(default=None, description="The worst figure that is let pass.")
    value: float | None = Field(default=None, description="The window's.")
    low: float | None = Field(default=None, description="Bounds of the 95 % confidence interval.")
    high: float | None = Field(default=None, description="The upper one of these bounds.")
    labels: int = Field(default=0, description="Labels in the window (Estimated: predictions).")
    delay: str = Field(default="", max_length=16, description="Mean time from prediction to label.")
    loss: bool = Field(default=False, description="Whether the drop is larger than is let pass.")


class SignalEvidence(Status):
    """A signal in the chunk that closed last."""

    name: str = Field(max_length=63, description="The signal.")
    value: float | None = Field(default=None, description="The figure; none where Prometheus has none.")
    max: float | None = Field(default=None, description="The largest good value.")
    min: float | None = Field(default=None, description="The smallest good value.")
    breached: bool = Field(default=False, description="Whether it is out of bounds.")
    consecutive: int = Field(default=0, description="Chunks in a row that it has been.")
    message: str = Field(default="", max_length=256, description="Why there is no value.")


class Action(Status):
    """What the monitor asked for; the controllers that it concerns acknowledge by id in their own status."""

    id: str = Field(max_length=128, description="What those who heard it repeat in their own status.")
    kind: Literal["Retrain", "Rollback"] = Field(description="What was asked.")
    version: str = Field(max_length=63, description="The version that was serving when it was asked.")
    digest: str = Field(default="", max_length=64, description="That version's model digest.")
    since: Time = Field(description="When it was asked.")
    reason: str = Field(default="", max_length=512, description="Why.")
    verdict: str = Field(default="", max_length=32, description="The verdict that it answers, or Signal.")


class Chapter(Status):
    """What was found about a version while it served."""

    version: str = Field(max_length=63, description="The version.")
    since: Time = Field(description="Since when this verdict was so.")
    until: Time | None = Field(default=None, description="When another verdict, or another version, followed.")
    verdict: Verdict = Field(description="What was found.")
    cause: str = Field(default="", max_length=32, description="What kind of change it was.")
    worst: str = Field(default="", max_length=256, description="The features that changed most.")
    performance: str = Field(default="", max_length=64, description="Such as accuracy 0.81.")


class BaselineStatus(Status):
    """What windows are compared with now."""

    source: Literal["Training", "Serving", "Version"] = Field(default="Training", description="As the spec has it.")
    version: str = Field(default="", max_length=63, description="The version whose data, or whose service, it is.")
    windows: int = Field(default=0, description="Serving: windows learnt so far.")
    wanted: int = Field(default=0, description="Serving: windows that are to be learnt.")


class MonitorStatus(Status):
    """The verdict and its evidence."""

    observed_generation: Generation = None
    conditions: Conditions = Field(default=[])
    verdict: Verdict | None = Field(default=None, description="What the last window showed.")
    since: Time | None = Field(default=None, description="Since when that is so.")
    cause: Cause | None = Field(
        default=None,
        description="InputDrift: inputs differ. PredictionDrift: only predictions do. PriorShift: the true classes' "
        "shares differ, each class is recognised as before. ConceptDrift: inputs are as before, the model is worse.",
    )
    version: str = Field(default="", max_length=63, description="The version that the verdict is about.")
    baseline: BaselineStatus | None = None
    window_end: Time | None = Field(default=None, description="End of the last window that was judged.")
    observations: int = Field(default=0, description="Predictions in the window.")
    consecutive: int = Field(default=0, description="Windows in a row, without overlap, with this verdict.")
    counted_until: Time | None = Field(default=None, description="End of the last window that consecutive counts.")
    last_healthy: Time | None = Field(default=None, description="When this version was last found Healthy.")
    worst: str = Field(default="", max_length=256, description="The features that changed most.")
    features: list[FeatureEvidence] = Field(
        default=[], max_length=10, description="The features that changed most, the worst first."
    )
    performance: PerformanceEvidence | None = None
    estimated: PerformanceEvidence | None = None
    signals: list[SignalEvidence] = Field(default=[], max_length=20, description="The signals, as the spec has them.")
    actions: list[Action] = Field(default=[], max_length=120, description="Newest first.")
    observed: list[Action] = Field(
        default=[], max_length=20, description="What would have been done (mode: Observe, maintenance), newest first."
    )
    last_action: str = Field(default="", max_length=128, description="For people: what was asked last.")
    history: list[Chapter] = Field(default=[], max_length=20, description="Verdicts before this one, newest first.")
    handled_request: HandledRequest = ""
