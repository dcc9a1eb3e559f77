"""What a decision about a ModelTraining is made from, and the draft in which it grows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from perennial.api.deployment import ModelDeployment
from perennial.api.drift import DriftMonitor
from perennial.api.run import Run, TrainingStatus
from perennial.api.training import ModelTraining, TrainingSpec
from perennial.api.version import ModelVersion
from perennial.contracts.progress import Progress
from perennial.contracts.request import Artifact
from perennial.domain.conditions import Truth
from perennial.domain.plan import Event, Plan, Step
from perennial.domain.training.kubeflow import Side, Target
from perennial.domain.training.request import Started
from perennial.domain.training.run import Ending, Ongoing, Seen, Unseen

RUNS_KEPT = 10
JOBS_KEPT = 3

Said = tuple[Truth, str, str]
"""What a condition says: (status, reason, message)."""


@dataclass(frozen=True)
class Trouble:
    """Why nothing moves on, with what to do about it. ``phase`` is what ``kubectl get`` shows meanwhile."""

    reason: str
    message: str
    phase: str = "Blocked"


@dataclass(frozen=True)
class Fetched:
    """A run's result.json: ``data`` with its record, or ``broken`` (reason and message, for good), or neither: none."""

    data: bytes | None = None
    artifact: Artifact | None = None
    broken: tuple[str, str] | None = None


@dataclass(frozen=True)
class Beginning:
    """What the start of a run needs: the ModelTrainings and ModelVersions around, the store's root and highest run,
    whether the namespace ``insists`` on a person's approval.

    Of a run that reproduces a version, that and its request.json (None: they are not there).
    """

    others: tuple[ModelTraining, ...] = ()
    versions: tuple[ModelVersion, ...] = ()
    root: str = ""
    highest_run: int = 0
    champion: ModelVersion | None = None
    reproduced: ModelVersion | None = None
    original: bytes | None = None
    insists: bool = False


@dataclass(frozen=True)
class Following:
    """How the run under way stands. ``versions`` are read once it is to be registered, and so is whether the namespace
    ``insists`` on a person's approval; ``progress`` is what it last said of itself (None: nothing that can be read).
    """

    ending: Ending = field(default_factory=Ongoing)
    fetched: Fetched | None = None
    versions: tuple[ModelVersion, ...] = ()
    insists: bool = False
    progress: Progress | None = None


@dataclass(frozen=True)
class Polling:
    """The polls of the data: the names of their Jobs, and how the one under way ended (None: it has not).

    ``root`` is the store's, read where a poll is due; ``store`` is why it cannot be had (reason, message).
    """

    jobs: tuple[str, ...] = ()
    ending: Seen | Unseen | None = None
    root: str = ""
    store: tuple[str, str] | None = None


@dataclass(frozen=True)
class Removal:
    """The Job that deletes a retired version's files, and how it ended, if it has."""

    job: str
    succeeded: bool = False
    failed_at: datetime | None = None


@dataclass(frozen=True)
class Registry:
    """What retention is decided from: the model's versions, deployments and ModelTrainings, the names of versions that
    DriftMonitors have ``pinned``, and the removals of files under way; of a ModelTraining that is being deleted also
    whether its namespace ``ends``.

    Read where spec.retention is set, or versions are on their way out.
    """

    versions: tuple[ModelVersion, ...] = ()
    deployments: tuple[ModelDeployment, ...] = ()
    removals: tuple[Removal, ...] = ()
    trainings: tuple[ModelTraining, ...] = ()
    pinned: frozenset[str] = frozenset()
    ends: bool = False


@dataclass(frozen=True)
class Snapshot:
    """All that a decision needs. ``image`` is the components' of today, ``feast_image`` the one that reads Feast
    repositories ("": there is none); ``jobs`` the names of this training's Jobs by
    run number; ``store`` is why the store cannot be used (reason, message); ``latest`` the last run's ModelVersion.
    """

    training: ModelTraining
    image: str = ""
    feast_image: str = ""
    monitors: tuple[DriftMonitor, ...] = ()
    deployments: tuple[ModelDeployment, ...] = ()
    jobs: tuple[tuple[int, str], ...] = ()
    started: Started | None = None
    store: tuple[str, str] | None = None
    beginning: Beginning = Beginning()
    following: Following = Following()
    polling: Polling = Polling()
    registry: Registry = Registry()
    latest: ModelVersion | None = None
    kubeflow: Side = field(default_factory=Side)

    @property
    def spec(self) -> TrainingSpec:
        """What the run under way was started for; before that is written, the training's own."""
        return self.started.spec if self.started else self.training.spec


@dataclass(frozen=True)
class Render:
    """Renders what is made: of a run its ConfigMap and Job, or its ConfigMap and what is given to Kubeflow; of a poll
    (by its name, with its image) as of a run; the Job (by its name, with its image) that deletes a folder.
    """

    run: Callable[[ModelTraining, Run, Started], tuple[Step, ...]]
    submission: Callable[[ModelTraining, Run, Started, Target, Side], tuple[Step, ...]]
    poll: Callable[[ModelTraining, str, str, Started], tuple[Step, ...]]
    removal: Callable[[ModelTraining, str, str, str], tuple[Step, ...]]


@dataclass
class Draft:
    """A plan in the making: the status as it will be, the steps and events so far."""

    snapshot: Snapshot
    now: datetime
    status: TrainingStatus
    steps: list[Step] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    requeue: float | None = None
    trouble: Trouble | None = None

    @classmethod
    def of(cls, snapshot: Snapshot, now: datetime) -> "Draft":
        """Nothing decided yet."""
        return cls(snapshot=snapshot, now=now, status=snapshot.training.status)

    @property
    def training(self) -> ModelTraining:
        """The object that is decided about."""
        return self.snapshot.training

    def set(self, **changes: Any) -> None:
        """Changes fields of the status."""
        self.status = self.status.model_copy(update=changes)

    def set_run(self, run: Run, **changes: Any) -> Run:
        """Changes fields of ``run`` in the status; returns the changed one."""
        changed = run.model_copy(update=changes)
        self.set(runs=[changed if each.number == run.number else each for each in self.status.runs])
        return changed

    def add_run(self, run: Run) -> None:
        """Puts ``run`` first. What the last one that made a version, or failed to, has come to is never dropped."""
        runs, last = [run, *self.status.runs], finished(self.status.runs)
        kept = runs[:RUNS_KEPT]
        if last is not None and last not in kept:
            kept[-1] = last
        self.set(runs=kept, run_counter=run.number)

    def again(self, seconds: float) -> None:
        """Asks for another look in ``seconds``, or at an earlier time that was asked for."""
        self.requeue = seconds if self.requeue is None else min(self.requeue, seconds)

    def event(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Says it in an Event."""
        self.events.append(Event("Warning" if warning else "Normal", reason, message))

    def plan(self) -> Plan:
        """The plan, once the status is complete."""
        return Plan(
            status=self.status,
            steps=tuple(self.steps),
            events=tuple(self.events),
            requeue=self.requeue,
            outcomes=dict(self.outcomes),
        )


def running(runs: Sequence[Run]) -> Run | None:
    """The run under way: also one whose next attempt has not begun."""
    return next((run for run in runs if run.phase == "Running"), None)


def finished(runs: Sequence[Run]) -> Run | None:
    """The last run that ended, of those that are to make a version."""
    return next((run for run in runs if run.phase != "Running" and not run.reproduces), None)
