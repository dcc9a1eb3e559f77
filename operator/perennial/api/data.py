"""The data of a ModelTraining: where the rows are, what must hold of them, how they are split."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from perennial.api.common import Column, Model, rules


class Source(Model):
    """Where the rows are."""

    uri: str = Field(
        min_length=8,
        max_length=1024,
        pattern=r"^(s3|gs|az|https?|file)://.+",
        description="Address of the data; its last part may hold * and ?. "
        "It is read with the credentials in the namespace's Secret perennial-store.",
    )
    format: Literal["CSV"] = Field(default="CSV", description="How the files are written: CSV with a header line.")


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
                "has(self.min) || has(self.max) || has(self.maxMissing) || has(self.allowed)",
                "give at least one of min, max, maxMissing, allowed",
            ),
            ("!has(self.min) || !has(self.max) || self.min <= self.max", "min must not be above max"),
        )
    )
    column: Column = Field(description="The column that is checked.")
    min: float | None = Field(default=None, description="No value may be smaller.")
    max: float | None = Field(default=None, description="No value may be greater.")
    max_missing: float | None = Field(default=None, ge=0, le=1, description="Largest share of missing values, 0 to 1.")
    allowed: list[Annotated[str, Field(max_length=128)]] | None = Field(
        default=None, max_length=100, description="The only values there may be."
    )


class SplitSpec(Model):
    """How rows are held out: by a hash of their key and the seed, so that a row once held out stays held out."""

    test: float = Field(default=0.25, gt=0, lt=1, description="Share of rows held out.")
    seed: int = Field(
        default=7,
        ge=0,
        description="Changes which rows are held out; changing it makes champion comparisons inconclusive.",
    )
    key: list[Column] = Field(
        default=[], max_length=16, description="Columns that identify a row; the whole row where empty."
    )


class DataSpec(Model):
    """The rows, what is predicted, what must hold of them, and how they are split."""

    source: Source
    target: TargetColumn
    checks: list[DataCheck] = Field(
        default=[], max_length=200, description="What the data must hold; a run on data that does not is refused."
    )
    split: SplitSpec = SplitSpec()
    time: Column | None = Field(
        default=None,
        description="A column that says when a row was: ISO 8601 dates (2026-05-31, with or without a time; UTC where "
        "no zone is named) or Unix seconds. The baseline is then counted by time too, and a DriftMonitor learns from "
        "it how much the data varies by itself.",
    )
