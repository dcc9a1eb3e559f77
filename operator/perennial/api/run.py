"""The runs of a ModelTraining: where they run, and what its status tells of them."""

from typing import Any, Literal

from pydantic import Field

from perennial.api.common import (
    Conditions,
    Generation,
    HandledActions,
    HandledRequest,
    Model,
    PositiveDuration,
    Quantity,
    Status,
    Time,
)


class Resources(Model):
    """Compute of one pod: memory is requested and limited alike, CPU is requested (a run may use what is idle)."""

    cpu: Quantity = Field(default="1", description="Cores, such as 1 or 500m.")
    memory: Quantity = Field(default="1Gi", description="Bytes, such as 512Mi.")


class Engine(Model):
    """Where runs run."""

    type: Literal["Embedded"] = Field(default="Embedded", description="Embedded: one Job a run, in this namespace.")
    resources: Resources = Resources()
    deadline: PositiveDuration = Field(default="1h", description="A run that takes longer is ended and failed.")


class Trigger(Status):
    """Why a run was started."""

    type: Literal["Spec", "Drift", "Request"] = Field(
        description="Spec: it is new or has changed. Drift: a DriftMonitor's action. Request: the annotation."
    )
    id: str = Field(default="", max_length=128, description="Spec hash, action id or request id.")
    by: str = Field(default="", max_length=256, description="Who asked, such as DriftMonitor/heart-disease.")


class Run(Status):
    """One run of the training."""

    number: int = Field(description="Runs are counted from 1.")
    trigger: Trigger
    phase: Literal["Running", "Succeeded", "Failed"] = Field(description="How far it is.")
    job: str = Field(max_length=63, description="The Job that runs it.")
    image: str = Field(default="", max_length=512, description="Image that the run runs in.")
    launched: bool = Field(default=False, description="Whether its Job was made; a Job that is missing then is lost.")
    started_at: Time = Field(description="When it was decided.")
    finished_at: Time | None = Field(default=None, description="When its outcome was seen.")
    version: str = Field(default="", max_length=63, description="The ModelVersion it made.")
    result: dict[str, Any] | None = Field(
        default=None,
        description="uri and sha256 of its result.json.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    reserved: int | None = Field(default=None, description="Number reserved for its version.")
    outcome: str = Field(
        default="", max_length=64, description="Reason in one word: Registered, GateFailed, DataRejected, …"
    )
    message: str = Field(default="", max_length=4096, description="The outcome for people.")
    score: str = Field(default="", max_length=64, description="The figure to know it by, such as roc_auc 0.912.")


class TrainingStatus(Status):
    """What the operator knows of the training."""

    observed_generation: Generation = None
    conditions: Conditions = Field(default=[])
    phase: str = Field(default="", max_length=32, description="For people: where it stands, in one word.")
    spec_hash: str = Field(default="", max_length=64, description="Of the spec that the last Spec run was started for.")
    run_counter: int = Field(default=0, description="Number of the last run.")
    version_counter: int = Field(default=0, description="Number of the last version, or the last one reserved.")
    runs: list[Run] = Field(default=[], max_length=10, description="The last runs, newest first.")
    latest_version: str = Field(default="", max_length=63, description="The newest version that it made.")
    latest_score: str = Field(default="", max_length=64, description="That version's score.")
    handled_request: HandledRequest = ""
    handled_actions: HandledActions = Field(default=[])
