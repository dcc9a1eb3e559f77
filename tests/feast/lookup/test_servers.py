"""Feast's own servers of a registry and of an offline store, as its operator runs them in a cluster."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.feast.lookup import shop
from tests.feast.lookup.asking import ROWS, Shop

PATIENCE = 120.0


def test_servers_give_what_files_give(tmp_path: Path) -> None:
    shop.apply(tmp_path)
    with _served(tmp_path, "serve_registry") as registry, _served(tmp_path, "serve_offline") as offline:
        settings = shop.settings(
            tmp_path,
            registry={"registry_type": "remote", "path": f"localhost:{registry}"},
            offline_store={"type": "remote", "host": "localhost", "port": offline},
        )
        rows, seen = Shop(tmp_path, settings).ask(ROWS + "1,north,2026-03-06,a\n2,south,2026-02-01,b\n", service="both")
    assert [(row["rating"], row["town"]) for row in rows] == [(4.25, "Bonn"), (None, None)]
    assert [view.name for view in seen.views] == ["drivers", "shops"]
    reason, message = Shop(tmp_path, settings).refused(ROWS + "1,north,2026-03-06,a\n", service="both")
    assert (reason, "the registry cannot be reached" in message) == ("DataUnavailable", True), message


@contextlib.contextmanager
def _served(folder: Path, command: str) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port: int = free.getsockname()[1]
    program = [Path(sys.executable).with_name("feast"), "-c", folder, command, "-p", str(port)]
    with (folder / command).open("wb") as log, subprocess.Popen(program, stdout=log, stderr=log) as process:
        try:
            end = time.monotonic() + PATIENCE
            while not _answers(port):
                assert process.poll() is None, (folder / command).read_text()
                assert time.monotonic() < end, (folder / command).read_text()
                time.sleep(0.1)
            yield port
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
        return True
    return False
