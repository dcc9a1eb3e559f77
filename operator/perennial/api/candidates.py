"""The candidates of a ModelTraining: the features they see, the estimators, how they are searched."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from perennial.api.common import Column, Model, rules
from perennial.api.evaluation import Metric

Scalar = Annotated[float | int | str | bool, Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]


class FeaturesSpec(Model):
    """The columns the model sees."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("size(self.numeric) + size(self.categorical) > 0", "name at least one feature in numeric or categorical"),
            ("self.numeric.all(f, !(f in self.categorical))", "a feature is numeric or categorical, not both"),
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


class SearchRangeSpec(Model):
    """Values tried for a parameter."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.low < self.high", "low must be under high"),
            ("self.scale != 'Log' || self.low > 0.0", "a Log scale needs low above 0"),
        )
    )
    low: float = Field(description="The smallest value.")
    high: float = Field(description="The greatest value.")
    scale: Literal["Linear", "Log"] = Field(description="Even steps (Linear) or even ratios (Log).")


class CandidateSpec(Model):
    """An estimator to be tried."""

    algorithm: Literal["LogisticRegression", "HistGradientBoosting", "Ridge"] = Field(
        description="The estimator: LogisticRegression is for Classification, Ridge for Regression, "
        "HistGradientBoosting for both."
    )
    parameters: dict[str, Scalar] = Field(
        default={}, max_length=20, description="Fixed parameters by the names that scikit-learn gives them."
    )
    search: dict[str, SearchRangeSpec] = Field(
        default={}, max_length=20, description="Parameters to be searched, with their ranges."
    )


class Tuning(Model):
    """How candidates are compared: cross-validation on the training rows."""

    metric: Metric | None = Field(
        default=None,
        description="The figure that decides; where unset, roc_auc for Classification and rmse for Regression.",
    )
    trials: int = Field(default=20, ge=1, le=1000, description="Trials over all candidates together.")
    folds: int = Field(default=5, ge=2, le=20, description="Parts that the training rows are cut into.")
