"""The candidates of a ModelTraining: the features they see, the estimators, how they are searched."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from perennial.api.common import Column, Model, PositiveDuration, rules
from perennial.api.evaluation import Metric
from perennial.contracts.datetimes import PARTS, USUAL_PARTS, DatetimePart
from perennial.contracts.request import CLASSIFIERS, REGRESSORS, Algorithm

Scalar = Annotated[float | int | str | bool, Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]


class AutoFeatures(Model):
    """Takes every column that may be a feature: not the target, the time, keys, groups, identifiers and constants."""

    exclude: list[Column] = Field(
        default=[],
        max_length=200,
        description="Columns that are left out besides.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class DatetimeFeatureSpec(Model):
    """A column of dates, and what of them the model sees."""

    column: Column = Field(description="Its name.")
    parts: list[DatetimePart] = Field(
        default=list(USUAL_PARTS),
        min_length=1,
        max_length=len(PARTS),
        description="Numbers, one a part: Month and Day from 1, Weekday 1 (Monday) to 7, Hour and Minute in UTC where "
        "the time names an offset, 0 of a date alone.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class TextFeatureSpec(Model):
    """A column of texts, and how many of its terms the model sees."""

    column: Column = Field(description="Its name.")
    max_terms: int = Field(
        default=100,
        ge=1,
        le=500,
        description="The terms that are in the most training rows are taken, so many at most.",
    )
    min_rows: int = Field(default=2, ge=1, le=1_000_000, description="A term is in so many training rows at least.")


class FeaturesSpec(Model):
    """The columns the model sees, and how they reach an estimator."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                (
                    "size(self.numeric) + size(self.categorical) + size(self.datetime) + size(self.text) > 0"
                    " || has(self.auto)"
                ),
                "name at least one feature in numeric, categorical, datetime or text, or give auto",
            ),
            ("self.numeric.all(f, !(f in self.categorical))", "a feature is numeric or categorical, not both"),
            (
                "self.datetime.all(each, !(each.column in self.numeric) && !(each.column in self.categorical))",
                "a feature of datetime is neither numeric nor categorical",
            ),
            (
                (
                    "self.text.all(each, !(each.column in self.numeric) && !(each.column in self.categorical)"
                    " && !self.datetime.exists(other, other.column == each.column))"
                ),
                "a feature of text is neither numeric, categorical nor datetime",
            ),
            (
                "!has(self.fill) || (has(self.imputation) && self.imputation == 'Constant')",
                "fill is for imputation: Constant",
            ),
        )
    )
    numeric: list[Column] = Field(
        default=[],
        max_length=200,
        description="Columns read as numbers.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    categorical: list[Column] = Field(
        default=[],
        max_length=200,
        description="Columns read as categories.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    datetime: list[DatetimeFeatureSpec] = Field(
        default=[],
        max_length=20,
        description="Columns of ISO 8601 dates, with or without a time. Callers send one as text; the model sees its "
        "parts.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["column"]},
    )
    text: list[TextFeatureSpec] = Field(
        default=[],
        max_length=5,
        description="Columns of words, which the model sees by how often each of the usual terms is in them, weighted "
        "by TF-IDF for estimators that depend on scale.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["column"]},
    )
    auto: AutoFeatures | None = None
    imputation: Literal["Median", "Mean", "MostFrequent", "Constant"] | None = Field(
        default=None,
        description="What stands for a missing number. Where unset, the median for estimators that need one; "
        "HistGradientBoosting takes missing numbers as such.",
    )
    fill: float | None = Field(default=None, description="The Constant; 0 where unset.")
    scaling: Literal["Standard", "MinMax", "Robust", "None"] | None = Field(
        default=None,
        description="How numbers are scaled for estimators that depend on it, Standard where unset. Trees see them "
        "unscaled, whatever is said here.",
    )
    encoding: Literal["OneHot", "Ordinal", "Target"] = Field(
        default="OneHot",
        description="How a category becomes numbers: a column each, its place in the alphabet, or the target's mean in "
        "it (fitted across folds).",
    )


class SearchRangeSpec(Model):
    """Values tried for a parameter."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            # The API server's rules do not see choices, a list of anything scalar.
            ("has(self.low) == has(self.high)", "give low and high, or choices"),
            ("!has(self.low) || !has(self.high) || self.low < self.high", "low must be under high"),
            (
                "!has(self.scale) || self.scale != 'Log' || !has(self.low) || self.low > 0.0",
                "a Log scale needs low above 0",
            ),
            ("!has(self.step) || !has(self.scale) || self.scale != 'Log'", "step is for a Linear scale"),
        )
    )
    low: float | None = Field(default=None, description="The smallest value.")
    high: float | None = Field(default=None, description="The greatest value.")
    scale: Literal["Linear", "Log"] | None = Field(
        default=None, description="Even steps (Linear, also where unset) or even ratios (Log)."
    )
    step: float | None = Field(default=None, gt=0, description="Only low, low + step, low + 2 step, …")
    choices: list[Scalar] | None = Field(
        default=None, min_length=1, max_length=50, description="In place of low and high: the values themselves."
    )


class CandidateSpec(Model):
    """An estimator to be tried."""

    algorithm: Algorithm = Field(
        description=f"The estimator; docs/candidates.md lists the parameters. {', '.join(CLASSIFIERS)} are for "
        f"Classification, {', '.join(REGRESSORS)} for Regression, all others for both."
    )
    parameters: dict[str, Scalar] = Field(
        default={}, max_length=20, description="Fixed parameters by the names that scikit-learn gives them."
    )
    search: dict[str, SearchRangeSpec] = Field(
        default={}, max_length=20, description="Parameters to be searched, with their ranges."
    )
    space: Literal["Given", "Builtin"] = Field(
        default="Given",
        description="Builtin: parameters that are neither fixed nor in search are searched in the estimator's own "
        "ranges. Given, the default: they stay as scikit-learn has them.",
    )


class Tuning(Model):
    """How candidates are compared: cross-validation on the training rows."""

    metric: Metric | None = Field(
        default=None,
        description="The figure that decides; where unset, roc_auc for Classification and rmse for Regression.",
    )
    trials: int = Field(default=20, ge=1, le=1000, description="Trials over all candidates together.")
    folds: int = Field(default=5, ge=2, le=20, description="Parts that the training rows are cut into.")
    timeout: PositiveDuration | None = Field(
        default=None,
        description="No trial starts later than this after the first, and one under way ends with its fold. "
        "How many there are then depends on the machine.",
    )
    pruning: Literal["Median", "None"] = Field(
        default="Median",
        description="Median: a trial ends early where its first folds are worse than the median of the trials before.",
    )
    seed: int | None = Field(
        default=None, ge=0, description="Of all that is random in a run; data.split.seed where unset."
    )
