"""The runs of a ModelTraining: where they run, and what its status tells of them."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

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
    rules,
)
from perennial.api.evaluation import Retired
from perennial.api.kubeflow import Kubeflow, KubeflowRun


class Resources(Model):
    """Compute of one pod: memory is requested and limited alike, CPU is requested (a run may use what is idle)."""

    cpu: Quantity = Field(default="1", description="Cores, such as 1 or 500m.")
    memory: Quantity = Field(default="2Gi", description="Bytes, such as 512Mi.")


class Engine(Model):
    """Where runs run."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.type == 'Kubeflow' || !has(self.kubeflow)", "engine.kubeflow is for type Kubeflow"),
        )
    )
    type: Literal["Embedded", "Kubeflow"] = Field(
        default="Embedded",
        description="Embedded: one Job a run, in this namespace. Kubeflow: a run of Kubeflow Pipelines, a pod a "
        "component.",
    )
    kubeflow: Kubeflow | None = None
    resources: Resources = Resources()
    deadline: PositiveDuration = Field(
        default="1h", description="A run that takes longer is ended and failed; each attempt of it has as long."
    )
    ttl: PositiveDuration | None = Field(
        default=None,
        description="A finished run's Job and log go after so long; without it the last three runs' stay.",
    )


class Schedule(Model):
    """When runs are started by the clock, as of a CronJob; missed times are made up for by one run."""

    cron: str = Field(
        min_length=1,
        max_length=128,
        pattern=r"^(@(hourly|daily|midnight|weekly|monthly|yearly|annually)"
        r"|[0-9A-Za-z*,/#-]+( +[0-9A-Za-z*,/#-]+){4})$",
        description="Minute, hour, day of the month, month, day of the week, such as 0 3 * * MON; or @hourly, @daily, "
        "@weekly, @monthly, @yearly.",
    )
    time_zone: str = Field(
        default="UTC",
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$",
        description="What the times are in, such as Europe/Berlin: a name of the IANA time zone database.",
    )


class Retry(Model):
    """What is done about a run that the cluster or the store has let down; a run that failed by itself is over."""

    limit: int = Field(default=2, ge=0, le=10, description="Attempts after the first one.")
    backoff: PositiveDuration = Field(
        default="30s", description="Wait before the second attempt; it doubles with each one, up to 10m."
    )


class Trigger(Status):
    """Why a run was started."""

    type: Literal["Spec", "Drift", "Request", "Data", "Schedule"] = Field(
        description="Spec: it is new or has changed. Drift: a DriftMonitor's action. Request: the annotation. "
        "Data: other data were found. Schedule: its time has come."
    )
    id: str = Field(
        default="", max_length=128, description="Spec hash, action id, request id, digest of the data, or time."
    )
    by: str = Field(default="", max_length=256, description="Who asked: DriftMonitor/<name>, or a user's name.")


class Leader(Status):
    """One of a run's best candidates."""

    algorithm: str = Field(max_length=64, description="The estimator.")
    score: float = Field(description="Mean of the tuned metric over the folds, at its best setting.")
    trials: int = Field(description="How many settings of it were tried.")


class Run(Status):
    """One run of the training."""

    number: int = Field(description="Runs are counted from 1.")
    trigger: Trigger
    phase: Literal["Running", "Succeeded", "Failed", "Cancelled"] = Field(description="How far it is.")
    job: str = Field(
        max_length=63, description="The Job that runs it, or its name in Kubeflow: the one of its last attempt."
    )
    kubeflow: KubeflowRun | None = Field(default=None, description="Its counterpart, where Kubeflow runs it.")
    image: str = Field(default="", max_length=512, description="Image that the run runs in.")
    launched: bool = Field(default=False, description="Whether its Job was made; a Job that is missing then is lost.")
    attempt: int = Field(default=1, description="Attempts are counted from 1; each has a Job of its own.")
    not_before: Time | None = Field(default=None, description="When the next attempt begins, while that is waited for.")
    progress: str = Field(default="", max_length=256, description="How far it is, such as tune 4/9: trial 7/20.")
    started_at: Time = Field(description="When it was decided.")
    finished_at: Time | None = Field(default=None, description="When its outcome was seen.")
    version: str = Field(default="", max_length=63, description="The ModelVersion it made.")
    reproduces: str = Field(
        default="", max_length=63, description="The ModelVersion that it fits again, to compare; it makes none then."
    )
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
    leaderboard: list[Leader] = Field(
        default=[],
        max_length=3,
        description="Its best candidates, the winner first. The version's record has more rows, with their parameters.",
    )


class ScheduleStatus(Status):
    """What has become of spec.schedule."""

    of: str = Field(default="", max_length=200, description="The schedule that this is about: cron and time zone.")
    answered: Time = Field(description="Times up to this one have had their run, or were dropped.")


class DataStatus(Status):
    """What is known of the data's content, by its SHA-256."""

    job: str = Field(default="", max_length=63, description="The Job that looks at it now, if one does.")
    spec_hash: str = Field(default="", max_length=64, description="Of the spec that this Job was started for.")
    polls: int = Field(default=0, description="Number of the last poll.")
    polled_at: Time | None = Field(default=None, description="When the last poll was started.")
    sha256: str = Field(default="", max_length=64, description="What the last poll that succeeded has seen.")
    rows: int | None = Field(default=None, description="How many rows it has seen.")
    seen_at: Time | None = Field(default=None, description="When it has seen them.")
    wanted: str = Field(default="", max_length=64, description="Other data that a run is still to be started for.")
    tried: str = Field(default="", max_length=64, description="Data that need no other run, for one was tried on them.")
    trained: str = Field(default="", max_length=64, description="What the last run that ended well was trained on.")


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
    next_run: Time | None = Field(default=None, description="When spec.schedule starts the next run.")
    schedule: ScheduleStatus | None = Field(default=None, description="What has become of spec.schedule.")
    data: DataStatus = Field(default=DataStatus(), description="What is known of the data's content.")
    retired: list[Retired] = Field(
        default=[],
        max_length=10,
        description="Versions that spec.retention no longer keeps, until their files are gone.",
    )
    handled_request: HandledRequest = ""
    handled_actions: HandledActions = Field(default=[])
