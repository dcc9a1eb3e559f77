"""What a caller may do before anybody knows who they are."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from perennial_serving import connection
from perennial_serving.connection import Idle, protocol
from tests.unit.serving.support import PATIENT, named, serving, until

HEAD = b"GET /v2 HTTP/1.1\r\nhost: x\r\n"


class Transport:
    """Notes what is written, and whether it was closed."""

    def __init__(self) -> None:
        self.written, self.closed = b"", False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, _: str) -> None:
        return None

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def _app(scope: Any, _: Any, send: Any) -> None:
    if scope["path"] == "/slow":
        await asyncio.Future()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def connected() -> tuple[Any, Transport]:
    """A connection of an application that answers at once."""
    config = Config(_app, http=protocol(0, 1000), ws="none", lifespan="off", interface="asgi3", log_config=None)
    config.load()
    made: Any = protocol(0, 1000)(config, ServerState(), {}, asyncio.get_running_loop())
    transport = Transport()
    made.connection_made(transport)
    return made, transport


@pytest.mark.parametrize("piece", [1000, 50_000, 300_000])
async def test_a_head_without_end_is_refused(piece: int) -> None:
    made, transport = connected()
    made.data_received(HEAD)
    for _ in range(300_000 // piece):
        if not transport.closed:
            made.data_received(b"x: " + b"a" * piece + b"\r\n")
    assert transport.closed
    assert transport.written.startswith(b"HTTP/1.1 431 ")
    assert not made.tasks


@pytest.mark.parametrize("head", [HEAD + b"x: " + b"a" * 30_000 + b"\r\n\r\n", (HEAD + b"\r\n") * 1])
async def test_a_head_of_the_usual_size_is_read(head: bytes) -> None:
    made, transport = connected()
    for _ in range(4):
        made.data_received(head)
        await asyncio.gather(*made.tasks)
    assert not transport.closed
    assert transport.written.count(b" 200 ") == 4


async def test_trailers_without_end_are_refused() -> None:
    made, transport = connected()
    made.data_received(b"POST /v2 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
    for _ in range(100):
        if not transport.closed:
            made.data_received(b"x: " + b"a" * 5000 + b"\r\n")
    assert transport.closed


async def test_who_sends_no_request_is_shown_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(connection, "perf_counter", lambda: now[0])
    silent, half, stray, busy, keeps = (connected() for _ in range(5))
    half[0].data_received(HEAD)
    for made, _ in (stray, keeps):
        made.data_received(HEAD + b"\r\n")
        await asyncio.gather(*made.tasks)
    busy[0].data_received(b"POST /slow HTTP/1.1\r\ncontent-length: 9\r\n\r\n")
    looking = Idle([made for made, _ in (silent, half, stray, busy, keeps)])
    for _ in range(15):
        looking.look()
        now[0] += 1
        half[0].data_received(b"x: y\r\n")
        stray[0].data_received(b"\r\n")
        keeps[0].data_received(HEAD + b"\r\n")
        await asyncio.gather(*keeps[0].tasks)
    assert [transport.closed for _, transport in (silent, half, stray)] == [True] * 3
    assert [transport.closed for _, transport in (busy, keeps)] == [False] * 2
    for task in busy[0].tasks:
        task.cancel()


def test_a_stranger_cannot_make_the_process_grow(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    (tokens / "clinic").write_text("a token")

    def flood(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as caller:
            caller.sendall(HEAD)
            for _ in range(2000):
                caller.sendall(b"x: " + b"a" * 50_000 + b"\r\n")

    with serving(tmp_path, PERENNIAL_BEARER_DIR=str(tokens)) as server:

        def resident() -> int:
            status = Path(f"/proc/{server.process.pid}/status").read_text()
            return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))

        server.infer(named(PATIENT))
        before = resident()
        for port in (server.port, int(server.metrics_url.rpartition(":")[2])):
            with pytest.raises(OSError, match=r"reset|pipe"):
                flood(port)
        assert resident() - before < 5000
        until(server.ready)
