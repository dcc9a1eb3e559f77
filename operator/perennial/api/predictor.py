"""The pods that answer: their number, compute, place, protection, and what one request may cost."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from perennial.api.common import Model, Name, PositiveDuration, Quantity, SubdomainName, rules

# As Kubernetes checks them: a child that it would refuse is refused where the mistake is.
_LABEL_KEY = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)
LabelKey = Annotated[str, Field(min_length=1, max_length=317, pattern=_LABEL_KEY)]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]


class PredictorResources(Model):
    """Compute of one predictor pod; memory is requested and limited alike, CPU is requested."""

    cpu: Quantity = Field(default="100m", description="Cores, such as 1 or 100m.")
    memory: Quantity = Field(default="256Mi", description="Bytes, such as 256Mi.")


class Autoscaling(Model):
    """The number of pods follows their load: a HorizontalPodAutoscaler of the stable version."""

    model_config = ConfigDict(json_schema_extra=rules(("self.min <= self.max", "min must not be above max")))
    min: int = Field(ge=1, le=100, description="Fewest pods.")
    max: int = Field(ge=1, le=100, description="Most pods.")
    target_cpu: int = Field(
        default=70, ge=1, le=1000, alias="targetCPU", description="CPU that is aimed at, in percent of resources.cpu."
    )


class DisruptionBudget(Model):
    """How many pods of the stable version a drain of nodes may take at a time."""

    max_unavailable: int = Field(default=1, ge=1, le=100, description="So many pods at most.")


class TopologySpread(Model):
    """How the pods of a version are spread."""

    topology_key: LabelKey = Field(description="Node label that makes the groups, such as topology.kubernetes.io/zone.")
    max_skew: int | None = Field(default=None, ge=1, le=100, description="Largest difference between groups (1).")
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"] | None = Field(
        default=None, description="What happens to a pod that would break it (ScheduleAnyway)."
    )


class Toleration(Model):
    """A node taint that the pods bear."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
                "operator Exists goes without a value",
            ),
            ("has(self.key) || (has(self.operator) && self.operator == 'Exists')", "without key, operator is Exists"),
            (
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "tolerationSeconds goes with effect NoExecute",
            ),
        )
    )
    key: LabelKey | None = Field(default=None, description="The taint; unset with operator Exists: every taint.")
    operator: Literal["Exists", "Equal"] | None = Field(default=None, description="Equal compares the value, too.")
    value: LabelValue | None = Field(default=None, description="The taint's value.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="The effect that is borne; unset: all of them."
    )
    toleration_seconds: int | None = Field(default=None, ge=0, description="How long NoExecute is borne.")


class PodOverlay(Model):
    """A strategic merge patch of the pods' template, for what has no field here. It may not loosen their security."""

    config_map: Name = Field(
        description="ConfigMap in the same namespace; with the label perennial.dev/deployment, whose value is this "
        "object's name, a change is seen at once, otherwise within minutes."
    )
    key: str = Field(
        default="pod.yaml", max_length=253, pattern=r"^[-._a-zA-Z0-9]+$", description="Its entry with the patch (YAML)."
    )


class Tls(Model):
    """TLS on the serving ports; the Secret may be renewed at any time."""

    secret: Name = Field(description="Secret of type kubernetes.io/tls: tls.crt, tls.key, and ca.crt for clients.")
    client_auth: Literal["None", "Required"] = Field(
        default="None", description="Required: clients show a certificate that ca.crt has signed (mTLS)."
    )


class Bearer(Model):
    """Callers show a token: ``Authorization: Bearer <token>``."""

    secret: Name = Field(description="Secret whose every entry is a token, named for who uses it.")


class Tracing(Model):
    """OpenTelemetry traces of requests, by OTLP over HTTP; the W3C context of callers is carried on."""

    endpoint: str = Field(
        max_length=512, pattern=r"^https?://[^\s]+$", description="Collector, such as http://otel-collector:4318."
    )
    sample: float = Field(default=0.1, ge=0, le=1, description="Share of requests without a context that are traced.")


class Requests(Model):
    """What one pod takes upon itself."""

    deadline: PositiveDuration = Field(
        default="10s", description="A request that could not be answered by then gets 504."
    )
    max_body: Quantity = Field(default="4Mi", description="Larger bodies get 413.")
    max_waiting: int = Field(default=128, ge=1, le=10000, description="Beyond so many in waiting, callers get 429.")
    log: bool = Field(default=False, description="Writes a line a request (never what was sent).")


class Predictor(Model):
    """The pods that answer."""

    replicas: int = Field(default=2, ge=1, le=100, description="Pods that serve, without autoscaling.")
    autoscaling: Autoscaling | None = Field(default=None, description="The number of pods follows their load.")
    disruption_budget: DisruptionBudget = DisruptionBudget()
    resources: PredictorResources = PredictorResources()
    grpc: bool = Field(default=False, description="Serves the protocol over gRPC, too (port 8081).")
    tls: Tls | None = None
    bearer: Bearer | None = None
    tracing: Tracing | None = None
    requests: Requests = Requests()
    node_selector: dict[str, LabelValue] = Field(
        default={},
        max_length=20,
        description="Labels of the nodes that will do.",
        json_schema_extra=rules((f"self.all(key, key.matches(r'{_LABEL_KEY}'))", "a key is no label's")),
    )
    tolerations: list[Toleration] = Field(default=[], max_length=20, description="Node taints that the pods bear.")
    topology_spread: list[TopologySpread] = Field(default=[], max_length=5, description="How the pods are spread.")
    priority_class_name: SubdomainName | None = Field(default=None, description="The pods' PriorityClass.")
    image_pull_secrets: list[SubdomainName] = Field(
        default=[], max_length=10, description="Secrets in the same namespace for pulling the predictor's image."
    )
    pod_overlay: PodOverlay | None = None


IN_PLACE = ("replicas", "autoscaling", "disruptionBudget")
"""Wire names of the fields that change what runs without a new revision."""
