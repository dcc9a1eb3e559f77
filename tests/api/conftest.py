"""One API server for each test process, one namespace for each test."""

import itertools
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perennial.adapters.kubernetes import KubernetesApi
from perennial.reconcile.controller import Controller
from tests.api.apiserver import ROOT, ApiServer, running
from tests.api.process import Operator, StartOperator, launch
from tests.api.survival import Survival
from tests.api.world import Scenario, World, make_world

_numbers = itertools.count(1)


def controllers() -> dict[str, Controller[Any]]:
    """The operator's own."""
    from perennial.__main__ import controllers as made

    return made()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """etcd and kube-apiserver with our CustomResourceDefinitions."""
    with running(tmp_path_factory.mktemp("apiserver")) as api:
        api.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        api.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))
        shutil.rmtree(api.cache)  # kubectl remembers for hours which kinds there were
        yield api


@pytest.fixture
async def api(server: ApiServer) -> AsyncIterator[KubernetesApi]:
    """The administrator's connection."""
    async with KubernetesApi(server.connection()) as connected:
        yield connected


@pytest.fixture
def fresh_namespace(server: ApiServer) -> Callable[[], str]:
    """Names of namespaces that do not exist yet."""
    return lambda: f"test-{os.getpid()}-{next(_numbers):04}"


@pytest.fixture
def namespace(server: ApiServer, fresh_namespace: Callable[[], str]) -> str:
    """A namespace of the test's own."""
    name = fresh_namespace()
    server.create_namespace(name)
    return name


@pytest.fixture
async def world(server: ApiServer, tmp_path: Path, fresh_namespace: Callable[[], str]) -> AsyncIterator[World]:
    """A namespace with an operator that the test drives."""
    async with make_world(server, tmp_path, fresh_namespace(), controllers) as made:
        yield made


@pytest.fixture
def assert_survives_every_write(
    server: ApiServer, tmp_path: Path, fresh_namespace: Callable[[], str]
) -> Callable[[Scenario], Awaitable[None]]:
    """See :class:`Survival`."""
    return Survival(server, tmp_path, fresh_namespace, controllers).check


@pytest.fixture
async def start_operator(server: ApiServer, namespace: str, tmp_path: Path) -> AsyncIterator[StartOperator]:
    """Starts operators; they are killed at the end."""
    started: list[Operator] = []

    async def start(identity: str, **more: str) -> Operator:
        names = {"PERENNIAL_NAMESPACES": namespace, "PERENNIAL_LEASE_NAMESPACE": namespace}
        operator = await launch(server.kubeconfig, identity, tmp_path, **{**names, **more})
        started.append(operator)
        return operator

    yield start
    for operator in started:
        if operator.process.returncode is None:
            operator.process.kill()
            await operator.process.wait()
