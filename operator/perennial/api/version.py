"""ModelVersion: the registry entry and audit record of one version, written once by the operator."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from perennial.api.common import Condition, Model, ModelName, Name, Object, Status, Time, rules
from perennial.api.training import Metric, Trigger

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ArtifactRecord(Model):
    """A file in the store."""

    uri: str = Field(max_length=2048)
    sha256: Sha256
    size: int = Field(default=0, ge=0, description="Bytes.")


class SliceRecord(Model):
    """Metrics over the held-out rows where column has value."""

    column: str = Field(max_length=128)
    value: str = Field(max_length=128)
    rows: int
    metrics: dict[str, float]


class GateRecord(Model):
    """A gate and its verdict."""

    metric: Metric
    by: str = Field(default="", max_length=128)
    limit: str = Field(max_length=64)
    value: float | None = Field(
        default=None, description="The figure that was judged; the worst slice's where the gate is by column."
    )
    passed: bool
    message: str = Field(default="", max_length=512)


class ChampionRecord(Model):
    """The deployed version of that time on the same held-out rows."""

    version: str = Field(max_length=63)
    metrics: dict[str, float]
    rows: int
    verdict: Literal["Better", "Worse", "Inconclusive"]
    message: str = Field(default="", max_length=512)


class DataRecord(Model):
    """The data that the version was trained on."""

    source: str = Field(max_length=1024)
    sha256: Sha256
    rows: int
    test_rows: int
    columns: list[Annotated[str, Field(max_length=128)]] = Field(max_length=1000)


class SplitRecord(Model):
    """How rows were held out."""

    test: float
    seed: int
    key: list[Annotated[str, Field(max_length=128)]] = Field(default=[], max_length=16)


class Score(Model):
    """The figure to know the version by."""

    metric: Metric
    value: float
    text: str = Field(max_length=64, description="Such as roc_auc 0.912.")


class Record(Model):
    """What is true of the version for ever."""

    model: ModelName
    number: int = Field(ge=1)
    training: Name
    run: int
    run_uid: str = Field(max_length=64, description="UID of the ModelTraining.")
    trigger: Trigger
    created: Time
    algorithm: str = Field(max_length=64)
    parameters: dict[str, str] = Field(description="Chosen parameters, as text.")
    seed: int
    score: Score
    metrics: dict[str, float] = Field(description="On the held-out rows.")
    slices: list[SliceRecord] = Field(default=[], max_length=200)
    gates: list[GateRecord] = Field(default=[], max_length=50)
    champion: ChampionRecord | None = None
    data: DataRecord
    split: SplitRecord
    artifacts: dict[str, ArtifactRecord] = Field(
        description="By file name: model.onnx, signature.json, baseline.json, …"
    )
    result: ArtifactRecord
    image: str = Field(default="", max_length=512, description="Image that the run ran in.")
    pipeline: str = Field(default="", max_length=64, description="SHA-256 of the compiled pipeline.")
    packages: dict[str, str] = Field(default={}, description="Package versions of the run.")
    git_revision: str = Field(default="", max_length=64)


class VersionSpec(Model):
    """A version: its record, which nobody changes, and its approval."""

    record: Record = Field(json_schema_extra=rules(("self == oldSelf", "a version's record cannot be changed")))
    approval: Literal["Pending", "Approved", "Rejected"] = Field(
        description="Only an Approved version is rolled out by version: {latest: Approved}."
    )


class Serving(Status):
    """Where the version serves."""

    deployment: str = Field(max_length=63)
    role: Literal["stable", "canary", "standby"]
    since: Time


class Quarantine(Status):
    """Where the version is kept out."""

    deployment: str = Field(max_length=63)
    reason: str = Field(max_length=512)
    since: Time


class VersionStatus(Status):
    """Where the version stands today."""

    observed_generation: int | None = None
    conditions: list[Condition] = Field(default=[], max_length=16)
    state: str = Field(
        default="", max_length=64, description="For people: Serving, Canary, Standby, Quarantined, Idle."
    )
    serving: list[Serving] = Field(default=[], max_length=50)
    quarantined: list[Quarantine] = Field(default=[], max_length=50)


class ModelVersion(Object):
    """A ModelVersion as the API server holds it."""

    KIND: ClassVar[str] = "ModelVersion"
    PLURAL: ClassVar[str] = "modelversions"
    SHORT: ClassVar[str] = "mv"
    DOC: ClassVar[str] = (
        "A registered version of a model: where it came from, how good it is, where it serves. Written once, by the operator."
    )
    COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("Model", "string", ".spec.record.model"),
        ("Score", "string", ".spec.record.score.text"),
        ("Approval", "string", ".spec.approval"),
        ("State", "string", ".status.state"),
        ("Trigger", "string", ".spec.record.trigger.type"),
        ("Rows", "integer", ".spec.record.data.rows"),
        ("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: VersionSpec
    status: VersionStatus = VersionStatus()
