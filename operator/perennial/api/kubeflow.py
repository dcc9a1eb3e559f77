"""Kubeflow Pipelines as the place where runs run."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from perennial.api.common import Model, Name, Quantity, Status, SubdomainName, Time, rules
from perennial.contracts.pipelines import Component

_LABEL = r"^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$"
_Value = Annotated[str, Field(max_length=63)]
_Key = Annotated[str, Field(min_length=1, max_length=253, pattern=_LABEL)]


class Toleration(Model):
    """A taint that a pod may live with, as in a pod's spec."""

    key: _Key | None = Field(default=None, description="The taint's key; unset: every one.")
    operator: Literal["Exists", "Equal"] | None = Field(default=None, description="Equal where unset.")
    value: _Value | None = Field(default=None, description="The taint's value, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="The taint's effect; unset: all."
    )


class Accelerator(Model):
    """Devices of a node."""

    type: _Key = Field(description="The resource's name, such as nvidia.com/gpu.")
    count: int = Field(ge=1, le=64, description="How many.")


class Volume(Model):
    """A PersistentVolumeClaim of the pods' namespace."""

    claim: SubdomainName = Field(description="Its name.")
    mount_path: str = Field(min_length=2, max_length=256, pattern=r"^/[^:]+$", description="Where the pod sees it.")


class SecretEnv(Model):
    """An environment variable out of a Secret of the pods' namespace."""

    secret: SubdomainName = Field(description="The Secret's name.")
    key: str = Field(min_length=1, max_length=253, pattern=r"^[-._A-Za-z0-9]+$", description="Its entry.")
    name: str = Field(
        min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="The variable's name."
    )


class PodSettings(Model):
    """What the pods of some components need. The embedded engine has one pod: spec.engine.resources is for that."""

    components: list[Component] | None = Field(
        default=None, min_length=1, max_length=8, description="The components; unset: all. Later entries win."
    )
    cpu: Quantity | None = Field(default=None, description="Cores requested, in place of engine.resources.cpu.")
    memory: Quantity | None = Field(
        default=None, description="Memory requested and limited, in place of engine.resources.memory."
    )
    accelerator: Accelerator | None = None
    node_selector: dict[str, _Value] | None = Field(
        default=None, json_schema_extra={"maxProperties": 16}, description="Labels of the nodes that may run it."
    )
    tolerations: list[Toleration] | None = Field(
        default=None, max_length=16, description="Kubeflow 2.0 knows none: there the run fails."
    )
    volumes: list[Volume] | None = Field(default=None, max_length=8, description="Claims that the pods see.")
    secret_env: list[SecretEnv] | None = Field(
        default=None, max_length=16, description="Environment variables out of Secrets."
    )


class Kubeflow(Model):
    """Where Kubeflow Pipelines is, and how a run looks there. What is unset is as in the chart's values kubeflow."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.namespace) || has(self.endpoint)",
                (
                    "engine.kubeflow.namespace goes with an endpoint of your own: where the operator's Kubeflow runs "
                    "pods, its chart says"
                ),
            ),
            (
                "!has(self.serviceAccount) || has(self.endpoint)",
                "engine.kubeflow.serviceAccount goes with an endpoint of your own: the operator's is the chart's",
            ),
        )
    )
    endpoint: str | None = Field(
        default=None,
        min_length=8,
        max_length=512,
        pattern=r"^https?://[^@\s?#]+$",
        description="Base address of the API, with its path prefix, such as https://kubeflow.example.com/pipeline. The "
        "Secret perennial-kubeflow of this namespace has what it asks for: token, or username and password; ca.crt.",
    )
    namespace: Name | None = Field(
        default=None, description="The namespace of a multi-user installation in which runs are made and pods run."
    )
    experiment: str | None = Field(
        default=None, min_length=1, max_length=128, description="Unset: one for each model, <namespace>.<model>."
    )
    pipeline_root: str | None = Field(
        default=None,
        min_length=6,
        max_length=512,
        pattern=r"^[a-z0-9]+://[^\s]+$",
        description="Where Kubeflow keeps what components hand to each other, such as s3://mlpipeline/v2.",
    )
    service_account: SubdomainName | None = Field(default=None, description="That the run's pods have.")
    caching: bool | None = Field(
        default=None,
        description="Whether a component whose inputs are as in an earlier run is not run again. The data are always "
        "read, and the result is always registered.",
    )
    ui: str | None = Field(
        default=None,
        min_length=8,
        max_length=512,
        pattern=r"^https?://[^@\s?]+$",
        description="Base address of the web interface, to which the status links.",
    )
    shards: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Into how many pods the search is spread: each tries its share of the candidates and trials, and "
        "hears nothing of the others. Unset: one.",
    )
    pods: list[PodSettings] = Field(default=[], max_length=16, description="What the pods of some components need.")


class KubeflowRun(Status):
    """A run's counterpart in Kubeflow Pipelines."""

    endpoint: str = Field(max_length=512, description="Base address of the API that it was given to.")
    own: bool = Field(default=False, description="Whether that is the spec's own endpoint, not the operator's.")
    namespace: str = Field(default="", max_length=63, description="Its namespace there; empty: that has none.")
    id: str = Field(default="", max_length=64, description="Its run_id, once that is known.")
    url: str = Field(default="", max_length=1024, description="Where people see it.")
    missing_since: Time | None = Field(default=None, description="When it was first found to be gone, if it is.")
