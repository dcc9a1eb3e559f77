"""What a decision about a ModelDeployment is made from, what it may ask for, and the draft in which it grows."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from perennial.api.deployment import (
    DeploymentSpec,
    DeploymentStatus,
    Held,
    ModelDeployment,
    Revision,
    RolloutStatus,
    Standing,
    TrafficStatus,
)
from perennial.api.verdict import Action
from perennial.api.version import ModelVersion
from perennial.contracts.names import ANNOTATION_REQUEST
from perennial.domain.analysis.judge import Observed, Unavailable
from perennial.domain.plan import Event
from perennial.domain.rollout.quarantine import Quarantined, quarantines
from perennial.domain.rollout.stages import Stage, stages

REASON_LIMIT = 500
HISTORY_LIMIT = 10
HELD_LIMIT = 10
HANDLED_LIMIT = 50
ROLLBACK_STALLED = "RollbackStalled"


@dataclass(frozen=True)
class Finding:
    """What is to be said: a CamelCase reason and a message for people."""

    reason: str
    message: str


@dataclass(frozen=True)
class Child:
    """An apps/v1 Deployment of ours: ``replicas`` are wanted, ``observed`` are there, ``ready`` are ready.

    ``template`` is the pod template as it stands; ``rendered`` names the rendering that it came from.
    """

    name: str
    revision: str
    replicas: int = 0
    ready: int = 0
    observed: int = 0
    rendered: str = ""
    trouble: Finding | None = None
    template: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pod:
    """A predictor pod that is not on its way out; ``trouble`` is why it is not ready, in the cluster's own words."""

    revision: str
    ready: bool
    trouble: Finding | None = None


@dataclass(frozen=True)
class Asked:
    """An action of the DriftMonitor ``monitor``."""

    monitor: str
    action: Action


@dataclass(frozen=True)
class RouteState:
    """The HTTPRoute as it stands: ``weight`` is the preview's percent that the Gateway was told.

    ``preview`` is whether the preview Service is among its backends at all, by weight or by header. ``accepted`` is
    whether the parent took this very generation of it; ``trouble`` says why it did not.
    """

    weight: int = 0
    preview: bool = False
    accepted: bool = False
    trouble: Finding | None = None


@dataclass(frozen=True)
class Overlay:
    """The pod overlay that is wanted now: ``patch`` is JSON text (empty: none), ``problem`` why it cannot be used."""

    patch: str = ""
    problem: Finding | None = None


@dataclass(frozen=True)
class Snapshot:
    """All that a decision needs. ``versions`` are those of the model; ``image`` is what a new rollout gets.

    ``measured`` is None when no measurement was due; ``analysis_problem`` says which query can never be measured.
    ``route`` is None where there is no HTTPRoute.
    """

    deployment: ModelDeployment
    image: str
    versions: tuple[ModelVersion, ...] = ()
    asked: tuple[Asked, ...] = ()
    children: tuple[Child, ...] = ()
    pods: tuple[Pod, ...] = ()
    measured: Observed | Unavailable | None = None
    analysis_problem: Finding | None = None
    route: RouteState | None = None
    overlay: Overlay = Overlay()

    def child(self, revision: Revision | None) -> Child | None:
        """The Deployment that runs ``revision``."""
        return next((each for each in self.children if revision and each.revision == revision.revision), None)

    def ready(self, revision: Revision | None) -> int:
        """Ready pods of ``revision``."""
        child = self.child(revision)
        return child.ready if child else 0

    def version(self, name: str) -> ModelVersion | None:
        """The ModelVersion ``name``."""
        return next((each for each in self.versions if each.metadata.name == name), None)

    def trouble(self, revision: Revision) -> Finding | None:
        """Why pods of ``revision`` are not ready, where the cluster says so."""
        told = [pod.trouble for pod in self.pods if pod.revision == revision.revision and pod.trouble]
        if told:
            return min(told, key=lambda finding: (finding.reason, finding.message))
        child = self.child(revision)
        return child.trouble if child else None


@dataclass(frozen=True)
class Mark:
    """Quarantine (or, with None, release) ``version`` for this deployment, before anything else is done."""

    version: str
    quarantined: Quarantined | None


@dataclass(frozen=True)
class Route:
    """The Service selects the pods of ``revision``; with None all pods of the deployment."""

    revision: str | None


@dataclass(frozen=True)
class Preview:
    """The Service ``<name>-preview`` selects the pods of ``revision``; with None there is no such Service."""

    revision: str | None


@dataclass(frozen=True)
class Weigh:
    """The HTTPRoute sends ``weight`` percent to the preview Service, the rest to the main one.

    ``preview``: whether the preview Service is among its backends at all; ``matched``: whether requests with the
    headers of ``spec.rollout.match`` go to it whatever the weight.
    """

    weight: int
    preview: bool = False
    matched: bool = False


@dataclass(frozen=True)
class NoRoute:
    """There is no HTTPRoute of ours: the traffic is shared by replicas."""


@dataclass(frozen=True)
class Mirror:
    """The stable pods copy ``share`` percent of requests to the preview Service (0: none), whose version is named."""

    share: int
    version: str = ""


@dataclass(frozen=True)
class Run:
    """So many pods of ``revision``; None: as many as there are, for an autoscaler sees to that."""

    revision: Revision
    replicas: int | None


@dataclass(frozen=True)
class Autoscale:
    """The HorizontalPodAutoscaler scales the pods of ``revision``; with None there is none."""

    revision: Revision | None


@dataclass(frozen=True)
class Protect:
    """The PodDisruptionBudget covers the pods of ``revision``; with None there is none."""

    revision: Revision | None


@dataclass(frozen=True)
class Remove:
    """The Deployment ``name`` and its pods go."""

    name: str


Move = Mark | Route | Preview | Weigh | NoRoute | Mirror | Run | Autoscale | Protect | Remove


@dataclass(frozen=True)
class Decision:
    """``moves`` in order; the order is what makes them safe to be cut short anywhere."""

    status: DeploymentStatus
    moves: tuple[Move, ...] = ()
    events: tuple[Event, ...] = ()
    requeue: float | None = None
    outcomes: dict[str, str] = field(default_factory=dict)


@dataclass
class Draft:
    """A decision in the making: the status so far, and what is to be done about it."""

    snapshot: Snapshot
    now: datetime
    stable: Revision | None
    rollout: RolloutStatus | None
    standby: Standing | None
    history: list[Revision]
    held: Held | None
    held_configurations: list[Held]
    traffic: TrafficStatus
    handled_request: str
    handled_actions: list[str]
    quarantined: dict[str, Quarantined]
    restoring_since: datetime | None
    restoring: Revision | None = None
    """The last good revision while it starts."""
    restored_replicas: int | None = None
    """Pods of that; None: none yet."""
    stopped: bool = False
    """Whether the stable pods go before the new ones come (Recreate)."""
    size_before: int | None = None
    """Pods of an autoscaler's number that ended, or are to end, for others to start; None: no such."""
    ending: bool = False
    """Whether the number is needed still: what ended is not replaced yet."""
    fresh: bool = False
    """Whether the rollout began in this very decision: what the one before left behind is not undone yet."""
    showing: Stage | None = None
    """The stage whose traffic the new version gets; None: none."""
    canary_replicas: int | None = None
    """Pods of the new version; None: none yet."""
    unwanted: Revision | None = None
    """What was on its way and goes, even where nothing else runs."""
    problem: Finding | None = None
    """Why the wanted version cannot be told."""
    progress: Finding | None = None
    paused: bool = False
    marks: list[Mark] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    wakes: list[datetime] = field(default_factory=list)

    @classmethod
    def of(cls, snapshot: Snapshot, now: datetime) -> "Draft":
        """The draft that changes nothing yet. ``now`` is cut to whole seconds, as the status keeps them."""
        status = snapshot.deployment.status
        return cls(
            snapshot=snapshot,
            now=now.replace(microsecond=0),
            stable=status.stable,
            rollout=status.rollout,
            standby=status.standby,
            history=list(status.history),
            held=status.held,
            held_configurations=[each for each in status.held_configurations if snapshot.version(each.version)],
            traffic=status.traffic,
            handled_request=status.handled_request,
            handled_actions=list(status.handled_actions),
            quarantined=quarantines(snapshot.versions, snapshot.deployment.metadata.name),
            restoring_since=status.restoring_since,
            size_before=status.size_before,
        )

    @property
    def spec(self) -> DeploymentSpec:
        """The wish."""
        return self.snapshot.deployment.spec

    @property
    def name(self) -> str:
        """The deployment's name."""
        return self.snapshot.deployment.metadata.name

    @property
    def replicas(self) -> int:
        """Pods of what serves all requests: with autoscaling as many as are ready now, within its bounds."""
        predictor = self.spec.predictor
        if predictor.autoscaling is None:
            return predictor.replicas
        found = max(self.snapshot.ready(self.stable), self.size_before or 0)
        return min(max(predictor.autoscaling.min, found), predictor.autoscaling.max)

    @property
    def stages(self) -> list[Stage]:
        """What a new version goes through."""
        return stages(self.spec, self.replicas)

    @property
    def gateway(self) -> bool:
        """Whether a Gateway shares the requests."""
        return self.spec.traffic.provider == "Gateway"

    @property
    def under_way(self) -> RolloutStatus:
        """The rollout, where it is known that there is one."""
        if self.rollout is None:
            raise AssertionError("no rollout is under way")
        return self.rollout

    def update(self, **changes: object) -> None:
        """Changes fields of the rollout under way."""
        self.rollout = self.under_way.model_copy(update=changes)

    def command(self, verb: str, version: str) -> str:
        """What a person types to ask for ``verb``."""
        request = f"{ANNOTATION_REQUEST}={verb}/{version}/$(uuidgen)"
        return f"kubectl annotate md {self.name} --overwrite {request}"

    def event(self, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Says what was decided."""
        self.events.append(Event(type_, reason, message))

    def quarantine(self, version: str, mark: Quarantined) -> None:
        """Keeps ``version`` out of this deployment from now on."""
        self.quarantined[version] = mark
        self.marks.append(Mark(version, mark))

    def release(self, version: str) -> None:
        """Lets ``version`` in again."""
        self.quarantined.pop(version, None)
        self.marks.append(Mark(version, None))

    def hold(self, held: Held) -> None:
        """Keeps a configuration out of this deployment from now on."""
        self.held = held
        self.held_configurations = [held, *self.held_configurations][:HELD_LIMIT]

    def serve(self, revision: Revision) -> None:
        """``revision`` is the stable one from now on."""
        left = self.stable.revision if self.stable else ""
        self.stable = revision.model_copy(update={"since": self.now, "until": None})
        others = [
            each.model_copy(update={"until": self.now}) if each.revision == left else each
            for each in self.history
            if each.revision != revision.revision
        ]
        self.history = self._kept([self.stable, *others])
        self.rollout = None
        self.traffic = TrafficStatus()

    def _kept(self, history: list[Revision]) -> list[Revision]:
        """The newest, and in any case one of another version: many configurations of one are no way back from it."""
        kept, version = history[:HISTORY_LIMIT], history[0].version
        other = next((each for each in history if each.version not in {version, *self.quarantined}), None)
        return kept if other is None or other in kept else [*kept[:-1], other]
