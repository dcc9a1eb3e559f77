"""Each strategy on a real API server: where requests go at each moment, and the process ended after any write."""

import copy
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from perennial.contracts.names import LABEL_DEPLOYMENT, LABEL_REVISION
from tests.api.apiserver import ApiServer
from tests.api.gateway import ROUTE, gateway, installed
from tests.api.test_deployment import DEPLOYMENT, from_there, measures, pass_time, running, selected, status, version
from tests.api.world import CHILDREN, Nature, Scenario, World, deployment_controller

Json = dict[str, Any]
Survives = Callable[[Scenario], Awaitable[None]]

ANALYSIS = DEPLOYMENT["spec"]["rollout"]["analysis"]
BLUE_GREEN = {"strategy": "BlueGreen", "preview": {"hold": "60s"}, "analysis": {"metrics": []}}
SHADOW = {"strategy": "Shadow", "shadow": {"share": 40, "hold": "60s"}, "analysis": ANALYSIS}
CANARY = {
    "steps": [{"weight": 10, "hold": "60s"}, {"weight": 50, "hold": "60s"}], "analysis": ANALYSIS,
    "match": {"headers": [{"name": "x-group", "value": "b"}]},
}  # fmt: skip
TRAFFIC = {"provider": "Gateway", "parentRef": {"name": "edge", "namespace": "infra"}, "hostnames": ["heart.example"]}


def deployment(rollout: Json, **spec: Any) -> Json:
    made = copy.deepcopy(DEPLOYMENT)
    made["spec"] = {**made["spec"], "rollout": rollout, **spec}
    return made


def serving(rollout: Json, *natures: Nature, **spec: Any) -> Scenario:
    """v1 serves."""

    async def scenario(world: World) -> None:
        world.natures += [deployment_controller, *natures]
        world.prometheus.answer = measures()
        await world.apply(version(1))
        await world.apply(deployment(rollout, **spec))
        await world.settle()

    return scenario


async def next_version(world: World) -> None:
    """v2 is on its way."""
    await world.apply(version(2))
    await world.settle()


async def previewed(world: World) -> set[str]:
    """The versions of the pods that the preview Service selects."""
    selector = (await world.read("Service", "heart-preview", "v1"))["spec"]["selector"]
    pods = await world.all("Pod", "v1")
    return {
        each["metadata"]["labels"]["perennial.dev/version"]
        for each in pods
        if selector.items() <= each["metadata"]["labels"].items()
    }


async def through(world: World) -> None:
    """The next version comes, goes all the way, and the one before it ends."""
    await next_version(world)
    await pass_time(world, 120, tick=60)
    assert (await status(world))["stable"]["version"] == "heart-v2"
    await pass_time(world, 1200, tick=1200)
    assert await running(world) == {"heart-v2": 2}


# --- Blue/green, Shadow, Recreate -----------------------------------------------------------------------------------


async def test_blue_green_shows_the_new_version_beside_then_moves_all_requests(world: World) -> None:
    await serving(BLUE_GREEN)(world)
    assert await world.get("Service", "heart-preview", "v1") is None
    await next_version(world)
    assert (await selected(world), await previewed(world)) == ({"heart-v1"}, {"heart-v2"})
    assert await running(world) == {"heart-v1": 2, "heart-v2": 2}
    await pass_time(world, 60)
    assert await selected(world) == {"heart-v2"}
    assert await world.get("Service", "heart-preview", "v1") is None
    assert await running(world) == {"heart-v1": 2, "heart-v2": 2}, "the one before stands by"


async def test_a_shadow_gets_copies_and_its_setting_goes_with_it(world: World) -> None:
    await serving(SHADOW)(world)
    assert await world.get("ConfigMap", "heart-settings", "v1") is None
    await next_version(world)
    assert (await selected(world), await previewed(world)) == ({"heart-v1"}, {"heart-v2"})
    settings = await world.read("ConfigMap", "heart-settings", "v1")
    assert json.loads(settings["data"]["mirror.json"]) == {
        "target": f"http://heart-preview.{world.namespace}.svc", "share": 40, "version": "heart-v2",
        "revision": (await status(world))["rollout"]["target"]["revision"],
    }  # fmt: skip
    assert settings["metadata"]["labels"][LABEL_DEPLOYMENT] == "heart"
    await pass_time(world, 60)
    assert await selected(world) == {"heart-v2"}
    assert await world.get("ConfigMap", "heart-settings", "v1") is None


async def test_a_failed_shadow_leaves_nothing_behind(world: World) -> None:
    await serving(SHADOW)(world)
    await next_version(world)
    world.prometheus.answer = measures(errors=0.5)
    await pass_time(world, 60)
    assert await running(world) == {"heart-v1": 2}
    assert await world.get("ConfigMap", "heart-settings", "v1") is None
    assert await world.get("Service", "heart-preview", "v1") is None


async def test_recreate_ends_the_old_pods_before_the_new_ones_start(world: World) -> None:
    seen: list[dict[str, int]] = []

    async def watch(watched: World) -> None:
        seen.append(await running(watched))

    await serving({"strategy": "Recreate"}, watch)(world)
    await next_version(world)
    assert await running(world) == {"heart-v2": 2}
    assert not [each for each in seen if each.get("heart-v1") and each.get("heart-v2")]


@pytest.mark.parametrize("rollout", [BLUE_GREEN, SHADOW], ids=["BlueGreen", "Shadow"])
async def test_a_rollout_survives_every_write(assert_survives_every_write: Survives, rollout: Json) -> None:
    await assert_survives_every_write(from_there(serving(rollout), through))


# --- Gateway --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gateway_api(server: ApiServer) -> Iterator[None]:
    with installed(server):
        yield


async def shares(world: World) -> list[tuple[str, int]]:
    """(Service, weight) of the last rule."""
    route = await world.read(*ROUTE)
    return [(each["name"], each["weight"]) for each in route["spec"]["rules"][-1]["backendRefs"]]


async def test_without_the_gateway_api_it_is_said_and_the_version_serves_in_the_cluster(world: World) -> None:
    await serving({"steps": []}, traffic=TRAFFIC)(world)
    assert await selected(world) == {"heart-v1"}
    found = [each for each in (await status(world))["conditions"] if each["reason"] == "GatewayApiMissing"]
    assert found
    assert "install the Gateway API" in found[0]["message"]


@pytest.mark.usefixtures("gateway_api")
async def test_the_route_carries_weights_and_the_header_while_it_is_rolled_out(world: World) -> None:
    await serving(CANARY, gateway(), traffic=TRAFFIC)(world)
    route = await world.read(*ROUTE)
    assert route["spec"]["hostnames"] == ["heart.example"]
    assert {**route["spec"]["parentRefs"][0], "group": "", "kind": ""} == {
        "group": "", "kind": "", "name": "edge", "namespace": "infra",
    }  # fmt: skip
    assert await shares(world) == [("heart", 100)]
    assert len(route["spec"]["rules"]) == 1

    await next_version(world)
    assert await shares(world) == [("heart", 90), ("heart-preview", 10)]
    first_rule = (await world.read(*ROUTE))["spec"]["rules"][0]
    assert first_rule["matches"][0]["headers"] == [{"type": "Exact", "name": "x-group", "value": "b"}]
    assert [each["name"] for each in first_rule["backendRefs"]] == ["heart-preview"]
    assert (await selected(world), await previewed(world)) == ({"heart-v1"}, {"heart-v2"})
    assert (await status(world))["traffic"]["realWeight"] == 10

    await pass_time(world, 60)
    assert await shares(world) == [("heart", 50), ("heart-preview", 50)]
    await pass_time(world, 60)
    assert await shares(world) == [("heart", 100)]
    assert await selected(world) == {"heart-v2"}
    assert (await world.read(*ROUTE))["status"]["parents"], "what the Gateway wrote is kept"
    writes = len(world.operator.writes)
    await world.settle()
    assert len(world.operator.writes) == writes


@pytest.mark.usefixtures("gateway_api")
async def test_what_the_gateway_refuses_is_said_in_its_own_words(world: World) -> None:
    refuses = gateway("False", "NoMatchingListenerHostname", "no listener takes heart.example")
    await serving(CANARY, refuses, traffic=TRAFFIC)(world)
    await next_version(world)
    said = [(each["reason"], each["message"]) for each in (await status(world))["conditions"]]
    assert any(reason == "NoMatchingListenerHostname" and "no listener takes" in text for reason, text in said), said
    assert (await status(world))["stable"]["version"] == "heart-v1"
    selector = (await world.read("Service", "heart", "v1"))["spec"]["selector"]
    assert LABEL_REVISION in selector


@pytest.mark.usefixtures("gateway_api")
async def test_a_route_of_somebody_else_is_left_alone(world: World) -> None:
    backends = [{"backendRefs": [{"name": "other", "port": 80}]}]
    await world.apply(
        {"apiVersion": ROUTE[2], "kind": ROUTE[0], "metadata": {"name": "heart"}, "spec": {"rules": backends}}
    )
    await serving(CANARY, traffic=TRAFFIC)(world)
    assert (await world.read(*ROUTE))["spec"]["rules"][0]["backendRefs"][0]["name"] == "other"
    said = [each["message"] for each in (await status(world))["conditions"] if each["reason"] == "RouteNotOurs"]
    assert said
    assert "belongs to somebody else" in said[0]


@pytest.mark.usefixtures("gateway_api")
async def test_back_to_replicas_the_route_goes(world: World) -> None:
    await serving(CANARY, gateway(), traffic=TRAFFIC)(world)
    await world.apply(deployment({"steps": CANARY["steps"], "analysis": ANALYSIS}))
    await world.settle()
    assert await world.get(*ROUTE) is None


@pytest.mark.usefixtures("gateway_api")
async def test_a_rollout_by_a_gateway_survives_every_write(assert_survives_every_write: Survives) -> None:
    async def begin(world: World) -> None:
        world.children = (*CHILDREN, (ROUTE[2], ROUTE[0]))
        await serving({**CANARY, "steps": CANARY["steps"][:1]}, gateway(), traffic=TRAFFIC)(world)

    await assert_survives_every_write(from_there(begin, through))
