"""A namespace with an operator and a trained model, and stories that are played in it side by side.

Nearly all of a story's time is waiting for windows to pass, so the first test starts all stories that were chosen, and
each test waits for its own.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from hack.demo import patients
from perennial.adapters.connection import Connection
from perennial.adapters.kubernetes import KubernetesApi
from tests.drift.node.scene import Neighbours
from tests.rollouts.ward import Ward

Story = Callable[[Ward], Awaitable[None]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ward(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ward]:
    """A namespace of this process's own, with a neighbour; taken away at the end."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("no cluster: run these by `make test-drift`")
    name = f"drift-{os.environ.get('PYTEST_XDIST_WORKER', 'one')}"
    async with KubernetesApi(Connection.load()) as api:
        stage = Neighbours(namespace=name, api=api, folder=name, release=f"perennial-{name}", system=f"{name}-system")
        made = Ward(stage, patients.load(), tmp_path_factory.mktemp(name))
        try:
            await made.open()
            yield made
        finally:
            await made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def played(request: pytest.FixtureRequest, ward: Ward) -> AsyncIterator[dict[str, asyncio.Task[None]]]:
    """The chosen stories of the module, under way, by name."""
    calls = (getattr(item, "callspec", None) for item in request.session.items if item.path == request.path)
    chosen: list[Story] = [call.params["story"] for call in calls if call is not None and "story" in call.params]
    tasks = {story.__name__: asyncio.create_task(_play(story, ward)) for story in chosen}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _play(story: Story, ward: Ward) -> None:
    await story(ward)
