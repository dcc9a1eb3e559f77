"""ModelDeployment: a model kept in service, and how its next version takes over."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from perennial.api.common import Condition, Duration, Model, ModelName, Name, Object, Quantity, Status, Time, rules


class VersionChoice(Model):
    """Which version is wanted."""

    model_config = {"json_schema_extra": rules(("has(self.latest) != has(self.name)", "give one of latest and name"))}
    latest: Literal["Approved"] | None = Field(default=None, description="The newest approved version of the model.")
    name: Name | None = Field(default=None, description="This ModelVersion.")


class PredictorResources(Model):
    """Compute of one predictor pod; memory is requested and limited alike, CPU is requested."""

    cpu: Quantity = "100m"
    memory: Quantity = "256Mi"


class Predictor(Model):
    """The pods that answer."""

    replicas: int = Field(default=2, ge=1, le=100)
    resources: PredictorResources = PredictorResources()


class Step(Model):
    """A stage of a canary: its share of the traffic, and how long it is watched there."""

    weight: int = Field(ge=1, le=99, description="Percent of requests for the new version.")
    hold: Duration


class AnalysisMetric(Model):
    """A figure of the new version, and its bound."""

    model_config = {"json_schema_extra": rules(("has(self.max)", "give max"))}
    name: Name
    builtin: Literal["ErrorRate", "LatencyP99"] = Field(
        description="ErrorRate: share of answers that are the server's errors. LatencyP99: seconds."
    )
    max: float | str | None = Field(
        default=None,
        description="Largest good value: a share such as 0.01 for ErrorRate, a time such as 50ms or 1.5s for LatencyP99.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True, "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s)?$"},
    )


class Analysis(Model):
    """How a new version is judged while it takes traffic. No data never counts as good."""

    interval: Duration = Field(default="30s", description="One measurement each interval, over the interval.")
    metrics: list[AnalysisMetric] = Field(default=[], max_length=20)
    min_requests: int = Field(
        default=20, ge=1, description="Fewer requests to the new version in an interval are no data."
    )
    failure_limit: int = Field(
        default=1, ge=0, le=100, description="So many failed measurements are let pass; one more ends the rollout."
    )
    on_no_data: Literal["Pause"] = "Pause"


class Rollout(Model):
    """How the next version takes over."""

    strategy: Literal["Canary"] = "Canary"
    steps: list[Step] = Field(
        default=[],
        max_length=20,
        description="Without steps the new version takes over once it is ready.",
        json_schema_extra=rules(
            (
                "self.map(s, s.weight).isSorted()",
                "weights must not fall from step to step",
            ),
        ),
    )
    analysis: Analysis = Analysis()
    progress_deadline: Duration = Field(
        default="10m", description="A new version that is not ready by then is given up."
    )


class Traffic(Model):
    """How requests are shared between versions."""

    provider: Literal["Replicas"] = Field(
        default="Replicas", description="By the number of ready pods behind one Service."
    )


class Standby(Model):
    """The version before stays warm."""

    keep: Duration = Field(
        default="30m", description="How long its pods are kept after a promotion: going back then starts nothing."
    )


class DeploymentSpec(Model):
    """A model kept in service."""

    model: ModelName = Field(
        json_schema_extra=rules(("self == oldSelf", "model cannot be changed: make another ModelDeployment"))
    )
    version: VersionChoice = VersionChoice(latest="Approved")
    predictor: Predictor = Predictor()
    rollout: Rollout = Rollout()
    traffic: Traffic = Traffic()
    standby: Standby = Standby()


class Revision(Status):
    """A version together with the predictor's image and configuration: what a rollout rolls out, and a rollback restores."""

    version: str = Field(max_length=63)
    revision: str = Field(
        max_length=16, description="Hash of the version, the image and the predictor's configuration."
    )
    image: str = Field(max_length=512)
    predictor: dict[str, Any] = Field(default={}, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
    since: Time | None = Field(default=None, description="When it was promoted here.")


class Measurement(Status):
    """One analysis of one metric."""

    at: Time
    name: str = Field(max_length=63)
    value: float | None = None
    limit: float
    result: Literal["Pass", "Fail", "NoData"]


class RolloutStatus(Status):
    """The rollout under way."""

    target: Revision
    started_at: Time
    step: int = Field(default=-1, description="Index of the step; -1 until the new version is ready.")
    step_since: Time
    last_analysis: Time | None = None
    passed: int = 0
    failed: int = 0
    measurements: list[Measurement] = Field(default=[], max_length=20, description="The last ones, newest first.")


class Standing(Status):
    """The version before, kept warm until ``until``."""

    revision: Revision
    until: Time


class TrafficStatus(Status):
    """Shares of the new version, in percent: wanted by the step, of ready pods, and measured of requests."""

    wanted_weight: int = 0
    pod_share: float | None = None
    request_share: float | None = None


class Held(Status):
    """Why the wanted version is not rolled out."""

    version: str = Field(max_length=63)
    reason: str = Field(max_length=512)
    since: Time


class DeploymentStatus(Status):
    """What serves, what is on its way, and why."""

    observed_generation: int | None = None
    conditions: list[Condition] = Field(default=[], max_length=16)
    phase: str = Field(default="", max_length=32)
    stable: Revision | None = None
    rollout: RolloutStatus | None = None
    standby: Standing | None = None
    history: list[Revision] = Field(default=[], max_length=10, description="Fully promoted revisions, newest first.")
    held: Held | None = None
    traffic: TrafficStatus = TrafficStatus()
    replicas: int = 0
    ready_replicas: int = 0
    selector: str = Field(default="", max_length=512)
    url: str = Field(default="", max_length=512)
    handled_request: str = Field(default="", max_length=128)
    handled_actions: list[Annotated[str, Field(max_length=128)]] = Field(default=[], max_length=50)


class ModelDeployment(Object):
    """A ModelDeployment as the API server holds it."""

    KIND: ClassVar[str] = "ModelDeployment"
    PLURAL: ClassVar[str] = "modeldeployments"
    SHORT: ClassVar[str] = "md"
    DOC: ClassVar[str] = "A model kept in service: which version, how many pods, and how the next version takes over."
    COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("Stable", "string", ".status.stable.version"),
        ("Phase", "string", ".status.phase"),
        ("Next", "string", ".status.rollout.target.version"),
        ("Weight", "integer", ".status.traffic.wantedWeight"),
        ("Ready", "integer", ".status.readyReplicas"),
        ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason'),
        ("Age", "date", ".metadata.creationTimestamp"),
    )
    SCALE: ClassVar[dict[str, str]] = {
        "specReplicasPath": ".spec.predictor.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }

    spec: DeploymentSpec
    status: DeploymentStatus = DeploymentStatus()
