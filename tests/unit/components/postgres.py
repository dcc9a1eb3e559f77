"""Debian's PostgreSQL as a process on this machine, behind a socket in a temporary folder."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

ROOT = Path(__file__).parents[3]
USER, PASSWORD = "trainer", "Pa55/w:rd@home"
LIBRARIES = ("libpq5", "libicu72", "libxml2")
# It refuses to be root. In a user namespace of its own root has another number, and still its own files.
UNPRIVILEGED = ["unshare", "--user", "--map-user=65534", "--map-group=65534"] if os.geteuid() == 0 else []
PATIENCE = 60.0


def _program(name: str) -> str:
    command = [ROOT / "hack/debian-program", "postgresql-15", name, *LIBRARIES]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Yields the libpq connection string of a fresh server; USER may do everything, by PASSWORD alone."""
    server, initdb = _program("postgres"), _program("initdb")
    root = server.partition("/usr/lib/postgresql")[0]
    environ = {**os.environ, "LD_LIBRARY_PATH": f"{root}/usr/lib/x86_64-linux-gnu", "LC_ALL": "C"}
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        data, password, log = f"{folder}/data", Path(folder, "password"), Path(folder, "log")
        password.write_text(PASSWORD)
        make = [initdb, "-D", data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={password}", "-E", "UTF8"]
        subprocess.run([*UNPRIVILEGED, *make, "--no-sync"], check=True, capture_output=True, env=environ)
        settings = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "off", "timezone": "GMT"}
        serve = [server, "-D", data, *(part for key, value in settings.items() for part in ("-c", f"{key}={value}"))]
        with log.open("wb") as output:
            process = subprocess.Popen([*UNPRIVILEGED, *serve], stdout=output, stderr=output, env=environ)
        try:
            yield _reachable(f"host={folder} user={USER} password='{PASSWORD}' dbname=postgres", process, log)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def _reachable(connection: str, process: "subprocess.Popen[bytes]", log: Path) -> str:
    """``connection``, once it can be made."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            psycopg.connect(connection).close()
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        else:
            return connection
