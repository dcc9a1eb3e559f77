"""The preparation of a ModelTraining's data: an ordered list of steps, each keyed by its name."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from perennial.api.common import Column, Model, rules

ValueType = Literal["Number", "Integer", "Text", "Boolean", "Datetime"]
Cell = Annotated[str, Field(max_length=128)]

VALUE_STEPS = ("clip", "log", "ratio", "bucket")
_STEPS = ("dropDuplicates", "filter", "cast", "rename", *VALUE_STEPS)


class DropDuplicatesSpec(Model):
    """Keeps one of the rows that are equal; which one does not depend on the order of rows and files."""

    columns: list[Column] = Field(
        default=[],
        max_length=16,
        description="The columns in which rows are compared; all of them where empty.",
    )


class FilterSpec(Model):
    """Keeps the rows whose cell holds all that is given here."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                (
                    "has(self.equals) || has(self.notEquals) || has(self.min) || has(self.max)"
                    " || has(self.missing) && self.missing == 'Drop'"
                ),
                "give at least one of equals, notEquals, min, max, missing: Drop",
            ),
            ("!has(self.min) || !has(self.max) || self.min <= self.max", "min must not be above max"),
        )
    )
    column: Column = Field(description="The column.")
    equals: Cell | None = Field(default=None, description="Keeps this value alone.")
    not_equals: Cell | None = Field(default=None, description="Drops this value.")
    min: float | None = Field(default=None, description="Drops what is smaller, and text.")
    max: float | None = Field(default=None, description="Drops what is greater, and text.")
    missing: Literal["Keep", "Drop"] = Field(default="Keep", description="What becomes of rows whose cell is missing.")


class CastSpec(Model):
    """Reads a column as another type and writes it in one way."""

    column: Column = Field(description="The column.")
    type: ValueType = Field(
        description="Number; Integer; Text; Boolean: true, false, yes, no, 1, 0 become 1 and 0; "
        "Datetime: ISO 8601 becomes Unix seconds."
    )
    invalid: Literal["Reject", "Missing"] = Field(
        default="Reject", description="What becomes of a value that is none: the run fails, or it counts as missing."
    )


class RenameSpec(Model):
    """Gives a column another name, by which all other fields, and callers of the model, know it."""

    model_config = ConfigDict(json_schema_extra=rules(("self.from != self.to", "from and to must differ")))
    from_: Column = Field(alias="from", description="The name in the data.")
    to: Column = Field(description="The name from here on.")


class ClipSpec(Model):
    """Moves what is out of bounds to the bound."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.min) || has(self.max)", "give at least one of min and max"),
            ("!has(self.min) || !has(self.max) || self.min < self.max", "min must be under max"),
        )
    )
    column: Column = Field(description="A numeric feature.")
    min: float | None = Field(default=None, description="The smallest value that is left.")
    max: float | None = Field(default=None, description="The greatest value that is left.")


class LogSpec(Model):
    """The natural logarithm of value + offset; missing where that is not above 0."""

    column: Column = Field(description="A numeric feature.")
    offset: float = Field(default=0, description="What is added before; 1 where there are zeros.")


class RatioSpec(Model):
    """A further input to the model, that callers do not send; missing where the denominator is 0."""

    name: Column = Field(description="Its name: no feature has it.")
    numerator: Column = Field(description="A numeric feature.")
    denominator: Column = Field(description="A numeric feature.")


class BucketSpec(Model):
    """Makes a category of a number: how many of the edges it reaches."""

    model_config = ConfigDict(json_schema_extra=rules(("self.edges.isSorted()", "edges must ascend")))
    column: Column = Field(description="A numeric feature.")
    edges: list[float] = Field(
        min_length=1,
        max_length=50,
        description="Ascending; a value that is an edge belongs to the bucket that begins there.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class PrepareStep(Model):
    """One step."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"[{', '.join(f'has(self.{step})' for step in _STEPS)}].filter(given, given).size() == 1",
                f"a step is one of {', '.join(_STEPS)}",
            )
        )
    )
    drop_duplicates: DropDuplicatesSpec | None = Field(default=None, description="On rows.")
    filter: FilterSpec | None = Field(default=None, description="On rows.")
    cast: CastSpec | None = Field(default=None, description="On rows.")
    rename: RenameSpec | None = Field(default=None, description="On rows.")
    clip: ClipSpec | None = Field(default=None, description="On values.")
    log: LogSpec | None = Field(default=None, description="On values.")
    ratio: RatioSpec | None = Field(default=None, description="On values.")
    bucket: BucketSpec | None = Field(default=None, description="On values.")


_IS_VALUE_STEP = " || ".join(f"has(step.{name})" for name in VALUE_STEPS)
Preparation = Annotated[
    list[PrepareStep],
    Field(
        max_length=50,
        description="What is done before training, in this order: first steps on rows (dropDuplicates, filter, cast, "
        "rename), in training alone; then steps on values (clip, log, ratio, bucket), which become a part of the model "
        "and are done to each prediction's values alike.",
        json_schema_extra=rules(
            (
                f"self.map(step, {_IS_VALUE_STEP}).isSorted()",
                "steps on rows (dropDuplicates, filter, cast, rename) come before those on values",
            )
        ),
    ),
]
