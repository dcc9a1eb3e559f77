"""``kubectl perennial doctor`` where runs are made in Kubeflow: the operator is asked to ask it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.api.test_cli import Person
from tests.api.test_kubeflow import training
from tests.api.world import World
from tests.unit.kubeflow.conftest import Contract, started


@pytest.fixture
def kubeflow(world: World) -> Iterator[Contract]:
    """The operator's Kubeflow; at the test's end nothing may have broken the contract."""
    running, contract = started()
    world.use_kubeflow(contract.url)
    yield contract
    assert contract.control()["violations"] == []
    running.communicate(timeout=10)


@pytest.fixture
async def person(world: World) -> AsyncIterator[Person]:
    """The operator looks at ``heart`` again and again."""

    async def live() -> None:
        while True:
            await world.reconcile("ModelTraining", "heart")
            await asyncio.sleep(0.1)

    task = asyncio.create_task(live())
    yield Person(world)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_doctor_says_what_kubeflow_told_the_operator(
    world: World, kubeflow: Contract, person: Person
) -> None:  # fmt: skip
    await world.apply(training(suspend=True))
    await world.reconcile("ModelTraining", "heart")  # what no operator has looked at is said to be that alone
    answer = await person.run("doctor", "mt/heart")
    assert f"{kubeflow.url} answers" in " ".join(answer.out.split()), answer
    kubeflow.fault("GET /experiments", "status", status=403, body={"code": 7, "message": "ada may not list"})
    answer = await person.run("doctor")
    assert answer.code == 1
    assert "KubeflowForbidden" in answer.out
    assert "ada may not list" in " ".join(answer.out.split())
    assert (await world.condition("ModelTraining", "heart", "Kubeflow"))["status"] == "False"
    assert kubeflow.runs == []
