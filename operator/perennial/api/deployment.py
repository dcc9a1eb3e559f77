"""ModelDeployment: a model kept in service, and how its next version takes over."""

from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from perennial.api.common import (
    Conditions,
    Duration,
    Generation,
    HandledActions,
    HandledRequest,
    Model,
    ModelName,
    Name,
    Object,
    PositiveDuration,
    Quantity,
    Status,
    Time,
    rules,
)


class VersionChoice(Model):
    """Which version is wanted."""

    model_config = ConfigDict(
        json_schema_extra=rules(("has(self.latest) != has(self.name)", "give one of latest and name"))
    )
    latest: Literal["Approved"] | None = Field(default=None, description="The newest approved version of the model.")
    name: Name | None = Field(default=None, description="This ModelVersion.")


class PredictorResources(Model):
    """Compute of one predictor pod; memory is requested and limited alike, CPU is requested."""

    cpu: Quantity = Field(default="100m", description="Cores, such as 1 or 100m.")
    memory: Quantity = Field(default="256Mi", description="Bytes, such as 256Mi.")


class Predictor(Model):
    """The pods that answer."""

    replicas: int = Field(default=2, ge=1, le=100, description="Pods that serve.")
    resources: PredictorResources = PredictorResources()


class Step(Model):
    """A stage of a canary: its share of the traffic, and how long it is watched there."""

    weight: int = Field(ge=1, le=99, description="Percent of requests for the new version.")
    hold: Duration = Field(description="How long it is watched at this weight, such as 5m.")


class AnalysisMetric(Model):
    """A figure of the new version, and its bound."""

    name: Name = Field(description="What the status calls it.")
    builtin: Literal["ErrorRate", "LatencyP99"] = Field(
        description="ErrorRate: share of answers that are the server's errors. LatencyP99: the time in which 99 % of "
        "requests are answered."
    )
    max: float | str = Field(
        description="Largest good value: a share such as 0.01 for ErrorRate, a time such as 50ms or 1.5s for "
        "LatencyP99 (a bare number is seconds).",
        json_schema_extra={"pattern": r"^[0-9]+(\.[0-9]+)?(ms|s)?$", "minimum": 0},
    )


class Analysis(Model):
    """How a new version is judged while it takes traffic. No data never counts as good."""

    interval: PositiveDuration = Field(default="30s", description="One measurement each interval, over the interval.")
    metrics: list[AnalysisMetric] = Field(
        default=[],
        max_length=20,
        description="The figures that are measured; each must hold.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    min_requests: int = Field(
        default=20, ge=1, description="Fewer requests to the new version in an interval are no data."
    )
    failure_limit: int = Field(
        default=1, ge=0, le=100, description="So many failed measurements are let pass; one more ends the rollout."
    )
    on_no_data: Literal["Pause"] = Field(
        default="Pause", description="What an interval without data does: the rollout stays where it is."
    )


class Rollout(Model):
    """How the next version takes over."""

    strategy: Literal["Canary"] = Field(
        default="Canary", description="Canary: a growing share of the requests goes to the new version."
    )
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
    progress_deadline: PositiveDuration = Field(
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
        description="The model whose versions serve; a ModelTraining makes them.",
        json_schema_extra=rules(("self == oldSelf", "model cannot be changed: make another ModelDeployment")),
    )
    version: VersionChoice = VersionChoice(latest="Approved")
    predictor: Predictor = Predictor()
    rollout: Rollout = Rollout()
    traffic: Traffic = Traffic()
    standby: Standby = Standby()


class Revision(Status):
    """A version with the predictor's image and configuration: what a rollout rolls out and a rollback restores."""

    version: str = Field(max_length=63, description="The ModelVersion.")
    revision: str = Field(
        max_length=16, description="Hash of the version, the image and the predictor's configuration."
    )
    image: str = Field(max_length=512, description="The predictor's image.")
    predictor: dict[str, Any] = Field(
        default={},
        description="The predictor's configuration.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    since: Time | None = Field(default=None, description="When it was promoted here.")


class Measurement(Status):
    """One analysis of one metric."""

    at: Time = Field(description="End of the interval that was measured.")
    name: str = Field(max_length=63, description="The metric.")
    value: float | None = Field(default=None, description="The figure: a share or seconds.")
    limit: float = Field(description="The largest good value.")
    result: Literal["Pass", "Fail", "NoData"] = Field(description="The verdict.")


class RolloutStatus(Status):
    """The rollout under way."""

    target: Revision
    started_at: Time = Field(description="When it began.")
    step: int = Field(default=-1, description="Index of the step; -1 until the new version is ready.")
    step_since: Time = Field(description="When the step began.")
    waiting_since: Time | None = Field(default=None, description="Since when pods of the new version are awaited.")
    promote: bool = Field(default=False, description="A person asked for the promotion: the other steps are skipped.")
    last_analysis: Time | None = Field(default=None, description="When it was last measured.")
    passed: int = Field(default=0, description="Measurements that passed.")
    failed: int = Field(default=0, description="Measurements that failed.")
    measurements: list[Measurement] = Field(default=[], max_length=20, description="The last ones, newest first.")


class Standing(Status):
    """The version before, kept warm until ``until``."""

    revision: Revision
    until: Time = Field(description="When its pods go.")


class TrafficStatus(Status):
    """Shares of the new version, in percent: wanted by the step, of ready pods, and measured of requests."""

    wanted_weight: int = Field(default=0, description="Percent that the step asks for.")
    pod_share: float | None = Field(default=None, description="Percent of the ready pods.")
    request_share: float | None = Field(
        default=None, description="Percent of the requests, as Prometheus counted them."
    )


class Held(Status):
    """Why the wanted version is not rolled out."""

    version: str = Field(max_length=63, description="The version that is not rolled out.")
    reason: str = Field(max_length=512, description="Why, and what releases it.")
    since: Time = Field(description="Since when.")
    configuration: str = Field(
        default="", max_length=16, description="Hash of the predictor's configuration, where that alone is held."
    )


class DeploymentStatus(Status):
    """What serves, what is on its way, and why."""

    observed_generation: Generation = None
    conditions: Conditions = Field(default=[])
    phase: str = Field(default="", max_length=32, description="For people: where it stands, in one word.")
    stable: Revision | None = Field(default=None, description="The revision that serves.")
    rollout: RolloutStatus | None = None
    standby: Standing | None = None
    history: list[Revision] = Field(default=[], max_length=10, description="Fully promoted revisions, newest first.")
    held: Held | None = None
    traffic: TrafficStatus = TrafficStatus()
    replicas: int = Field(default=0, description="Pods that there are.")
    ready_replicas: int = Field(default=0, description="Pods that are ready.")
    selector: str = Field(default="", max_length=512, description="The label selector of its pods.")
    url: str = Field(default="", max_length=512, description="Where requests go, inside the cluster.")
    handled_request: HandledRequest = ""
    handled_actions: HandledActions = Field(default=[])


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
    # Its Service bears its name, and a Service's name begins with a letter; its Deployments' names are longer.
    NAME_PATTERN: ClassVar[str] = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
    LONGEST_NAME: ClassVar[int] = 52
    SCALE: ClassVar[dict[str, str]] = {
        "specReplicasPath": ".spec.predictor.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }

    spec: DeploymentSpec
    status: DeploymentStatus = DeploymentStatus()
