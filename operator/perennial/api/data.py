"""The data of a ModelTraining: where the rows are, what must hold of them, how they are split."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from perennial.api.common import Column, Duration, Model, SubdomainName, rules
from perennial.api.prepare import Preparation, ValueType


class ConnectionSecret(Model):
    """The entry of a Secret in the training's namespace that holds the connection's URL."""

    name: SubdomainName = Field(description="The Secret.")
    key: str = Field(
        default="url",
        min_length=1,
        max_length=253,
        pattern=r"^[-._a-zA-Z0-9]+$",
        description="Its entry: a SQLAlchemy URL, such as postgresql://user:password@host:5432/database.",
    )


class SqlSpec(Model):
    """A query of a database."""

    connection_secret: ConnectionSecret
    query: str = Field(
        min_length=1,
        max_length=8192,
        description="One SELECT. The columns that it gives are the data's; the order of its rows means nothing.",
    )


class StoreSecret(Model):
    """The entry of a Secret in the training's namespace that holds the configuration of a Feast repository."""

    name: SubdomainName = Field(description="The Secret.")
    key: str = Field(
        default="feature_store.yaml",
        min_length=1,
        max_length=253,
        pattern=r"^[-._a-zA-Z0-9]+$",
        description="Its entry: a feature_store.yaml, with the address of the registry and of the offline store.",
    )


class EntityRows(Model):
    """The rows that features are looked up for: their entities' join keys, event_timestamp, and what else is to be in
    the data, such as the target.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.uri) != has(self.sql)", "give one of uri and sql"),
            ("has(self.uri) || self.format == 'CSV'", "format is that of the files at uri; sql has none"),
        )
    )
    uri: str | None = Field(
        default=None,
        min_length=8,
        max_length=1024,
        pattern=r"^(s3|gs|az|https?|file)://.+",
        description="Address of files, as data.source.uri has one.",
    )
    format: Literal["CSV", "Parquet"] = Field(
        default="CSV", description="How the files are written: CSV in UTF-8 with a header line, or Parquet."
    )
    sql: SqlSpec | None = None


class FeastSpec(Model):
    """Historical features of a Feast repository, as they were known at the event_timestamp of each row."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("(size(self.features) > 0) != has(self.featureService)", "give one of features and featureService")
        )
    )
    store_secret: StoreSecret
    features: list[Annotated[str, Field(max_length=256, pattern=r"^[^:\s]+:[^:\s]+$")]] = Field(
        default=[],
        max_length=500,
        description="Features, each as view:feature, or view@v2:feature of a version of the view.",
    )
    feature_service: str | None = Field(
        default=None, min_length=1, max_length=256, description="A feature service: all features that it names."
    )
    full_feature_names: bool = Field(
        default=False, description="Columns are named view__feature, and not by the feature alone."
    )
    entities: EntityRows
    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="Image that reads the repository, made from the operator's own one; that where unset.",
    )


class Source(Model):
    """Where the rows are: files, a query of a database, or the features of a Feast repository."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.uri), has(self.sql), has(self.feast)].filter(given, given).size() == 1",
                "give one of uri, sql and feast",
            ),
            ("has(self.uri) || self.format == 'CSV'", "format is that of the files at uri; sql and feast have none"),
        )
    )
    uri: str | None = Field(
        default=None,
        min_length=8,
        max_length=1024,
        pattern=r"^(s3|gs|az|https?|file)://.+",
        description="Address of the data. In an object store it may hold *, ? and […], which match within a segment. "
        "It is read with the credentials in the namespace's Secret perennial-store.",
    )
    format: Literal["CSV", "Parquet"] = Field(
        default="CSV", description="How the files are written: CSV in UTF-8 with a header line, or Parquet."
    )
    sql: SqlSpec | None = None
    feast: FeastSpec | None = None


class Positive(Model):
    """Which values of the target count as the positive class, 1."""

    model_config = ConfigDict(
        json_schema_extra=rules(("has(self.above) != has(self.equals)", "give one of above and equals"))
    )
    above: float | None = Field(default=None, description="Positive where the value is greater than this.")
    equals: str | None = Field(default=None, max_length=128, description="Positive where the value is this text.")


class TargetColumn(Model):
    """What is to be predicted."""

    column: Column = Field(description="The column that holds the truth.")
    positive: Positive | None = Field(
        default=None,
        description="Makes the target binary; without it each value is a class. "
        "A Regression has none: its target is a number.",
    )


class DataCheck(Model):
    """A condition that the data must hold before anything is trained on it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                (
                    "has(self.type) || has(self.min) || has(self.max) || has(self.maxMissing) || has(self.allowed)"
                    " || has(self.pattern) || has(self.unique) && self.unique"
                ),
                "give at least one of type, min, max, maxMissing, allowed, pattern, unique",
            ),
            ("!has(self.min) || !has(self.max) || self.min <= self.max", "min must not be above max"),
            (
                "!has(self.type) || self.type in ['Number', 'Integer'] || !has(self.min) && !has(self.max)",
                "min and max are for numbers: type must be Number or Integer",
            ),
            # A pattern that is none makes the rule itself fail, and its error says why; "or true" would forget it.
            ("!has(self.pattern) || (''.matches(self.pattern) ? true : true)", "pattern must be a regular expression"),
        )
    )
    column: Column = Field(description="The column that is checked.")
    type: ValueType | None = Field(
        default=None,
        description="What every value must be. Number: finite; Integer: whole; Boolean: true, false, yes, no, 1 or 0; "
        "Datetime: ISO 8601 or Unix seconds; Text: no number.",
    )
    min: float | None = Field(default=None, description="No value may be smaller.")
    max: float | None = Field(default=None, description="No value may be greater.")
    max_missing: float | None = Field(default=None, ge=0, le=1, description="Largest share of missing values, 0 to 1.")
    allowed: list[Annotated[str, Field(max_length=128)]] | None = Field(
        default=None, max_length=100, description="The only values there may be."
    )
    pattern: str | None = Field(
        default=None,
        max_length=256,
        description="A regular expression (RE2) that every value must match from its beginning to its end.",
    )
    unique: bool = Field(default=False, description="No value may occur twice.")


class RequireSpec(Model):
    """How many rows there must be."""

    min_rows: int | None = Field(default=None, ge=1, description="In all; 20 where unset.")
    min_rows_per_class: int | None = Field(
        default=None, ge=1, description="Of every class; one a fold where unset. For Classification."
    )


class ByTimeSpec(Model):
    """Holds out the rows from a time on."""

    column: Column | None = Field(default=None, description="The column that says when a row was; data.time if unset.")
    from_: str = Field(
        alias="from",
        max_length=35,
        pattern=r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2}))?$",
        description="Rows of this time and later are held out: a date (2026-05-31, in UTC) or a time "
        "(2026-05-31T12:00:00Z).",
        json_schema_extra=rules(
            ("timestamp(self.size() == 10 ? self + 'T00:00:00Z' : self).getFullYear() > 0", "must be a date or a time")
        ),
    )


class SplitSpec(Model):
    """How rows are held out: by a hash of their key and the seed, so that a row once held out stays held out.

    Every class is held out in about the same share: in expectation, as each row is held out by its own hash.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!has(self.group) || size(self.key) == 0", "give one of key and group"),
            (
                "!has(self.byTime) || (!has(self.group) && size(self.key) == 0)",
                "byTime holds rows out by their time alone: key and group have no say in it",
            ),
        )
    )
    test: float = Field(default=0.25, gt=0, lt=1, description="Share of rows held out; byTime has no use for it.")
    seed: int = Field(
        default=7,
        ge=0,
        description="Changes which rows are held out; changing it makes champion comparisons inconclusive.",
    )
    key: list[Column] = Field(
        default=[], max_length=16, description="Columns that identify a row; the whole row where empty."
    )
    group: Column | None = Field(
        default=None,
        description="A column whose equal rows belong together, such as a patient: they are all held out or none, and "
        "are in one fold of cross-validation.",
    )
    by_time: ByTimeSpec | None = None


class DataSpec(Model):
    """The rows, what is predicted, what must hold of them, and how they are split."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.split.byTime) || has(self.split.byTime.column) || has(self.time)",
                "split.byTime needs a column: its own, or data.time",
            )
        )
    )
    source: Source
    target: TargetColumn
    checks: list[DataCheck] = Field(
        default=[], max_length=200, description="What the data must hold; a run on data that does not is refused."
    )
    require: RequireSpec | None = None
    prepare: Preparation = Field(default=[])
    split: SplitSpec = SplitSpec()
    time: Column | None = Field(
        default=None,
        description="A column that says when a row was: ISO 8601 dates (2026-05-31, with or without a time; UTC where "
        "no zone is named) or Unix seconds. The baseline is then counted by time too, and a DriftMonitor learns from "
        "it how much the data varies by itself.",
    )
    poll: Duration | None = Field(
        default=None,
        description="The data are looked at so often; a run starts when their content has changed. At least 1m.",
        json_schema_extra=rules(("duration(self) >= duration('1m')", "must be at least 1m")),
    )
