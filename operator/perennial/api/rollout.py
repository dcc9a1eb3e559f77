"""How the next version takes over: strategy, steps, analysis, traffic, and the way back."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue

from perennial.api.common import Duration, Model, Name, PositiveDuration, rules

_HOLD_OR_PAUSE = rules(("has(self.hold) != has(self.pause)", "give one of hold and pause"))

Limit = Annotated[float | str | None, Field(json_schema_extra={"pattern": r"^-?[0-9]+(\.[0-9]+)?(ms|s)?$"})]


class Pause(Model):
    """Until a person promotes: ``pause: {}``."""


class Step(Model):
    """A stage of a canary: its share of the traffic, and how long it is watched there."""

    model_config = ConfigDict(json_schema_extra=_HOLD_OR_PAUSE)
    weight: int = Field(ge=0, le=99, description="Percent of requests for the new version.")
    hold: Duration | None = Field(default=None, description="How long it is watched at this weight, such as 5m.")
    pause: Pause | None = Field(default=None, description="Stays at this weight until a person promotes.")


class Preview(Model):
    """How long the new version is looked at behind the Service ``<name>-preview`` before it takes all requests."""

    model_config = ConfigDict(json_schema_extra=_HOLD_OR_PAUSE)
    hold: Duration | None = Field(default=None, description="So long once it is ready, such as 5m.")
    pause: Pause | None = Field(default=None, description="Until a person promotes.")


class Shadow(Model):
    """The stable version's pods send copies of requests to the new one and compare its answers with theirs."""

    model_config = ConfigDict(json_schema_extra=_HOLD_OR_PAUSE)
    share: int = Field(default=100, ge=1, le=100, description="Percent of requests that are copied.")
    hold: Duration | None = Field(default=None, description="How long answers are compared, such as 10m.")
    pause: Pause | None = Field(default=None, description="Until a person promotes.")


class Header(Model):
    """A request header and its value."""

    name: str = Field(
        min_length=1, max_length=256, pattern=r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$", description="The header."
    )
    value: str = Field(min_length=1, max_length=4096, description="Its exact value.")


class Match(Model):
    """Requests that always go to the new version while it is rolled out (A/B), whatever the weight."""

    headers: list[Header] = Field(min_length=1, max_length=16, description="All of these must match.")


BuiltinName = Literal[
    "ErrorRate", "LatencyP50", "LatencyP99", "Throughput", "PredictionShift", "Agreement", "Performance"
]


# CEL does not see fields without a type, such as a bound that is a number or a time.
_BOUNDED: list[JsonValue] = [
    {"anyOf": [{"required": ["max"]}, {"required": ["min"]}, {"required": ["maxDrop"]}]},
    {"anyOf": [{"required": ["max"]}, {"not": {"required": ["failAbove"]}}]},
    {"anyOf": [{"required": ["min"]}, {"not": {"required": ["failBelow"]}}]},
]


_OF_PERFORMANCE = "has(self.builtin) && self.builtin == 'Performance'"


class AnalysisMetric(Model):
    """A figure of the new version, and its bounds: max, min or both, or (of Performance) maxDrop.

    Between a bound and failAbove or failBelow it is inconclusive.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.builtin) != has(self.query)", "give one of builtin and query"),
            (f"!has(self.metric) || ({_OF_PERFORMANCE})", "metric goes with builtin Performance"),
            (f"!has(self.maxDrop) || ({_OF_PERFORMANCE})", "maxDrop goes with builtin Performance"),
        )
        | {"allOf": _BOUNDED}
    )
    name: Name = Field(description="What the status calls it.")
    builtin: BuiltinName | None = Field(
        default=None,
        description="ErrorRate: share of answers that are the server's errors. LatencyP50, LatencyP99: the time in "
        "which 50 or 99 % of requests are answered. Throughput: requests a second. PredictionShift: population "
        "stability index of its predictions against the stable version's over the same time. Agreement: share of "
        "copied rows that both versions answer alike (Shadow): with the same class, or with numbers no further apart "
        "than 5 % of the spread. Performance: how good predictions turn out to be by their labels, see metric.",
    )
    metric: Literal["accuracy", "mae", "rmse"] | None = Field(
        default=None,
        description="What Performance is. accuracy (which it is where unset): share of predictions that the labels "
        "confirm, of a Classification. mae, rmse: mean absolute or root mean squared error, in the target's unit, of "
        "a Regression; lower is better.",
    )
    query: str | None = Field(
        default=None,
        min_length=1,
        max_length=2048,
        description="Any PromQL with one value as its result. {{deployment}}, {{version}}, {{revision}}, {{stable}}, "
        "{{namespace}}, {{name}} and {{interval}} are filled in.",
    )
    max: Limit = Field(
        default=None,
        description="Largest good value: a number, or a time such as 50ms or 1.5s (a bare number is seconds).",
    )
    min: Limit = Field(default=None, description="Smallest good value.")
    max_drop: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="In place of bounds: how much worse than the stable version's labels of the same time Performance "
        "may be. Of accuracy the largest drop, absolute; of an error the largest rise as a share of the stable "
        "version's: 0.1 lets an mae of 44 pass where the stable version's is 40.",
    )
    fail_above: Limit = Field(default=None, description="Values above it are bad (needs max).")
    fail_below: Limit = Field(default=None, description="Values below it are bad (needs min).")


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
        default=20,
        ge=1,
        description="Fewer requests to the new version in an interval (compared rows for Agreement, labels for "
        "Performance) are no data.",
    )
    failure_limit: int = Field(
        default=1, ge=0, le=100, description="So many failed measurements are let pass; one more ends the rollout."
    )
    inconclusive_limit: int = Field(
        default=3,
        ge=0,
        le=100,
        description="So many inconclusive measurements are waited out; with one more it pauses until a person decides.",
    )
    no_data_limit: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="So many intervals in a row without data are waited out; one more ends the rollout. Unset: it "
        "waits for as long as it takes.",
    )
    on_no_data: Literal["Pause"] = Field(
        default="Pause", description="What an interval without data does: the rollout stays where it is."
    )


_ONLY_SHADOW_AGREES = (
    "self.strategy == 'Shadow' || !self.analysis.metrics.exists(m, has(m.builtin) && m.builtin == 'Agreement')"
)
# Steps, a preview and a shadow are what lasts: without them nothing is measured before the promotion.
_MEASURED = "size(self.analysis.metrics) == 0 || has(self.preview) || has(self.shadow) || size(self.steps) > 0"


class Rollout(Model):
    """How the next version takes over."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.strategy == 'Canary' || !has(self.steps) || size(self.steps) == 0", "steps are a Canary's"),
            ("self.strategy == 'Canary' || !has(self.match)", "match is a Canary's"),
            ("self.strategy == 'BlueGreen' || !has(self.preview)", "preview is a BlueGreen's"),
            ("self.strategy == 'Shadow' || !has(self.shadow)", "shadow is a Shadow's"),
            ("self.strategy != 'Shadow' || has(self.shadow)", "strategy Shadow needs shadow, such as {hold: 10m}"),
            (
                _MEASURED,
                "metrics are measured in steps, a preview or a shadow: add the strategy's, or leave the metrics out",
            ),
            (_ONLY_SHADOW_AGREES, "Agreement is measured by strategy Shadow only"),
        )
    )
    strategy: Literal["Canary", "BlueGreen", "Shadow", "Recreate"] = Field(
        default="Canary",
        description="Canary: a growing share of the requests goes to the new version. BlueGreen: the new version "
        "stands complete behind a preview Service, then takes all requests at once. Shadow: it answers copies of "
        "requests, then takes all. Recreate: the old version ends before the new one starts; nothing answers "
        "in between.",
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
    match: Match | None = None
    preview: Preview | None = None
    shadow: Shadow | None = None
    analysis: Analysis = Analysis()
    progress_deadline: PositiveDuration = Field(
        default="10m", description="A new version that is not ready by then is given up."
    )


class ParentRef(Model):
    """A Gateway (Gateway API) that the platform runs."""

    name: str = Field(min_length=1, max_length=253, description="The Gateway.")
    namespace: Name | None = Field(default=None, description="Its namespace; unset: the same.")
    section_name: str | None = Field(default=None, max_length=253, description="One of its listeners; unset: all.")


Hostname = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    ),
]


class Traffic(Model):
    """How requests are shared between versions."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("(self.provider == 'Gateway') == has(self.parentRef)", "parentRef goes with provider Gateway"),
            (
                "self.provider == 'Gateway' || !has(self.hostnames) || size(self.hostnames) == 0",
                "hostnames go with provider Gateway",
            ),
        )
    )
    provider: Literal["Replicas", "Gateway"] = Field(
        default="Replicas",
        description="Replicas: by the number of ready pods behind one Service. Gateway: by the weights of an HTTPRoute "
        "(Gateway API).",
    )
    parent_ref: ParentRef | None = None
    hostnames: list[Hostname] = Field(default=[], max_length=16, description="Hosts that the HTTPRoute answers for.")


class Standby(Model):
    """The version before stays warm."""

    keep: Duration = Field(
        default="30m", description="How long its pods are kept after a promotion: going back then starts nothing."
    )


class Rollback(Model):
    """How far back one may go."""

    max_age_days: int | None = Field(
        default=None,
        ge=1,
        le=3650,
        description="Versions that served last longer ago are not gone back to; unset: any that was promoted here.",
    )
