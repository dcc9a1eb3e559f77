"""ModelVersion: the registry entry and audit record of one version, written once by the operator."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from perennial.api.common import Conditions, Generation, Model, ModelName, Name, Object, Status, Time, rules
from perennial.api.evaluation import FairnessMetric, Metric
from perennial.api.run import Trigger
from perennial.contracts.result import ColumnType

Sha256 = Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the content, hex.")]
Metrics = Annotated[dict[str, float], Field(max_length=50, description="Figures by name.")]
Text = Annotated[str, Field(max_length=256)]


class ArtifactRecord(Model):
    """A file in the store."""

    uri: str = Field(max_length=2048, description="Its address.")
    sha256: Sha256
    size: int = Field(default=0, ge=0, description="Bytes.")


class SliceRecord(Model):
    """Metrics over the held-out rows where column has value."""

    column: str = Field(max_length=128, description="The column.")
    value: str = Field(max_length=128, description="Its value in these rows.")
    rows: int = Field(description="How many rows they are.")
    metrics: Metrics


class GateRecord(Model):
    """A gate and its verdict."""

    metric: FairnessMetric = Field(description="The figure that was bounded.")
    by: str = Field(
        default="", max_length=128, description="The column whose every value had to hold it, or was compared."
    )
    limit: str = Field(max_length=64, description="The bound, as text.")
    value: float | None = Field(
        default=None,
        description="The figure that was judged; the worst slice's where the gate is by column, and what lies between "
        "the slices where it is of fairness.",
    )
    passed: bool = Field(description="The verdict.")
    message: str = Field(default="", max_length=512, description="The verdict for people.")


class IntervalRecord(Model):
    """Where a figure lies with 95 %, by bootstrap over the held-out rows."""

    low: float = Field(description="Its lower end.")
    high: float = Field(description="Its upper end.")


class GainRecord(Model):
    """By how much the version was better than the champion; worse where it is negative."""

    metric: Metric = Field(description="The figure that they were compared by.")
    value: float = Field(description="The gain.")
    low: float = Field(description="Lower end of its 95 % interval.")
    high: float = Field(description="Upper end of its 95 % interval.")
    probability: float = Field(description="That of a gain of more than minImprovement.")
    method: Literal["PairedBootstrap", "McNemar"] = Field(description="Where the probability is from.")


class ChampionRecord(Model):
    """The deployed version of that time on the same held-out rows."""

    version: str = Field(max_length=63, description="That version.")
    metrics: Metrics
    rows: int = Field(description="The rows that both were judged on.")
    verdict: Literal["Better", "Worse", "Unproven", "Inconclusive"] = Field(
        description="How the new version did against it. Unproven: better, but not with the confidence asked for."
    )
    gain: GainRecord | None = None
    message: str = Field(default="", max_length=512, description="The verdict for people.")


class FeatureViewRecord(Model):
    """A feature view of Feast as it was read."""

    name: str = Field(max_length=256, description="The view.")
    version: int | None = Field(default=None, description="Its number, where the registry numbers versions.")
    sha256: Sha256
    updated: str = Field(default="", max_length=35, description="When its definition was last applied.")


class FeastRecord(Model):
    """The features that were read of a Feast repository."""

    project: str = Field(max_length=256, description="The repository's project.")
    service: str = Field(default="", max_length=256, description="The feature service that named them, if one did.")
    features: list[Annotated[str, Field(max_length=256)]] = Field(max_length=1000, description="Each as view:feature.")
    views: list[FeatureViewRecord] = Field(
        max_length=200,
        description="Their views, and those that an on-demand view is computed from; sha256 is of the definition.",
    )


class DataRecord(Model):
    """The data that the version was trained on."""

    source: str = Field(
        max_length=1024,
        description="Address, or the Secret of the connection and the query, or that of a Feast repository, what was "
        "read of it, and the entity rows.",
    )
    sha256: Sha256
    rows: int = Field(description="Rows in all.")
    test_rows: int = Field(description="Rows held out.")
    columns: list[Annotated[str, Field(max_length=128)]] = Field(max_length=1000, description="Columns.")
    types: list[ColumnType] = Field(
        default=[],
        max_length=1000,
        description="What their cells are, in the same order. Empty: every cell is missing.",
    )
    feast: FeastRecord | None = None


class ByTimeRecord(Model):
    """The time from which rows were held out."""

    column: str = Field(max_length=128, description="The column that said when a row was, as it was read.")
    from_: str = Field(alias="from", max_length=35, description="The time.")


class SplitRecord(Model):
    """How rows were held out; columns as they were read, before any rename."""

    test: float = Field(description="Share held out.")
    seed: int = Field(description="What the hash was salted with.")
    key: list[Annotated[str, Field(max_length=128)]] = Field(
        default=[], max_length=16, description="Columns that identify a row; the whole row where empty."
    )
    group: str | None = Field(default=None, max_length=128, description="Column whose equal rows belong together.")
    by_time: ByTimeRecord | None = None


class Score(Model):
    """The figure to know the version by."""

    metric: Metric = Field(description="The figure's name.")
    value: float = Field(description="The figure.")
    text: str = Field(max_length=64, description="Such as roc_auc 0.912.")


class MLflowRecord(Model):
    """What MLflow knows the run as."""

    run: str = Field(max_length=64, description="The run's id.")
    url: str = Field(max_length=2048, description="Its page.")
    version: str = Field(max_length=32, description="The registered version of the model there.")


class LeaderboardRow(Model):
    """A candidate at its best, cross-validated on the training rows."""

    algorithm: str = Field(max_length=64, description="The estimator.")
    score: float = Field(description="Mean of the tuned metric over the folds.")
    deviation: float = Field(description="Standard deviation over the folds.")
    trials: int = Field(description="How many settings of it were tried.")
    parameters: dict[str, Text] = Field(default={}, max_length=50, description="The best setting, as text.")


class Record(Model):
    """What is true of the version for ever."""

    model: ModelName = Field(description="The model.")
    number: int = Field(ge=1, description="Versions of a model are counted from 1.")
    training: Name = Field(description="The ModelTraining that made it.")
    run: int = Field(description="Number of that training's run.")
    run_uid: str = Field(max_length=64, description="UID of the ModelTraining.")
    trigger: Trigger
    created: Time = Field(description="When it was registered.")
    algorithm: str = Field(max_length=64, description="The estimator that won.")
    parameters: dict[str, Text] = Field(max_length=50, description="Its parameters, as text.")
    seed: int = Field(description="What the run's randomness was seeded with.")
    score: Score
    leaderboard: list[LeaderboardRow] = Field(
        default=[], max_length=5, description="The best candidates of the run, the winner first."
    )
    metrics: dict[str, float] = Field(max_length=50, description="Figures on the held-out rows.")
    intervals: dict[str, IntervalRecord] = Field(
        default={}, max_length=50, description="How sure they are, where the rows suffice to say so."
    )
    slices: list[SliceRecord] = Field(default=[], max_length=200, description="Figures on parts of these rows.")
    gates: list[GateRecord] = Field(default=[], max_length=70, description="The gates that it had to pass.")
    champion: ChampionRecord | None = None
    data: DataRecord
    split: SplitRecord
    artifacts: dict[str, ArtifactRecord] = Field(
        max_length=50, description="By file name: model.onnx, signature.json, baseline.json, …"
    )
    result: ArtifactRecord = Field(description="The run's own account, result.json.")
    image: str = Field(default="", max_length=512, description="Image that the run ran in.")
    pipeline: str = Field(default="", max_length=64, description="SHA-256 of the compiled pipeline.")
    packages: dict[str, Text] = Field(default={}, max_length=500, description="Package versions of the run.")
    mlflow: MLflowRecord | None = None
    approval: Literal["", "Automatic", "Manual"] = Field(
        default="", description="Who was to approve it: nobody once its gates passed, or a person."
    )
    git_revision: str = Field(default="", max_length=64, description="Git revision of the training, where known.")


class VersionSpec(Model):
    """A version: its record, which nobody changes, and its approval."""

    record: Record = Field(json_schema_extra=rules(("self == oldSelf", "a version's record cannot be changed")))
    approval: Literal["Pending", "Approved", "Rejected"] = Field(
        description="Only an Approved version is rolled out by version: {latest: Approved}."
    )


class Serving(Status):
    """Where the version serves."""

    deployment: str = Field(max_length=63, description="The ModelDeployment.")
    role: Literal["stable", "canary", "standby"] = Field(description="What it is there.")
    since: Time = Field(description="Since when.")


class Quarantine(Status):
    """Where the version is kept out."""

    deployment: str = Field(max_length=63, description="The ModelDeployment.")
    reason: str = Field(max_length=512, description="Why.")
    since: Time = Field(description="Since when.")


class VersionStatus(Status):
    """Where the version stands today."""

    observed_generation: Generation = None
    conditions: Conditions = Field(default=[])
    state: str = Field(
        default="", max_length=64, description="For people: Serving, Canary, Standby, Quarantined, Idle."
    )
    serving: list[Serving] = Field(default=[], max_length=50, description="Where it is in use.")
    quarantined: list[Quarantine] = Field(default=[], max_length=50, description="Where it is kept out.")


class ModelVersion(Object):
    """A ModelVersion as the API server holds it."""

    KIND: ClassVar[str] = "ModelVersion"
    PLURAL: ClassVar[str] = "modelversions"
    SHORT: ClassVar[str] = "mv"
    DOC: ClassVar[str] = (
        "A registered version of a model: where it came from, how good it is, where it serves. "
        "Written once, by the operator."
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
