"""The operator as a process of its own."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import aiohttp


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
