"""The decision table of docs/rollouts.md, cell by cell."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from perennial.contracts.names import LABEL_VERSION, quarantine_annotation
from perennial.domain.rollout.state import Finding, Overlay
from tests.unit.rollout.world import GATEWAY, World, serving

DOCUMENT = Path(__file__).parents[3] / "docs" / "rollouts.md"
COLUMNS = ("Bringing up", "In a stage", "Paused", "Promoting", "Standing by", "Recreate")
ANALYSIS = {
    "interval": "30s", "failureLimit": 1, "inconclusiveLimit": 1, "noDataLimit": 3,
    "metrics": [{"name": "errors", "builtin": "ErrorRate", "max": 0.01, "failAbove": 0.6}],
}  # fmt: skip
KEY = quarantine_annotation("heart")


def _rollout(strategy: str, stage: dict[str, Any]) -> dict[str, Any]:
    stages: dict[str, dict[str, Any]] = {
        "Canary": {"steps": [{"weight": 20, **stage}]},
        "BlueGreen": {"preview": stage},
        "Shadow": {"shadow": {"share": 50, **stage}},
        "Recreate": {},
    }
    return {"strategy": strategy, "analysis": ANALYSIS, **stages[strategy]}


def _rows() -> dict[str, dict[str, str]]:
    found = {}
    for line in DOCUMENT.read_text().splitlines():
        event, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if event in EVENTS and len(cells) == len(COLUMNS):
            found[event] = dict(zip(COLUMNS, cells, strict=True))
    return found


# --- where the rollout is -----------------------------------------------------------------------------------------


@cache
def at(column: str, strategy: str, provider: str) -> World:
    """v1 served, and the rollout of v2 is where ``column`` says; to be copied."""
    stage: dict[str, Any] = {"pause": {}} if column == "Paused" else {"hold": "60s"}
    traffic = GATEWAY if provider == "Gateway" else {"provider": "Replicas"}
    world = serving(rollout=_rollout(strategy, stage), traffic=traffic, predictor={"replicas": 4})
    world.add(2)
    world.settle()
    if column in {"Bringing up", "Recreate"}:
        assert world.rollout.step == -1
        return world
    world.start_pods()
    world.settle()
    if column in {"In a stage", "Paused"}:
        assert world.rollout.step == 0
        return world
    world.pass_time(30)
    world.settle()
    world.pass_time(30)
    world.settle()
    if column == "Promoting":
        assert (world.rollout.step, world.running()["heart-v2"], world.serves) == (0, 4, "heart-v1")
        return world
    world.start_pods()
    world.settle()
    assert world.serves == "heart-v2"
    return world


# --- what happens -------------------------------------------------------------------------------------------------

Happens = Callable[[World], None]


def _cannot_start(reason: str) -> Happens:
    def happens(world: World) -> None:
        world.cluster.troubles["heart-v2"] = Finding(reason, "the cluster's own words")
        for name, manifest in world.cluster.deployments.items():
            if manifest["metadata"]["labels"][LABEL_VERSION] == "heart-v2":
                world.cluster.ready[name] = 0
        world.settle()
        world.pass_time(600)
        world.settle()
        if world.status.held:
            assert world.condition("Degraded")[1] == reason

    return happens


def _measured(intervals: int, **how: Any) -> Happens:
    def happens(world: World) -> None:
        world.errors = {"heart-v2": how.get("errors", 0.0)}
        world.traffic, world.prometheus = how.get("traffic", 1000.0), how.get("up", True)
        for _ in range(intervals):
            world.pass_time(30)
            world.settle()

    return happens


def _asks(*verbs: str) -> Happens:
    def happens(world: World) -> None:
        for verb in verbs:
            world.request(verb, "heart-v2")
            world.settle()

    return happens


def _then(*those: Happens) -> Happens:
    def happens(world: World) -> None:
        for each in those:
            each(world)

    return happens


def _change(**spec: Any) -> Happens:
    return lambda world: world.change(**spec)


def _change_rollout(world: World) -> None:
    world.change(rollout={**world.spec["rollout"], "analysis": {**ANALYSIS, "failureLimit": 3}})


def _change_strategy(world: World) -> None:
    other = {"Canary": "BlueGreen", "BlueGreen": "Shadow", "Shadow": "Canary", "Recreate": "Canary"}
    world.pass_time(7)
    world.change(rollout=_rollout(other[world.spec["rollout"]["strategy"]], {"hold": "60s"}))


def _change_provider(world: World) -> None:
    world.change(traffic={"provider": "Replicas"} if world.spec["traffic"] == GATEWAY else GATEWAY)


def _autoscaler_scales(world: World) -> None:
    world.change(predictor={"replicas": 4, "autoscaling": {"min": 4, "max": 8}})
    world.settle()
    world.cluster.scale(6)
    world.start_pods("heart-v2" if world.serves == "heart-v2" else "heart-v1")


def _gateway_refuses(world: World) -> None:
    world.cluster.gateway = "Refuses"
    world.settle()
    world.pass_time(90)


def _unparsed(world: World) -> None:
    world.analysis_problem = Finding("AnalysisInvalid", "metric errors: bad PromQL")
    world.settle()
    world.pass_time(90)


def _wait_and_retry(world: World) -> None:
    world.pass_time(7)
    world.request("retry", "heart-v2")


def _version(number: int, approval: str) -> Happens:
    def happens(world: World) -> None:
        world.add(number, approval)

    return happens


def _lose(world: World) -> None:
    del world.versions["heart-v2"]


EVENTS: dict[str, Happens] = {
    "a newer version is approved": _version(3, "Approved"),
    "the version is withdrawn": _version(2, "Rejected"),
    "the version is deleted": _lose,
    "the spec names the old version": _change(version={"name": "heart-v1"}),
    "the predictor's configuration changes": _change(predictor={"replicas": 4, "resources": {"memory": "512Mi"}}),
    "the pod overlay changes": lambda world: setattr(world, "overlay", Overlay('{"spec": {"hostname": "a"}}')),
    "the pod overlay cannot be used": lambda world: setattr(
        world, "overlay", Overlay("", Finding("OverlayMissing", "no ConfigMap"))
    ),
    "replicas change": _change(predictor={"replicas": 5}),
    "the autoscaler scales": _autoscaler_scales,
    "holds or limits change": _change_rollout,
    "the strategy changes": _change_strategy,
    "the traffic provider changes": _change_provider,
    "the Gateway refuses the route": _gateway_refuses,
    "the operator restarts": lambda world: None,
    "the operator is upgraded": lambda world: setattr(world, "image", "serving:2"),
    "its image cannot be pulled": _cannot_start("ImagePullBackOff"),
    "its pods run out of memory": _cannot_start("OOMKilled"),
    "its files are not those recorded": _cannot_start("ArtifactDigestMismatch"),
    "the quota is full": _cannot_start("FailedCreate"),
    "no node has room": _cannot_start("Unschedulable"),
    "a bad measurement is let pass": _measured(1, errors=0.9),
    "one bad measurement too many": _measured(2, errors=0.9),
    "inconclusive measurements, one too many": _measured(2, errors=0.5),
    "no data": _measured(2, traffic=0.0),
    "no data, one interval too many": _measured(4, traffic=0.0),
    "Prometheus is away": _measured(5, up=False),
    "a query cannot be parsed": _unparsed,
    "a person promotes": _asks("promote"),
    "a person promotes after a bad measurement": _then(_measured(1, errors=0.9), _asks("promote")),
    "a person promotes without data": _then(_measured(1, traffic=0.0), _asks("promote")),
    "a person promotes in full": _asks("promote-full"),
    "a person pauses": _asks("pause"),
    "a person resumes what nobody paused": _asks("resume"),
    "a person pauses and resumes": _asks("pause", "resume"),
    "a person aborts": _asks("abort"),
    "a person retries": _wait_and_retry,
    "a person rolls the new version back": _asks("rollback"),
    "a person releases it": _asks("release"),
    "a monitor asks to roll it back": lambda world: world.ask_rollback("heart-v2"),
}


# --- what comes of it ---------------------------------------------------------------------------------------------


def _same(world: World, before: World) -> None:
    """The version, the stage and who serves are as before."""
    assert world.serves == before.serves
    if before.status.rollout is None:
        assert world.status.rollout is None
        return
    now, then = world.rollout, before.rollout
    assert (now.target, now.step, now.started_at) == (then.target, then.step, then.started_at)


def _goes_on(world: World, before: World) -> None:
    _same(world, before)
    assert world.status.phase != "Paused" or before.status.phase == "Paused"
    assert not {"RequestRefused", "RollbackRefused"} & set(world.reasons())


def _waits(world: World, before: World) -> None:
    world.start_pods()
    world.settle()
    _same(world, before)
    assert world.status.phase == "Paused"
    assert world.condition("Progressing")[0] == "False"


def _refused(world: World, before: World) -> None:
    _same(world, before)
    assert {"RequestRefused", "RollbackRefused"} & set(world.reasons())


def _replaced(world: World, before: World) -> None:
    assert world.serves == before.serves
    assert world.rollout.target != before.rollout.target
    assert world.rollout.step == -1
    assert world.status.held is None


def _begins(world: World, before: World) -> None:
    assert before.status.rollout is None
    assert world.serves == before.serves
    assert world.rollout.step <= 0


def _ended(world: World, before: World) -> None:
    assert world.status.rollout is None
    assert world.serves == before.serves
    world.start_pods()
    world.settle()
    assert world.selected() | world.previewed() == {"heart-v1"}
    assert world.running() == {"heart-v1": 4}
    assert not world.cluster.mirrored()


def _cancelled(world: World, before: World) -> None:
    _ended(world, before)
    assert world.status.held is None
    assert not any(KEY in each.metadata.annotations for each in world.versions.values())


def _fails(world: World, before: World) -> None:
    _ended(world, before)
    assert KEY in world.versions["heart-v2"].metadata.annotations
    assert world.status.held is not None
    assert world.status.held.version == "heart-v2"


def _starts_over(world: World, before: World) -> None:
    assert world.serves == before.serves
    assert world.rollout.target == before.rollout.target
    assert world.rollout.started_at == world.now
    assert (world.rollout.step <= 0, world.rollout.measurements) == (True, [])
    assert world.rollout.strategy == world.spec["rollout"]["strategy"]


def _promoted(world: World, _: World) -> None:
    world.start_pods()
    world.settle()
    assert world.serves == "heart-v2"
    assert world.selected() == {"heart-v2"}


def _back(world: World, _: World) -> None:
    world.start_pods()
    world.settle()
    assert world.serves == "heart-v1"
    assert world.selected() == {"heart-v1"}
    assert KEY in world.versions["heart-v2"].metadata.annotations


OUTCOMES: dict[str, Callable[[World, World], None]] = {
    "goes on": _goes_on, "waits": _waits, "refused": _refused, "replaced": _replaced, "begins": _begins,
    "cancelled": _cancelled, "fails": _fails, "starts over": _starts_over, "promoted": _promoted, "back": _back,
}  # fmt: skip


def _lanes(event: str, column: str) -> Iterator[tuple[str, str]]:
    """The strategies and providers to which a cell applies."""
    if column == "Recreate":
        strategies = ["Recreate"]
    elif column == "Promoting":
        strategies = ["Canary"]  # previews and shadows have their full size from the beginning
    else:
        strategies = ["Canary", "BlueGreen", "Shadow"]
    providers = ["Gateway"] if event == "the Gateway refuses the route" else ["Replicas", "Gateway"]
    return ((strategy, provider) for strategy in strategies for provider in providers)


CELLS = [
    (event, column, strategy, provider)
    for event in EVENTS
    for column in COLUMNS
    for strategy, provider in _lanes(event, column)
]


def test_every_event_has_its_row() -> None:
    assert _rows().keys() == EVENTS.keys()


@pytest.mark.parametrize(("event", "column", "strategy", "provider"), CELLS)
def test_a_cell(event: str, column: str, strategy: str, provider: str) -> None:
    before = at(column, strategy, provider)
    world = deepcopy(before)
    EVENTS[event](world)
    world.settle()
    OUTCOMES[_rows()[event][column]](world, before)
