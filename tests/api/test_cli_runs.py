"""``kubectl perennial train``, ``cancel`` and ``reproduce`` against a real API server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.api.test_cli import Person
from tests.api.test_training import REJECTED, runs, status, trained
from tests.api.world import World


@pytest.fixture
async def person(world: World) -> AsyncIterator[Person]:
    """v1 is registered; the operator looks again and again, and runs end as the world's natures say."""
    await trained(world)

    async def live() -> None:
        while True:
            await world.reconcile("ModelTraining", "heart")
            for nature in world.natures:
                await nature(world)
            await asyncio.sleep(0.1)

    task = asyncio.create_task(live())
    yield Person(world)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_train_watches_a_run_to_its_end(person: Person) -> None:
    answer = await person.run("train", "heart", "--watch")
    assert answer.code == 0, answer
    assert "run 2 of heart has started" in answer.out
    assert "run 2: Succeeded: Registered heart-v2" in answer.out
    person.world.natures = [runs(failing=REJECTED)]
    answer = await person.run("train", "heart", "--watch")
    assert answer.code == 1
    assert "run 3: Failed: DataRejected" in answer.out


async def test_a_run_is_cancelled_and_what_is_asked_meanwhile_waits(person: Person) -> None:
    person.world.natures = []
    assert "run 2 of heart has started" in await person.said("train", "mt/heart")
    answer = await person.run("train", "mt/heart")
    assert (answer.code, answer.out) == (0, "a run of heart is asked for\n")
    assert "run 2 of heart is under way" in answer.err
    # The second request has not been heard: this one takes its place.
    said = await person.said("cancel", "heart")
    assert "run 2: Cancelled" in said
    assert said.strip().endswith(" of admin")
    assert (await status(person.world))["runCounter"] == 2
    answer = await person.run("cancel", "heart")
    assert answer.code == 1
    assert "refused: no run is under way" in answer.err


async def test_a_version_is_reproduced(person: Person) -> None:
    answer = await person.run("reproduce", "mv/heart-v1")
    assert answer.code == 0, answer
    assert "it is to reproduce heart-v1" in answer.out
    assert "has the same SHA-256" in answer.out
    assert len(await person.world.all("ModelVersion")) == 1
    answer = await person.run("reproduce", "heart-v7")
    assert answer.code == 1
    assert "there is no ModelVersion heart-v7" in answer.err
