"""ModelDeployment: a model kept in service, and how its next version takes over."""

from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from perennial.api.common import (
    Conditions,
    Generation,
    HandledActions,
    HandledRequest,
    Model,
    ModelName,
    Name,
    Object,
    Status,
    Time,
    rules,
)
from perennial.api.predictor import Predictor
from perennial.api.rollout import Rollback, Rollout, Standby, Traffic


class VersionChoice(Model):
    """Which version is wanted."""

    model_config = ConfigDict(
        json_schema_extra=rules(("has(self.latest) != has(self.name)", "give one of latest and name"))
    )
    latest: Literal["Approved"] | None = Field(default=None, description="The newest approved version of the model.")
    name: Name | None = Field(default=None, description="This ModelVersion.")


class DeploymentSpec(Model):
    """A model kept in service."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.traffic.provider == 'Gateway' || !has(self.rollout.match)",
                "rollout.match needs traffic.provider Gateway",
            ),
            (
                "self.traffic.provider == 'Gateway' || self.rollout.steps.all(s, s.weight > 0)",
                "a step with weight 0 needs traffic.provider Gateway",
            ),
        )
    )
    model: ModelName = Field(
        description="The model whose versions serve; a ModelTraining makes them.",
        json_schema_extra=rules(("self == oldSelf", "model cannot be changed: make another ModelDeployment")),
    )
    version: VersionChoice = VersionChoice(latest="Approved")
    predictor: Predictor = Predictor()
    rollout: Rollout = Rollout()
    traffic: Traffic = Traffic()
    standby: Standby = Standby()
    rollback: Rollback = Rollback()


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
    overlay: str = Field(default="", max_length=8192, description="The pod overlay of that time, as JSON.")
    since: Time | None = Field(default=None, description="When it was promoted here.")
    until: Time | None = Field(default=None, description="When another one took over from it.")


class Measurement(Status):
    """One analysis of one metric."""

    at: Time = Field(description="End of the interval that was measured.")
    name: str = Field(max_length=63, description="The metric.")
    value: float | None = Field(default=None, description="The figure: a share or seconds.")
    max: float | None = Field(default=None, description="The largest good value.")
    min: float | None = Field(default=None, description="The smallest good value.")
    result: Literal["Pass", "Fail", "Inconclusive", "NoData"] = Field(description="The verdict.")
    message: str = Field(default="", max_length=512, description="What made it so, where the figures do not say it.")


class RolloutStatus(Status):
    """The rollout under way."""

    target: Revision
    strategy: Literal["Canary", "BlueGreen", "Shadow", "Recreate"] = Field(
        default="Canary", description="The strategy that it follows; another one in the spec starts it over."
    )
    started_at: Time = Field(description="When it began.")
    step: int = Field(default=-1, description="Index of the step; -1 until the new version is ready.")
    step_since: Time = Field(description="When the step began.")
    waiting_since: Time | None = Field(default=None, description="Since when pods of the new version are awaited.")
    promote: bool = Field(default=False, description="A person asked for the promotion: the other steps are skipped.")
    past: int = Field(default=-1, description="Index of the step that a person let it leave before its end.")
    paused: bool = Field(default=False, description="A person paused it.")
    last_analysis: Time | None = Field(default=None, description="When it was last measured.")
    passed: int = Field(default=0, description="Measurements that passed.")
    failed: int = Field(default=0, description="Measurements that failed.")
    inconclusive: int = Field(default=0, description="Measurements that were inconclusive since a person last decided.")
    no_data: int = Field(default=0, description="Measurements in a row that found no data.")
    measurements: list[Measurement] = Field(default=[], max_length=20, description="The last ones, newest first.")


class Standing(Status):
    """The version before, kept warm until ``until``."""

    revision: Revision
    until: Time = Field(description="When its pods go.")


class TrafficStatus(Status):
    """Shares of the new version, in percent: wanted by the step, real, and measured of requests."""

    wanted_weight: int = Field(default=0, description="Percent that the step asks for.")
    real_weight: float | None = Field(
        default=None, description="Percent that is real: the Gateway's weight, or the share of the ready pods."
    )
    mirror_share: int = Field(default=0, description="Percent of requests that are copied to the new version (Shadow).")
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
    reason: str = Field(
        default="", max_length=128, description="For people: why it stands there, of the rollout if one is under way."
    )
    stable: Revision | None = Field(default=None, description="The revision that serves.")
    rollout: RolloutStatus | None = None
    standby: Standing | None = None
    restoring_since: Time | None = Field(
        default=None, description="Since when a good revision is awaited that is to take over from a bad one."
    )
    size_before: int | None = Field(
        default=None, description="Pods that an autoscaler had found before they ended for others to start (Recreate)."
    )
    history: list[Revision] = Field(default=[], max_length=10, description="Fully promoted revisions, newest first.")
    held: Held | None = None
    held_configurations: list[Held] = Field(
        default=[],
        max_length=10,
        description="Configurations that failed or were rolled back here, newest first: kept out until released.",
    )
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
        ("Reason", "string", ".status.reason"),
        ("Age", "date", ".metadata.creationTimestamp"),
    )
    WIDE: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("Step", "integer", ".status.rollout.step"),
        ("Real Weight", "number", ".status.traffic.realWeight"),
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
