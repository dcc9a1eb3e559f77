"""The node, one namespace and one operator of its own for each test, so that they can run side by side."""

import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from hack.demo.stage import Stage, run
from perennial.adapters.connection import Connection
from perennial.adapters.kubernetes import KubernetesApi

MakeStage = Callable[[str], Coroutine[Any, Any, Stage]]


@pytest.fixture
async def api() -> AsyncIterator[KubernetesApi]:
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("no cluster: run these by `make test-e2e`")
    async with KubernetesApi(Connection.load()) as api:
        yield api


@pytest.fixture
async def make_stage(api: KubernetesApi) -> AsyncIterator[MakeStage]:
    """Makes a namespace and an operator that watches it alone; both are taken away at the end."""
    made: list[Stage] = []

    async def make(name: str) -> Stage:
        stage = Stage(namespace=name, api=api, folder=name, release=f"perennial-{name}", system=f"{name}-system")
        made.append(stage)
        # The definitions are the cluster's; each test has an operator of its own.
        await run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", "crds")
        await stage.open()
        await stage.install("crds.install=false")
        return stage

    yield make
    for stage in made:
        await stage.uninstall()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
