"""One contract server for a module, emptied before each test, at whose end nothing may have broken the contract."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

ROOT = Path(__file__).parents[3]
Json = dict[str, Any]


class Contract:
    """The server, as a test steers it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def control(self, what: str = "", **given: Any) -> Json:
        """Tells the server something; returns all that it holds."""
        request = Request(f"{self.url}/control/{what}", json.dumps(given).encode(), method="POST")
        with urlopen(request, timeout=10) as answer:
            found: Json = json.load(answer)
        return found

    def fault(self, call: str, kind: str, times: int = 1, **given: Any) -> None:
        """The next ``times`` calls that begin with ``call`` go wrong."""
        self.control("fault", call=call, kind=kind, times=times, **given)

    def advance(self, name: str, state: str, **fields: Any) -> None:
        """Takes the runs of this name to ``state``."""
        self.control("run", name=name, state=state, fields=fields)

    @property
    def runs(self) -> list[Json]:
        """All runs."""
        found: list[Json] = self.control()["runs"]
        return found

    @property
    def calls(self) -> dict[str, int]:
        """How often each call was made."""
        found: dict[str, int] = self.control()["calls"]
        return found


def started() -> tuple[subprocess.Popen[str], Contract]:
    """A server in a process of its own: the published client, which it is held against, has its own environment."""
    command = [ROOT / ".venvs/components/bin/python", "-m", "tests.kubeflow_server.server"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, Contract(int(process.stdout.readline()))


@pytest.fixture(scope="module")
def process() -> Iterator[Contract]:
    """The server's process."""
    running, contract = started()
    yield contract
    running.communicate(timeout=10)


@pytest.fixture
def server(process: Contract) -> Iterator[Contract]:
    """The server, empty."""
    process.control("reset")
    yield process
    assert process.control()["violations"] == []
