"""The operator as a process of its own."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiohttp

from tests.api.apiserver import ROOT


@dataclass
class Operator:
    """The operator as a process of its own."""

    process: asyncio.subprocess.Process
    url: str
    log: str

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return answer.status, await answer.text()

    async def until(self, path: str, wanted: Callable[[int, str], bool]) -> str:
        """The answer, once it is what is wanted."""
        async with asyncio.timeout(30):
            while True:
                assert self.process.returncode is None, self.read_log()
                with contextlib.suppress(aiohttp.ClientError):
                    status, text = await self.get(path)
                    if wanted(status, text):
                        return text
                await asyncio.sleep(0.05)

    def read_log(self) -> str:
        with open(self.log) as file:  # noqa: PTH123
            return file.read()

    async def memory(self) -> float:
        """Resident MiB."""
        lines = (await self.get("/metrics"))[1].splitlines()
        line = next(each for each in lines if each.startswith("process_resident_memory_bytes "))
        return float(line.split()[1]) / 2**20


class StartOperator(Protocol):
    """Starts an operator for the test's namespace; ``more`` is environment that differs from the usual."""

    def __call__(self, identity: str, **more: str) -> Awaitable[Operator]: ...


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def launch(kubeconfig: Path, identity: str, folder: Path, **more: str) -> Operator:
    """An operator against the API server of ``kubeconfig``, its log in ``folder``; ``more`` is its environment."""
    port = free_port()
    env = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig), "PERENNIAL_COMPONENTS_IMAGE": "localhost/perennial/components:test",
        "PERENNIAL_SERVING_IMAGE": "localhost/perennial/serving:test", "PERENNIAL_PROMETHEUS_URL": "http://127.0.0.1:9",
        "PERENNIAL_IDENTITY": identity, "PERENNIAL_PORT": str(port), **more,
    }  # fmt: skip
    log = folder / f"{identity}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "perennial", env=env, cwd=ROOT, stderr=output
        )
    return Operator(process, f"http://127.0.0.1:{port}", str(log))
