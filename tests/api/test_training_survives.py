"""A training on a real API server, its operator ended after every single write."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from perennial.api.run import Run
from perennial.api.training import ModelTraining
from perennial.contracts.request import RunRequest
from perennial.domain.training.request import started
from tests.api.test_training import AWAY, REJECTED, TRAINING, changed, is_poll, polls, requests, runs, status
from tests.api.world import EPOCH, Nature, Scenario, World
from tests.unit.training.support import spec

Json = dict[str, Any]
Survives = Callable[[Scenario], Awaitable[None]]


@pytest.mark.parametrize("nature", [runs(), runs(0.5), runs(failing=REJECTED)], ids=["good", "gate", "failed"])
async def test_a_run_survives_every_write(assert_survives_every_write: Survives, nature: Nature) -> None:
    async def scenario(world: World) -> None:
        world.natures = [nature]
        await world.apply(TRAINING)
        await world.settle()

    await assert_survives_every_write(scenario)


async def test_changed_data_survive_every_write(assert_survives_every_write: Survives) -> None:
    async def scenario(world: World) -> None:
        world.natures = [polls("d" * 64, REJECTED)]
        await world.apply(changed(data={**spec()["data"], "poll": "1h"}))
        await world.settle()
        assert (await status(world))["runCounter"] == 1
        world.natures = [polls("e" * 64)]
        world.advance(3600)
        await world.settle()
        found = await status(world)
        assert [run["trigger"]["type"] for run in found["runs"]] == ["Data", "Spec"]
        assert found["runs"][0]["trigger"]["id"] == "e" * 64
        assert {is_poll(job) for job in await world.all("Job", "batch/v1")} == {False}

    await assert_survives_every_write(scenario)


async def test_a_second_attempt_and_its_cancellation_survive_every_write(
    assert_survives_every_write: Survives,
) -> None:
    async def scenario(world: World) -> None:
        world.natures = [runs(failing=AWAY)]
        await world.apply(TRAINING)
        await world.settle()
        assert (await status(world))["phase"] == "Retrying"
        world.natures = []
        world.advance(30)
        await world.settle()
        assert len(await world.all("Job", "batch/v1")) == 2
        await world.annotate("ModelTraining", "heart", {"perennial.dev/request": "cancel/heart/u1"})
        await world.settle()
        (run,) = (await status(world))["runs"]
        assert (run["phase"], run["attempt"], run["outcome"]) == ("Cancelled", 2, "Cancelled")
        assert await world.all("Job", "batch/v1") == await requests(world) == []

    await assert_survives_every_write(scenario)


async def test_pruning_survives_every_write(assert_survives_every_write: Survives) -> None:
    async def scenario(world: World) -> None:
        world.put(f"{world.namespace}/heart/3/model.onnx", b"")  # of three runs before this one
        world.natures = [runs()]
        made = await world.apply(TRAINING)
        for number in (1, 2, 3):
            await _old_run(world, made, number)
        await world.settle()
        assert sorted(each["metadata"]["name"] for each in await world.all("Job", "batch/v1"))[1:] == ["old-2", "old-3"]
        assert len(await world.all("Job", "batch/v1")) == len(await requests(world)) == 3

    await assert_survives_every_write(scenario)


async def _old_run(world: World, training: Json, number: int) -> None:
    """The Job and the ConfigMap of a run that ended long ago."""
    owner = {
        "apiVersion": training["apiVersion"], "kind": training["kind"], "name": "heart", "controller": True,
        "uid": training["metadata"]["uid"],
    }  # fmt: skip
    metadata = {
        "name": f"old-{number}", "namespace": world.namespace, "ownerReferences": [owner],
        "labels": {"perennial.dev/training": "heart", "perennial.dev/run": str(number)},
    }  # fmt: skip
    begun = {"request.json": msgspec.json.encode(a_request(world, number)).decode()}
    await world.user.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": begun})
    pod = {"restartPolicy": "Never", "containers": [{"name": "run", "image": "components:old"}]}
    await world.user.create({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": {"spec": pod}},
    })  # fmt: skip


def a_request(world: World, number: int) -> RunRequest:
    """What the run ``number`` was asked."""
    training = ModelTraining.parse({**TRAINING, "metadata": {"name": "heart", "namespace": world.namespace}})
    run = Run.model_validate({
        "number": number, "trigger": {"type": "Spec"}, "phase": "Running", "job": f"old-{number}", "startedAt": EPOCH,
    })  # fmt: skip
    return started(training, run, f"file://{world.folder}", None).request
