"""A namespace with an operator, and stories of trainings that are played in it side by side.

Nearly all of a story's time is waiting for pods and for the clock, so the first test starts all stories that were
chosen, and each test waits for its own.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from hack.demo import patients
from perennial.adapters.connection import Connection
from perennial.adapters.kubernetes import KubernetesApi
from tests.training.ward import School, Tenants

Story = Callable[[School], Awaitable[None]]
AT_ONCE = 6
"""Stories that are played at the same time: more runs than that keep each other waiting on two cores."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def school(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[School]:
    """Two namespaces of this process's own; taken away at the end."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("no cluster: run these by `make test-training`")
    name = f"training-{os.environ.get('PYTEST_XDIST_WORKER', 'one')}"
    async with KubernetesApi(Connection.load()) as api:
        stage = Tenants(namespace=name, api=api, folder=name, release=f"perennial-{name}", system=f"{name}-system")
        made = School(stage, patients.load(), tmp_path_factory.mktemp(name))
        try:
            await made.open()
            yield made
        finally:
            await made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def played(request: pytest.FixtureRequest, school: School) -> AsyncIterator[dict[str, asyncio.Task[None]]]:
    """The chosen stories of the module, under way, by name."""
    calls = (getattr(item, "callspec", None) for item in request.session.items if item.path == request.path)
    chosen: list[Story] = [call.params["story"] for call in calls if call is not None and "story" in call.params]
    places = asyncio.Semaphore(AT_ONCE)
    tasks = {story.__name__: asyncio.create_task(_play(story, school, places)) for story in chosen}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _play(story: Story, school: School, places: asyncio.Semaphore) -> None:
    async with places:
        await story(school)
