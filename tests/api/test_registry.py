"""Approval by the namespace's label, and old versions that go, on a real API server."""

import json
import shutil
from collections.abc import Awaitable, Callable
from typing import Any

from perennial.contracts.names import ENV_REMOVED_FOLDER
from perennial.contracts.result import RunOutcome
from tests.api.test_deployment import version
from tests.api.test_training import TRAINING, ready, status, trained
from tests.api.world import Nature, Scenario, World, job_controller
from tests.unit.training.support import spec

Json = dict[str, Any]
Survives = Callable[[Scenario], Awaitable[None]]


def removals(world: World) -> Nature:
    """Each Job that is asked to delete a folder does so; it must not belong to a version that is there."""

    def act(job: Json) -> RunOutcome:
        environment = job["spec"]["template"]["spec"]["containers"][0]["env"]
        folder = next(each["value"] for each in environment if each["name"] == ENV_REMOVED_FOLDER)
        shutil.rmtree(folder.removeprefix("file://"), ignore_errors=True)
        return RunOutcome(True)

    return job_controller(act)


async def versions(world: World, count: int, *natures: Nature) -> None:
    """``count`` versions with files, and a training that is suspended and keeps the newest two of them."""
    world.natures = [*natures]
    for number in range(1, count + 1):
        made = version(number)
        address = world.put(f"{world.namespace}/heart/{number}/result.json", b"{}")
        made["spec"]["record"] |= {"training": "heart", "run": number}
        made["spec"]["record"]["result"] = {**made["spec"]["record"]["result"], "uri": address}
        await world.apply(made)
    await world.apply({**TRAINING, "spec": spec(suspend=True, retention={"versions": 2})})
    await world.settle()


async def test_a_namespace_insists_on_a_person(world: World) -> None:
    world.server.kubectl("label", "namespace", world.namespace, "perennial.dev/approval=Manual")
    await trained(world)
    made = await world.read("ModelVersion", "heart-v1")
    assert (made["spec"]["approval"], made["spec"]["record"]["approval"]) == ("Pending", "Manual")
    assert (await ready(world))[1] == "ApprovalPending"
    [asked] = [each["data"] for each in await world.all("ConfigMap", "v1") if "request.json" in each.get("data", {})]
    assert json.loads(asked["request.json"])["gates"]["approval"] == "Manual", "its report says who decides"


async def test_old_versions_go_with_their_files_by_restricted_pods(world: World) -> None:
    world.server.kubectl("label", "namespace", world.namespace, "pod-security.kubernetes.io/enforce=restricted")
    await versions(world, 4, removals(world))
    assert sorted(each["metadata"]["name"] for each in await world.all("ModelVersion")) == ["heart-v3", "heart-v4"]
    assert sorted(path.name for path in (world.folder / world.namespace / "heart").iterdir()) == ["3", "4"]
    assert (await status(world))["retired"] == await world.all("Job", "batch/v1") == []
    assert [reason for reason, _ in await world.events()].count("VersionRetired") == 2


async def test_a_training_is_not_gone_before_their_files(world: World) -> None:
    await versions(world, 3)
    await world.delete("ModelTraining", "heart")
    await world.settle()
    assert (await world.read("ModelTraining", "heart"))["metadata"]["finalizers"] == ["perennial.dev/files"]
    world.natures = [removals(world)]
    await world.settle()
    assert await world.get("ModelTraining", "heart") is None
    assert sorted(path.name for path in (world.folder / world.namespace / "heart").iterdir()) == ["2", "3"]


async def test_their_going_survives_every_write(assert_survives_every_write: Survives) -> None:
    async def scenario(world: World) -> None:
        await versions(world, 3, removals(world))
        assert sorted(path.name for path in (world.folder / world.namespace / "heart").iterdir()) == ["2", "3"]

    await assert_survives_every_write(scenario)
