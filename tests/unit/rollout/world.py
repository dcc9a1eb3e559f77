"""One deployment's corner of a cluster, with the people around it, and a clock."""

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from perennial.api.common import format_time
from perennial.api.deployment import DeploymentStatus, ModelDeployment, RolloutStatus
from perennial.api.verdict import Action
from perennial.api.version import ModelVersion
from perennial.contracts.names import ANNOTATION_REQUEST, LABEL_VERSION
from perennial.domain.analysis.judge import Observed, Unavailable, next_analysis
from perennial.domain.plan import Annotate, Event, Plan, Step
from perennial.domain.rollout.state import Asked, Finding, Overlay, Snapshot
from perennial.reconcile.deployment import DeploymentController
from tests.unit.rollout.cluster import Cluster

BEGINNING = datetime(2026, 11, 24, 8, 0, 0, tzinfo=UTC)
METRICS = [{"name": "errors", "builtin": "ErrorRate", "max": 0.01}]
STEPS = [{"weight": 33, "hold": "60s"}, {"weight": 50, "hold": "60s"}]
_uuids = itertools.count()


def version(number: int, *, model: str = "heart", approval: str = "Approved") -> ModelVersion:
    """A version as the operator registers it."""
    digest = f"{number:064x}"
    files = ("model.onnx", "signature.json", "baseline.json", "report.html")
    return ModelVersion.parse({
        "metadata": {"name": f"{model}-v{number}", "namespace": "clinic", "uid": f"uid-{number}"},
        "spec": {
            "approval": approval,
            "record": {
                "model": model, "number": number, "training": model, "run": number, "runUid": "u",
                "trigger": {"type": "Spec"}, "created": format_time(BEGINNING), "algorithm": "LogisticRegression",
                "parameters": {}, "seed": 1, "score": {"metric": "roc_auc", "value": 0.9, "text": "roc_auc 0.900"},
                "metrics": {"roc_auc": 0.9},
                "data": {"source": "s3://d", "sha256": digest, "rows": 10, "testRows": 3, "columns": ["a"]},
                "split": {"test": 0.25, "seed": 1},
                "artifacts": {
                    name: {"uri": f"s3://artifacts/clinic/heart/{number}/{name}", "sha256": digest} for name in files
                },
                "result": {"uri": "s3://artifacts/clinic/heart/1/result.json", "sha256": digest},
            },
        },
    })  # fmt: skip


GATEWAY = {"provider": "Gateway", "parentRef": {"name": "front"}}
ANALYSIS = {"interval": "30s", "metrics": METRICS, "failureLimit": 1}
ROLLOUTS: dict[str, dict[str, Any]] = {
    "Canary": {"strategy": "Canary", "steps": STEPS, "analysis": ANALYSIS},
    "BlueGreen": {"strategy": "BlueGreen", "preview": {"hold": "60s"}, "analysis": ANALYSIS},
    "Shadow": {"strategy": "Shadow", "shadow": {"share": 50, "hold": "60s"}, "analysis": ANALYSIS},
    "Recreate": {"strategy": "Recreate", "analysis": ANALYSIS},
}
"""Each strategy with stages of a minute."""


@dataclass
class World:
    """What a ModelDeployment is decided from, and what came of it."""

    spec: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, ModelVersion] = field(default_factory=dict)
    now: datetime = BEGINNING
    image: str = "serving:1"
    generation: int = 1
    name: str = "heart"
    status: DeploymentStatus = field(default_factory=DeploymentStatus)
    annotations: dict[str, str] = field(default_factory=dict)
    actions: list[Asked] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    errors: dict[str, float] = field(default_factory=dict)
    """Share of errors by version; a version not in here has none."""
    traffic: float = 1000.0
    prometheus: bool = True
    analysis_problem: Finding | None = None
    overlay: Overlay = field(default_factory=Overlay)
    cluster: Cluster = field(init=False)

    def __post_init__(self) -> None:
        self.cluster = Cluster(self.name)
        self.spec = {
            "model": "heart", "predictor": {"replicas": 2}, "standby": {"keep": "10m"},
            "rollout": ROLLOUTS["Canary"],
            **self.spec,
        }  # fmt: skip

    # What people and the cluster do

    def add(self, number: int, approval: str = "Approved") -> str:
        added = version(number, approval=approval)
        self.versions[added.metadata.name] = added
        return added.metadata.name

    def change(self, **spec: Any) -> None:
        self.spec.update(spec)
        self.generation += 1

    def request(self, verb: str, target: str) -> None:
        self.annotations[ANNOTATION_REQUEST] = f"{verb}/{target}/{next(_uuids)}"

    def ask_rollback(self, of: str, identity: str = "a1", since: datetime | None = None) -> None:
        action = Action(id=identity, kind="Rollback", version=of, since=since or self.now, reason="accuracy 0.61")
        self.actions.insert(0, Asked("watch", action))

    def start_pods(self, *only: str) -> None:
        self.cluster.start_pods(*only)

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # What is there

    @property
    def deployment(self) -> ModelDeployment:
        return ModelDeployment.parse({
            "metadata": {
                "name": self.name, "namespace": "clinic", "uid": "uid-heart", "generation": self.generation,
                "annotations": dict(self.annotations),
            },
            "spec": self.spec,
            "status": self.status.wire(),
        })  # fmt: skip

    def snapshot(self) -> Snapshot:
        owner = self.deployment
        return Snapshot(
            deployment=owner,
            image=self.image,
            versions=tuple(self.versions.values()),
            asked=tuple(self.actions),
            children=tuple(self.cluster.children()),
            pods=tuple(self.cluster.pods()),
            measured=self._measured(owner),
            analysis_problem=self.analysis_problem,
            route=self.cluster.route_state(owner),
            overlay=self.overlay,
        )

    def _measured(self, owner: ModelDeployment) -> Observed | Unavailable | None:
        rollout, stable = owner.status.rollout, owner.status.stable
        due = rollout and stable and rollout.step >= 0
        if not rollout or not stable or not due or self.now < next_analysis(rollout, owner.spec.rollout.analysis):
            return None
        if not self.prometheus:
            return Unavailable(rollout.target.revision, "connection refused")
        requests = {stable.version: self.traffic, rollout.target.version: self.traffic / 2}
        errors = {name: requests[name] * share for name, share in self.errors.items() if name in requests}
        durations = {0.005: requests[rollout.target.version], float("inf"): requests[rollout.target.version]}
        return Observed(rollout.target.revision, requests, errors, durations)

    def selected(self) -> set[str]:
        """The versions to which the Service sends requests: those of ready pods that it selects."""
        return set(self.cluster.behind(self.name))

    def previewed(self) -> set[str]:
        """The same of the preview Service."""
        return set(self.cluster.behind(f"{self.name}-preview"))

    def running(self) -> dict[str, int]:
        """Pods that are wanted, by version."""
        found: dict[str, int] = {}
        for manifest in self.cluster.deployments.values():
            name = manifest["metadata"]["labels"][LABEL_VERSION]
            found[name] = found.get(name, 0) + manifest["spec"]["replicas"]
        return {name: pods for name, pods in found.items() if pods}

    @property
    def serves(self) -> str:
        """The stable version."""
        assert self.status.stable is not None
        return self.status.stable.version

    @property
    def rollout(self) -> RolloutStatus:
        """The rollout, where the test knows of one."""
        assert self.status.rollout is not None
        return self.status.rollout

    # What the operator does

    def reconcile(self, writes: int | None = None) -> bool:
        """Decides once and carries it out, at most ``writes`` writes of it. Whether anything was written."""
        plan = DeploymentController().decide(self.snapshot(), self.now)
        left = writes if writes is not None else 10_000
        wrote = 0
        for step in plan.steps:
            if wrote >= left:
                return True
            wrote += self._carry_out(step)
        if wrote >= left:
            return True
        return self._finish(plan) or wrote > 0

    def _finish(self, plan: Plan) -> bool:
        self.events += [event for event in plan.events if event not in self.events]
        if plan.status is None or plan.status.wire() == self.status.wire():
            return False
        self.status = DeploymentStatus.model_validate(plan.status.wire())
        self.outcomes += plan.outcomes.values()
        return True

    def settle(self) -> None:
        for _ in range(20):
            if not self.reconcile() and not self.cluster.take_route():
                return
        raise AssertionError("the decisions do not come to rest")

    def _carry_out(self, step: Step) -> int:
        if isinstance(step, Annotate):
            return self._annotate(step.name, step.annotations)
        return self.cluster.carry_out(step)

    def _annotate(self, name: str, annotations: dict[str, str | None]) -> int:
        found = self.versions.get(name)
        if found is None:
            return 0
        merged = {
            key: value for key, value in {**found.metadata.annotations, **annotations}.items() if value is not None
        }
        if merged == found.metadata.annotations:
            return 0
        metadata = found.metadata.model_copy(update={"annotations": merged})
        self.versions[name] = found.model_copy(update={"metadata": metadata})
        return 1

    # What tests ask

    def condition(self, type_: str) -> tuple[str, str, str]:
        found = next(each for each in self.status.conditions if each.type == type_)
        return found.status, found.reason, found.message

    def reasons(self) -> list[str]:
        return [event.reason for event in self.events]


def serving(number: int = 1, **spec: Any) -> World:
    """A world in which the version ``number`` serves."""
    world = World(spec=spec)
    world.add(number)
    world.settle()
    world.start_pods()
    world.settle()
    assert world.status.stable is not None
    return world


def holding(world: World | None = None) -> World:
    """A world in which v1 serves and v2 is in its first step."""
    world = world or serving()
    world.add(2)
    world.settle()
    world.start_pods()
    world.settle()
    assert world.status.rollout is not None
    assert world.status.rollout.step == 0
    return world


def play(world: World, seconds: float, tick: float = 10) -> None:
    """Time passes; whatever is wanted starts."""
    for _ in range(int(seconds / tick)):
        world.pass_time(tick)
        world.settle()
        world.start_pods()
        world.settle()
