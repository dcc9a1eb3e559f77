"""Debian's Prometheus and Alertmanager as processes on this machine, on ports of their own."""

import asyncio
import contextlib
import functools
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp
import yaml

from tests.api.process import free_port

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "charts/perennial/files/alerts.yaml"
PATIENCE = 60.0


@functools.cache
def program(package: str, name: str) -> str:
    """The path of a program of a Debian package, unpacked but not installed."""
    answer = subprocess.run([ROOT / "hack/debian-program", package, name], check=True, capture_output=True, text=True)
    return answer.stdout.strip()


def promtool(*arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What promtool says."""
    command = [program("prometheus", "promtool"), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)


def schema(*dashboards: Path) -> subprocess.CompletedProcess[str]:
    """What Grafana's own types say of ``dashboards``; the program is built once, in about a minute."""
    subprocess.run([ROOT / "hack/cluster/build", "grafana-schema"], check=True)
    cache = Path(os.environ.get("PERENNIAL_CACHE", Path.home() / ".cache/perennial"))
    newest = max(cache.glob("bin/grafana-schema-*"), key=lambda path: path.stat().st_mtime)
    command = [str(newest / "grafana-schema"), *map(str, dashboards)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


async def until(condition: Callable[[], Awaitable[object]], what: str) -> None:
    """Waits for ``condition``, a minute at most."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                if await condition():
                    return
            await asyncio.sleep(0.1)
    raise AssertionError(what)


@contextlib.asynccontextmanager
async def running(
    command: Sequence[str], url: str, log: Path, trust: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """The process of ``command`` once ``url`` answers; yields it."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)

    async def ready() -> bool:
        assert process.returncode is None, log.read_text()  # noqa: ASYNC240 - it has ended
        async with aiohttp.ClientSession() as session, session.get(f"{url}/-/ready", ssl=trust or True) as answer:
            return answer.status in {200, 401}

    try:
        await until(ready, f"{command[0]} does not start")
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def prometheus(
    folder: Path, configuration: dict[str, object], *more: str, trust: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """A Prometheus with its data in ``folder``/data; yields its URL."""
    port = free_port()
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(configuration))
    command = [
        program("prometheus", "prometheus"), f"--config.file={path}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", *more,
    ]  # fmt: skip
    url = f"{'https' if trust else 'http'}://localhost:{port}"
    async with running(command, url, folder / "prometheus.log", trust):
        yield url


def _with_share(share: Path) -> list[str]:
    """Runs a command that sees ``share`` as /usr/share: Debian's Alertmanager looks there for its templates."""
    spaces = ["--mount"] if os.geteuid() == 0 else ["--mount", "--map-root-user"]
    return ["unshare", *spaces, "sh", "-c", f'mount --bind {share} /usr/share && exec "$@"', "sh"]


@contextlib.asynccontextmanager
async def alertmanager(folder: Path, webhook: str) -> AsyncIterator[str]:
    """An Alertmanager that tells ``webhook`` at once; yields its URL."""
    port = free_port()
    path = folder / "alertmanager.yml"
    route = {
        "receiver": "team", "group_by": ["alertname", "namespace", "deployment", "monitor", "signal"],
        "group_wait": "0s", "group_interval": "1s",
    }  # fmt: skip
    receivers = [{"name": "team", "webhook_configs": [{"url": webhook}]}]
    path.write_text(yaml.safe_dump({"route": route, "receivers": receivers}))
    binary = Path(program("prometheus-alertmanager", "prometheus-alertmanager"))
    command = [
        *_with_share(binary.parents[1] / "share"), str(binary), f"--config.file={path}",
        f"--storage.path={folder / 'alertmanager'}", f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]  # fmt: skip
    async with running(command, f"http://127.0.0.1:{port}", folder / "alertmanager.log") as url:
        yield url
