"""One namespace, one operator and one training for each process of tests."""

import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from hack.demo import patients
from hack.demo.stage import Stage
from perennial.adapters.connection import Connection
from perennial.adapters.kubernetes import KubernetesApi
from tests.rollouts.client import ANSWERED, LOST, TALLY
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them share the connection of their process, and with it its event loop."""
    for item in items:
        item.add_marker(pytest.mark.asyncio(loop_scope="session"))


@pytest.fixture(autouse=True)
def count_requests(record_property: Any) -> Iterator[None]:
    """Puts the test's requests into its report: the summary adds up those of all processes."""
    TALLY.clear()
    yield
    for what, count in TALLY.items():
        record_property(what, count)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The figures that were measured."""
    requests: Counter[str] = Counter()
    terminalreporter.section("figures")
    for report in [each for key in ("passed", "failed") for each in terminalreporter.stats.get(key, [])]:
        for what, value in dict(report.user_properties).items():
            if what in {ANSWERED, LOST}:
                requests[what] += value if report.when == "teardown" else 0
            elif report.when == "call":
                terminalreporter.write_line(f"{value:6.1f} {what}")
    terminalreporter.write_line(f"{requests[ANSWERED]} requests of keep-alive clients answered, {requests[LOST]} lost")
