"""A monitor on a real API server, with Prometheus' API beside it: verdicts, actions, outages, no write that hurts."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from perennial.contracts.names import quarantine_annotation
from tests.api.world import Scenario, World, deployment_controller
from tests.unit.drift.prometheus_server import PrometheusServer, Traffic
from tests.unit.drift.support import baseline, signature, training_json, version_json

Json = dict[str, Any]
Survives = Callable[[Scenario], Awaitable[None]]

DEPLOYMENT: Json = {
    "kind": "ModelDeployment",
    "metadata": {"name": "heart"},
    "spec": {"model": "heart", "predictor": {"replicas": 1}, "standby": {"keep": "1h"}},
}
MONITOR: Json = {
    "kind": "DriftMonitor",
    "metadata": {"name": "heart"},
    "spec": {
        "deployment": "heart",
        "training": "heart",
        "window": {"length": "60s", "chunks": 3},
        "scrapeInterval": "1s",
        "performance": {"minLabels": 100, "maxDrop": 0.1},
        "policy": {
            "onInputDrift": "Retrain", "onPerformanceLoss": "Rollback", "consecutive": 1, "cooldown": "1m",
        },
    },
}  # fmt: skip
CALM = {
    ("age", "[20,40)"): 6.0, ("age", "[40,60)"): 8.0, ("age", "[60,80]"): 6.0, ("sex", "0"): 6.4, ("sex", "1"): 13.6,
}  # fmt: skip
OLDER = {**CALM, ("age", "[20,40)"): 1.0, ("age", "[60,80]"): 11.0}
GOOD, BAD = {("1", "1"): 9.0, ("1", "0"): 1.0}, {("1", "1"): 5.0, ("1", "0"): 5.0}


@pytest.fixture
async def prometheus() -> AsyncIterator[PrometheusServer]:
    async with PrometheusServer() as server:
        yield server


def flow(
    prometheus: PrometheusServer,
    world: World,
    bins: Mapping[tuple[str, str], float],
    feedback: Mapping[tuple[str, str], float] | None = None,
    *,
    version: str = "heart-v1",
) -> None:
    """From an hour ago on, this is all that comes."""
    start = world.now.timestamp() - 3600
    prometheus.traffic = [Traffic(version, start, start + 1e6, bins, {"1": 20.0}, feedback or {})]


async def register(world: World, number: int) -> None:
    """An approved version whose baseline and signature are in the store."""
    manifest = version_json(f"heart-v{number}")
    record = manifest["spec"]["record"]
    record["number"] = number
    for file, content in (("baseline.json", baseline()), ("signature.json", signature())):
        uri = world.put(f"heart/{number}/{file}", content)
        record["artifacts"][file] = {"uri": uri, "sha256": hashlib.sha256(content).hexdigest()}
    await world.apply(manifest)


async def watched(world: World, prometheus: PrometheusServer, monitor: Json = MONITOR) -> None:
    """Version 1 serves, a monitor watches it, and Prometheus answers."""
    world.prometheus.query = prometheus.client.query
    world.prometheus.query_range = prometheus.client.query_range
    world.natures = [deployment_controller]
    await register(world, 1)
    await world.apply(DEPLOYMENT)
    await world.settle()
    await world.apply(monitor)
    await world.settle()


async def pass_windows(world: World, number: int = 1) -> None:
    """Lets chunk after chunk close."""
    for _ in range(3 * number):
        world.advance(20)
        await world.settle()


async def status(world: World) -> Json:
    """The monitor's."""
    found: Json = (await world.read("DriftMonitor", "heart"))["status"]
    return found


async def test_from_the_first_chunk_to_a_healthy_window(world: World, prometheus: PrometheusServer) -> None:
    flow(prometheus, world, CALM, GOOD)
    await watched(world, prometheus)
    first = await status(world)
    assert (first["verdict"], first["version"]) == ("InsufficientData", "heart-v1")
    assert world.requeue is not None
    assert world.requeue <= 22.1
    world.advance(3)
    await pass_windows(world)
    found = await status(world)
    assert (found["verdict"], found["observations"], found["performance"]["value"]) == ("Healthy", 1200, 0.9)
    assert (await world.condition("DriftMonitor", "heart"))["status"] == "True"
    writes = len(world.operator.writes)
    world.advance(15)
    await world.settle()
    assert len(world.operator.writes) == writes, "between two chunks nothing is written"
    assert [reason for reason, _ in await world.events() if reason in {"Healthy", "Drifting"}] == ["Healthy"]


async def test_drift_asks_for_a_retrain_and_says_why(world: World, prometheus: PrometheusServer) -> None:
    flow(prometheus, world, OLDER)
    await watched(world, prometheus)
    world.advance(3)
    await pass_windows(world, 4)
    found = await status(world)
    assert (found["verdict"], found["worst"], found["consecutive"]) == ("Drifting", "age", 4)
    assert [each["kind"] for each in found["actions"]] == ["Retrain"]
    assert found["features"][0]["topBin"] == "[60,80] 30% → 55%"
    events = dict(await world.events())
    assert "age ([60,80] 30% → 55%" in events["Drifting"]
    assert "because of heart-v1" in events["Retrain"]


async def test_prometheus_away_changes_no_verdict(world: World, prometheus: PrometheusServer) -> None:
    flow(prometheus, world, CALM)
    await watched(world, prometheus)
    world.advance(3)
    await pass_windows(world)
    before = await status(world)
    prometheus.broken = 503, "starting"
    await pass_windows(world)
    during = await status(world)
    ready = await world.condition("DriftMonitor", "heart")
    assert (ready["status"], ready["reason"]) == ("False", "PrometheusUnavailable")
    assert "no verdict without counters" in ready["message"]
    assert {**during, "conditions": []} == {**before, "conditions": []}
    prometheus.broken = None
    await pass_windows(world)
    assert (await world.condition("DriftMonitor", "heart"))["reason"] == "Judged"


async def test_an_empty_prometheus_is_no_health(world: World, prometheus: PrometheusServer) -> None:
    await watched(world, prometheus)
    world.advance(3)
    await pass_windows(world, 2)
    found = await status(world)
    assert found["verdict"] == "NoMetrics"
    assert "actions" not in found or found["actions"] == []


async def test_the_store_away_is_said(world: World, prometheus: PrometheusServer) -> None:
    flow(prometheus, world, CALM)
    await watched(world, prometheus)
    (world.folder / "heart/1/baseline.json").write_bytes(b"{}")
    world.restart()
    world.advance(63)
    await world.settle()
    ready = await world.condition("DriftMonitor", "heart")
    assert (ready["status"], ready["reason"]) == ("False", "BaselineUnreadable")
    assert "SHA-256" in ready["message"]


async def loss(world: World, prometheus: PrometheusServer) -> None:
    """Version 2 takes over from version 1, and labels show that it is bad."""
    await watched(world, prometheus)
    await register(world, 2)
    await world.settle()
    flow(prometheus, world, CALM, BAD, version="heart-v2")
    prometheus.traffic.append(Traffic("heart-v1", 0, 1e12, CALM, {"1": 20.0}, GOOD))
    world.advance(3)
    await pass_windows(world, 2)


async def test_a_loss_rolls_back_and_the_good_version_is_judged_anew(
    world: World, prometheus: PrometheusServer
) -> None:
    await loss(world, prometheus)
    version = await world.read("ModelVersion", "heart-v2")
    assert "accuracy 0.5" in version["metadata"]["annotations"][quarantine_annotation("heart")]
    deployment = (await world.read("ModelDeployment", "heart"))["status"]
    assert deployment["stable"]["version"] == "heart-v1"
    await pass_windows(world, 2)
    found = await status(world)
    assert (found["version"], found["verdict"]) == ("heart-v1", "Healthy")
    assert [(each["kind"], each["version"]) for each in found["actions"]] == [("Rollback", "heart-v2")]
    assert found["actions"][0]["id"] in deployment["handledActions"]


async def test_one_drift_is_one_retrain_whichever_write_the_operator_ends_after(
    assert_survives_every_write: Survives, prometheus: PrometheusServer
) -> None:
    async def scenario(world: World) -> None:
        flow(prometheus, world, OLDER)
        await watched(world, prometheus)
        world.advance(63)
        await world.settle()
        world.advance(60)
        await world.settle()
        assert [each["kind"] for each in (await status(world))["actions"]] == ["Retrain"]

    await assert_survives_every_write(scenario)


def changed(name: str = "heart", **spec: Any) -> Json:
    """MONITOR by this name, with other fields; ``policy`` is added to its own."""
    policy = {**MONITOR["spec"]["policy"], **spec.pop("policy", {})}
    return {**MONITOR, "metadata": {"name": name}, "spec": {**MONITOR["spec"], **spec, "policy": policy}}


@pytest.mark.parametrize(
    "spec",
    [
        {"mode": "Observe"},
        {"policy": {"maintenance": [{"days": ["Mon", "Wed", "Fri", "Sun", "Tue", "Thu", "Sat"], "start": "00:00",
                                     "length": "24h"}]}},
    ],
    ids=["Observe", "maintenance"],
)  # fmt: skip
async def test_who_only_watches_notes_and_nobody_hears(world: World, prometheus: PrometheusServer, spec: Json) -> None:
    flow(prometheus, world, OLDER)
    await watched(world, prometheus, changed(**spec))
    await world.apply(training_json())
    world.advance(3)
    await pass_windows(world, 2)
    found = await status(world)
    assert [each["kind"] for each in found["observed"]] == ["Retrain"]
    assert found.get("actions", []) == []
    assert found["lastAction"] == "would Retrain heart-v1"
    runs = (await world.read("ModelTraining", "heart"))["status"]["runs"]
    assert [each["trigger"]["type"] for each in runs] == ["Spec"], "the first, for the spec, and no other"


async def test_monitors_that_disagree_say_whose_verdict_counts(world: World, prometheus: PrometheusServer) -> None:
    flow(prometheus, world, OLDER)
    await watched(world, prometheus)
    await world.apply(changed("lax", inputs={"exclude": ["age"]}, policy={"onInputDrift": "Alert"}))
    world.advance(3)
    await pass_windows(world, 2)
    strict, lax = [await world.condition("DriftMonitor", name, "MonitorsDisagree") for name in ("heart", "lax")]
    assert strict["message"] == (
        "heart is found Drifting here, Healthy by DriftMonitor lax; the stricter counts: this one"
    )
    assert lax["message"] == "heart is found Healthy here, Drifting by DriftMonitor heart; the stricter counts: heart"
    assert (await status(world))["actions"], "it acts by its own policy"
    await world.delete("DriftMonitor", "lax")
    await pass_windows(world)
    assert await world.condition("DriftMonitor", "heart", "MonitorsDisagree") == {}


async def test_what_is_learnt_in_service_outlives_prometheus_and_the_operator(
    world: World, prometheus: PrometheusServer
) -> None:
    flow(prometheus, world, OLDER)
    await watched(world, prometheus, changed(baseline={"from": "Serving", "windows": 1}))
    world.advance(3)
    await pass_windows(world, 2)
    assert (await status(world))["verdict"] == "Healthy", "older patients are usual here"
    learnt = await world.read("ConfigMap", "heart-drift-baseline", "v1")
    flow(prometheus, world, CALM)
    prometheus.traffic = [Traffic("heart-v1", world.now.timestamp(), 1e12, CALM, {"1": 20.0})]
    world.restart()
    await pass_windows(world, 2)
    found = await status(world)
    assert (found["verdict"], found["worst"]) == ("Drifting", "age"), "what training had is another world here"
    assert await world.read("ConfigMap", "heart-drift-baseline", "v1") == learnt


async def test_a_change_of_verdict_leaves_a_report_and_a_person_gets_another(
    world: World, prometheus: PrometheusServer
) -> None:
    flow(prometheus, world, OLDER)
    await watched(world, prometheus)
    world.advance(3)
    await pass_windows(world)
    first = await world.read("ConfigMap", "heart-drift-report", "v1")
    assert "Drifting" in first["data"]["report.html"]
    await pass_windows(world)
    assert await world.read("ConfigMap", "heart-drift-report", "v1") == first, "the verdict is as before"
    await world.annotate("DriftMonitor", "heart", {"perennial.dev/request": "report/heart/one"})
    await world.settle()
    second = await world.read("ConfigMap", "heart-drift-report", "v1")
    assert second["metadata"]["annotations"]["perennial.dev/request"] == "one"
    assert second["data"] != first["data"]
    assert (await status(world))["handledRequest"] == "one"


async def test_signals_out_of_bounds_have_a_condition_and_no_verdict(
    world: World, prometheus: PrometheusServer
) -> None:
    flow(prometheus, world, CALM)
    prometheus.figures["queue"] = 9.0
    signals = [{"name": "queue", "query": "queue", "max": 5}]
    await watched(world, prometheus, changed(signals=signals))
    world.advance(3)
    await pass_windows(world)
    assert (await status(world))["verdict"] == "Healthy"
    breached = await world.condition("DriftMonitor", "heart", "SignalsBreached")
    assert breached["message"].startswith("queue 9 (at most 5), for ")
    prometheus.figures["queue"] = 5.0
    await pass_windows(world)
    assert await world.condition("DriftMonitor", "heart", "SignalsBreached") == {}


@pytest.mark.parametrize("write", range(1, 8))
async def test_one_loss_is_one_rollback_whichever_write_after_the_verdict_the_operator_ends_after(
    world: World, prometheus: PrometheusServer, write: int
) -> None:
    await watched(world, prometheus)
    await register(world, 2)
    await world.settle()
    flow(prometheus, world, CALM, BAD, version="heart-v2")
    world.advance(83)
    world.operator.end_after = len(world.operator.writes) + write
    await world.settle()
    assert len(world.ends) == 1
    assert [each["kind"] for each in (await status(world))["actions"]] == ["Rollback"]
    deployment = (await world.read("ModelDeployment", "heart"))["status"]
    assert deployment["stable"]["version"] == "heart-v1"
    assert quarantine_annotation("heart") in (await world.read("ModelVersion", "heart-v2"))["metadata"]["annotations"]
