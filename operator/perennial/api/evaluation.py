"""The evaluation of a ModelTraining: its metrics, gates, and the meeting with the champion."""

from typing import Literal

from pydantic import ConfigDict, Field

from perennial.api.common import Column, Model, Status, rules
from perennial.contracts.signature import Task

Metric = Literal[
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier",
    "calibration_error",
    "mae",
    "rmse",
    "r2",
    "mape",
]
FairnessMetric = Literal[Metric, "selection_rate", "false_positive_rate"]
DEFAULT_METRIC: dict[Task, Metric] = {"Classification": "roc_auc", "Regression": "rmse"}
"""By task, where the spec names none. No default of the schema: that could not depend on the task."""


class Gate(Model):
    """A bound that a version must hold on the held-out rows."""

    model_config = ConfigDict(json_schema_extra=rules(("has(self.min) || has(self.max)", "give min or max")))
    metric: Metric = Field(description="The figure that is bounded.")
    min: float | None = Field(default=None, description="The smallest value that passes.")
    max: float | None = Field(default=None, description="The greatest value that passes.")
    by: Column | None = Field(
        default=None, description="Hold it for every value of this column that has at least minRows rows."
    )
    min_rows: int | None = Field(
        default=None, ge=1, description="Slices with fewer held-out rows are not judged; 20 where unset."
    )


class FairnessGate(Model):
    """How far the values of a column may be apart in a figure on the held-out rows."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.maxDifference) != has(self.minRatio)", "give one of maxDifference and minRatio")
        )
    )
    metric: FairnessMetric = Field(
        description="The figure that is compared. Of two classes also selection_rate (the share of rows that are "
        "called positive) and false_positive_rate (that share among the negative ones)."
    )
    by: Column = Field(description="The column whose values are compared.")
    max_difference: float | None = Field(
        default=None, ge=0, description="By how much the greatest figure may be above the smallest."
    )
    min_ratio: float | None = Field(
        default=None, gt=0, le=1, description="Which share of the greatest figure the smallest must be, such as 0.8."
    )
    min_rows: int | None = Field(
        default=None, ge=1, description="Values with fewer held-out rows are not compared; 20 where unset."
    )


class ChampionGate(Model):
    """The challenger meets the deployed version on the same held-out rows."""

    metric: Metric | None = Field(
        default=None,
        description="The figure that is compared; where unset, roc_auc for Classification and rmse for Regression.",
    )
    min_improvement: float = Field(
        default=0.0, description="By how much the challenger must be better; negative lets a little loss pass."
    )
    confidence: float | None = Field(
        default=None,
        ge=0.5,
        lt=1,
        description="The probability, over the held-out rows that might have been drawn, with which it must be better "
        "by minImprovement, such as 0.95; where unset the figures are compared as they are.",
    )


class Evaluation(Model):
    """What a version must show before it is registered as fit to serve."""

    gates: list[Gate] = Field(default=[], max_length=50, description="Bounds that must all hold.")
    fairness: list[FairnessGate] = Field(
        default=[], max_length=20, description="Bounds on what lies between groups; they must all hold."
    )
    champion: ChampionGate | None = None


class Retired(Status):
    """A version on its way out."""

    version: str = Field(max_length=63, description="The ModelVersion.")
    uid: str = Field(max_length=64, description="Its UID.")
    folder: str = Field(default="", max_length=2048, description="Address of its files, which go last.")


class Retention(Model):
    """Which versions of the model are kept."""

    versions: int = Field(
        ge=1,
        le=1000,
        description="The newest that stay. Older ones go with their files, but for those that are in use, wanted, "
        "waiting for approval, the way back of a ModelDeployment, or what a DriftMonitor compares with.",
    )
