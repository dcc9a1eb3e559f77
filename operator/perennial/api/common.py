"""What the resources share: field types with their limits, metadata, conditions, the base of every object."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from perennial.contracts.names import GROUP

VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


class Model(BaseModel):
    """Base of every part: snake_case here, camelCase in YAML, unknown fields refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def wire(self) -> dict[str, Any]:
        """The object as it stands in YAML, without what is unset."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Status(Model):
    """Base of statuses: unknown fields of an older or newer operator are let pass."""

    model_config = ConfigDict(extra="ignore")


@lru_cache(maxsize=1024)
def seconds(duration: str) -> float:
    """Seconds in a duration such as ``1h30m`` or ``45s``. Raises ValueError otherwise."""
    match = _DURATION.fullmatch(duration)
    if not match or not duration:
        raise ValueError(f"{duration!r} is no duration; write it like 90s, 10m or 1h30m")
    hours, minutes, secs = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + secs)


def _is_duration(text: str) -> str:
    seconds(text)
    return text


def parse_time(text: str) -> datetime:
    """A Kubernetes time (RFC 3339) as an aware datetime."""
    return datetime.fromisoformat(text)


def format_time(moment: datetime) -> str:
    """A Kubernetes time: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """``x-kubernetes-validations`` from (CEL rule, message) pairs, for ``json_schema_extra``."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


# The check comes last: pydantic leaves limits that stand behind a validator out of the JSON schema.
Duration = Annotated[
    str, Field(min_length=2, max_length=16, pattern=r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"), AfterValidator(_is_duration)
]
PositiveDuration = Annotated[
    Duration, Field(json_schema_extra=rules(("duration(self) > duration('0s')", "must be longer than 0s")))
]
Name = Annotated[str, Field(min_length=1, max_length=63, pattern=_DNS_LABEL)]
SubdomainName = Annotated[
    str,
    Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
]
ModelName = Annotated[str, Field(min_length=1, max_length=40, pattern=_DNS_LABEL)]
Column = Annotated[str, Field(min_length=1, max_length=128)]
Quantity = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi)?$")]
Time = Annotated[
    datetime,
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class Condition(Status):
    """One aspect of an object's state, as Kubernetes writes conditions."""

    type: str = Field(max_length=64, description="The aspect, such as Ready.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(max_length=128, description="The cause in one CamelCase word, stable enough to alert on.")
    message: str = Field(default="", max_length=4096, description="The cause for people, with what to do about it.")
    last_transition_time: Time = Field(description="When the status last changed.")
    observed_generation: int | None = Field(default=None, description="The metadata.generation that this is about.")


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=16,
        description="The aspects of the object's state, one of a type.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
Generation = Annotated[int | None, Field(description="The metadata.generation that this status is about.")]
HandledRequest = Annotated[str, Field(max_length=128, description="Id of the last request that was heard.")]
HandledActions = Annotated[
    list[Annotated[str, Field(max_length=128)]],
    Field(max_length=50, description="Ids of the DriftMonitors' actions that were heard, newest first."),
]


class Owner(Status):
    """An owner reference."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""


class Metadata(Status):
    """The part of ObjectMeta that decisions read."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    owner_references: tuple[Owner, ...] = ()


class Object(Model):
    """Base of the four kinds. ``parse`` reads what the API server holds."""

    model_config = ConfigDict(extra="ignore")
    KIND: ClassVar[str]
    PLURAL: ClassVar[str]
    SHORT: ClassVar[str]
    DOC: ClassVar[str]
    COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = ()
    """Printer columns: (title, type, JSON path)."""
    WIDE: ClassVar[tuple[tuple[str, str, str], ...]] = ()
    """Columns that ``-o wide`` has besides."""
    SCALE: ClassVar[dict[str, str]] = {}
    """The paths of the scale subresource."""
    NAME_PATTERN: ClassVar[str] = _DNS_LABEL
    LONGEST_NAME: ClassVar[int] = 63
    """What metadata.name may be: children's names and labels are made of it."""

    metadata: Metadata

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> Self:
        """The object from its JSON. Raises pydantic.ValidationError for what an older CRD let in."""
        return cls.model_validate(raw)

    @property
    def key(self) -> tuple[str, str, str]:
        """(kind, namespace, name)."""
        return self.KIND, self.metadata.namespace, self.metadata.name
