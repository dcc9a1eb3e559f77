"""A real Prometheus over samples that a test writes: Debian's, in a process of its own, filled by its promtool."""

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

ROOT = Path(__file__).parents[2]


def program(name: str) -> str:
    """The path of ``prometheus`` or ``promtool``, unpacked from Debian's package where it is not there yet."""
    command = [str(ROOT / "hack" / "debian-program"), "prometheus", name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def fill(folder: Path, openmetrics: Path) -> None:
    """Makes blocks of the samples in ``openmetrics`` (with timestamps, ending with ``# EOF``)."""
    command = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(openmetrics), str(folder)]
    subprocess.run(command, check=True, capture_output=True, text=True)


@contextlib.asynccontextmanager
async def prometheus(folder: Path, *options: str, configuration: str = "") -> AsyncIterator[str]:
    """The address of a Prometheus over the blocks in ``folder``, which forgets nothing."""
    config = folder.parent / f"{folder.name}.yaml"
    config.write_text(configuration)
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder}",
        "--storage.tsdb.retention.time=100y", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error", *options,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        await _ready(url, process)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _ready(url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while process.returncode is None:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{url}/-/ready") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)
    raise RuntimeError(f"Prometheus ended with {process.returncode}")
