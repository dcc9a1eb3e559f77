"""Programs of this machine in the cluster's network, as a hospital has them beside its cluster: pods reach them."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import IO
from urllib.parse import quote

import aiohttp

from hack.demo.patients import DATA, ROOT
from hack.demo.stage import StageError, run
from tests.api.process import free_port

USER, PASSWORD = "trainer", "Pa55/w:rd@ward"
LIBRARIES = ("libpq5", "libicu72", "libxml2")
# PostgreSQL refuses to be root. In a user namespace of its own root has another number, and still its own files.
UNPRIVILEGED = ["unshare", "--user", "--map-user=65534", "--map-group=65534"] if os.geteuid() == 0 else []
PATIENCE = 120.0


async def node_address() -> str:
    """Where pods reach what listens on the node."""
    path = "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}"
    return (await run("kubectl", "get", "nodes", "-o", path)).strip()


@contextlib.asynccontextmanager
async def postgres() -> AsyncIterator[Callable[[str], str]]:
    """A PostgreSQL whose table ``patients`` has Cleveland's rows; makes its SQLAlchemy URL from a password."""
    server, initdb = await _debian("postgres"), await _debian("initdb")
    root = server.partition("/usr/lib/postgresql")[0]
    environ = {**os.environ, "LD_LIBRARY_PATH": f"{root}/usr/lib/x86_64-linux-gnu", "LC_ALL": "C"}
    address, port = await node_address(), free_port()
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        await asyncio.to_thread(_fill, folder, server, initdb, environ)
        settings = {"listen_addresses": address, "port": port, "unix_socket_directories": folder, "fsync": "off"}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        socket = Path(folder, f".s.PGSQL.{port}")
        async with _running([*UNPRIVILEGED, server, "-D", f"{folder}/data", *options], environ, _there(socket)):
            yield lambda password: f"postgresql://{USER}:{quote(password, safe='')}@{address}:{port}/postgres"


@contextlib.asynccontextmanager
async def web(folder: Path, port: int) -> AsyncIterator[None]:
    """A web server of the files in ``folder``, without TLS."""
    address = await node_address()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", address, "--directory", str(folder)]
    async with _running(command, dict(os.environ), _listens(address, port)):
        yield


@contextlib.asynccontextmanager
async def mlflow(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """A real tracking server with a store of its own: its address for pods, and its address for this process."""
    address, port = await node_address(), free_port()
    command = [
        str(ROOT / ".venvs/bench-mlflow/bin/mlflow"), "server", "--host", address, "--port", str(port),
        "--workers", "1", "--allowed-hosts", "*", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", f"{folder}/artifacts",
    ]  # fmt: skip
    environ = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    name, local = f"mlflow-{port}", free_port()
    await run("hack/cluster/forward", name, str(local), f"{address}:{port}")
    try:
        async with _running(command, environ, _answers(f"http://127.0.0.1:{local}/health")):
            yield f"http://{address}:{port}", f"http://127.0.0.1:{local}"
    finally:
        await run("hack/cluster/forward", name, "stop")


async def _debian(name: str) -> str:
    return (await run("hack/debian-program", "postgresql-15", name, *LIBRARIES)).strip()


def _fill(folder: str, server: str, initdb: str, environ: dict[str, str]) -> None:
    """Makes the database in ``folder``, reachable with a password alone, and its table."""
    data, password, table = f"{folder}/data", Path(folder, "password"), Path(folder, "cleveland.csv")
    password.write_text(PASSWORD)
    table.write_bytes((DATA / "cleveland.csv").read_bytes())
    make = [initdb, "-D", data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--no-sync"]
    subprocess.run([*UNPRIVILEGED, *make], check=True, capture_output=True, env=environ)
    with Path(data, "pg_hba.conf").open("a") as access:
        access.write("host all all 0.0.0.0/0 scram-sha-256\n")
    columns = ", ".join(f"{name} double precision" for name in table.read_text().partition("\n")[0].split(","))
    # A line each: so reads a server that serves nobody.
    statements = f"CREATE TABLE patients ({columns});\nCOPY patients FROM '{table}' WITH (FORMAT csv, HEADER true);\n"
    single = [*UNPRIVILEGED, server, "--single", "-D", data, "postgres"]
    done = subprocess.run(single, check=True, input=statements, capture_output=True, text=True, env=environ)
    assert "ERROR" not in done.stderr, done.stderr


@contextlib.asynccontextmanager
async def _running(
    command: list[str], environ: dict[str, str], ready: Callable[[], Awaitable[bool]]
) -> AsyncIterator[None]:
    """The command in the cluster's network, from when it is ``ready``; it is ended with all that it started."""
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            str(ROOT / "hack/cluster/within"), *command, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        try:
            await _until_ready(process, ready, log)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            await process.wait()


async def _until_ready(
    process: asyncio.subprocess.Process, ready: Callable[[], Awaitable[bool]], log: IO[bytes]
) -> None:
    end = asyncio.get_running_loop().time() + PATIENCE
    while not await ready():
        late = asyncio.get_running_loop().time() > end
        if late or process.returncode is not None:
            log.seek(0)
            raise AssertionError(f"it does not answer: {log.read().decode(errors='replace')[-3000:]}")
        await asyncio.sleep(0.1)


def _there(path: Path) -> Callable[[], Awaitable[bool]]:
    async def there() -> bool:
        return await asyncio.to_thread(path.exists)

    return there


def _answers(url: str) -> Callable[[], Awaitable[bool]]:
    async def answers() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    return answers


def _listens(address: str, port: int) -> Callable[[], Awaitable[bool]]:
    async def listens() -> bool:
        try:
            await run("hack/cluster/within", "bash", "-c", f"</dev/tcp/{address}/{port}")
        except StageError:
            return False
        return True

    return listens
