"""One namespace, one operator and one training for each process of tests; its tests share one event loop."""

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from hack.demo import patients
from hack.demo.stage import Stage
from perennial.adapters.connection import Connection
from perennial.adapters.kubernetes import KubernetesApi
from tests.rollouts.ward import Ward


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ward(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ward]:
    """A namespace of this process's own; taken away at the end."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("no cluster: run these by `make test-rollouts`")
    name = f"rollouts-{os.environ.get('PYTEST_XDIST_WORKER', 'one')}"
    async with KubernetesApi(Connection.load()) as api:
        stage = Stage(namespace=name, api=api, folder=name, release=f"perennial-{name}", system=f"{name}-system")
        made = Ward(stage, patients.load(), tmp_path_factory.mktemp(name))
        try:
            await made.open()
            yield made
        finally:
            await made.close()
