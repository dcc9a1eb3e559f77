"""Keep-alive load: by wrk where it is installed, otherwise by a client of our own."""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from benchmarks.serving.process import FILES, MODEL, on_core

PATH = f"/v2/models/{MODEL}/infer"
_LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [[BODY]]
DELAY
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\\nRESULT {"answered": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "failed": %d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


class Load(msgspec.Struct):
    """``answered`` requests in ``seconds``, of which ``failed`` were errors or had no status 200."""

    answered: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int


def body() -> bytes:
    """The test model's own example as a v2 request, one named column a feature; ``pd`` has KServe and MLServer make a
    data frame of it, which scikit-learn needs; ours takes columns as such."""
    inputs = []
    for item in json.loads((FILES / "signature.json").read_bytes())["inputs"]:
        datatype = "BYTES" if isinstance(item["example"], str) else "FP64"
        inputs.append({"name": item["name"], "shape": [1], "datatype": datatype, "data": [item["example"]]})
    return json.dumps({"parameters": {"content_type": "pd"}, "inputs": inputs}).encode()


def wrk() -> str | None:
    """Where wrk is, if it is installed."""
    return shutil.which("wrk")


def by_wrk(port: int, connections: int, seconds: float, content: bytes, pause_ms: int = 0) -> Load:
    """Load by wrk, one thread; each connection pauses between an answer and its next request."""
    delay = f"delay = function() return {pause_ms} end" if pause_ms else ""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text(_LUA.replace("DELAY", delay).replace("BODY", content.decode()))
        command = [
            wrk() or "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--timeout",
            "20s",
            "-s",
            str(script),
        ]
        ended = subprocess.run(
            on_core(1, [*command, f"http://127.0.0.1:{port}{PATH}"]), capture_output=True, text=True, check=True
        )
    result = ended.stdout.partition("RESULT ")[2]
    return msgspec.json.decode(result, type=Load)


class _Caller(asyncio.Protocol):
    """One connection at a time: asks, waits for the whole answer, asks again; connects anew when told to."""

    def __init__(self, request: bytes, times: list[float], until: float, finished: "asyncio.Future[int]") -> None:
        self._request, self._times, self._until, self._finished = request, times, until, finished
        self._buffer, self._began = b"", 0.0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._buffer, self._began = b"", time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        head = head.lower()
        if len(rest) < int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]):
            return
        now = time.perf_counter()
        self._times.append(now - self._began)
        if not head.startswith(b"http/1.1 200"):
            self._finish(1)
        elif now >= self._until:
            self._finish(0)
        elif b"connection: close" not in head:
            self._ask()

    def _finish(self, failed: int) -> None:
        if not self._finished.done():
            self._finished.set_result(failed)
        self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if not self._finished.done():
            loop = asyncio.get_running_loop()
            host, port = self._transport.get_extra_info("peername")[:2]
            self._again = loop.create_task(loop.create_connection(lambda: self, host, port))


def by_asyncio(port: int, connections: int, seconds: float, content: bytes) -> Load:
    """Load by this process: slower than what it measures at more than one connection, so it says less than wrk."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    )
    request = head.encode() + b"\r\n\r\n" + content

    async def run() -> tuple[list[float], int]:
        loop, times = asyncio.get_running_loop(), list[float]()
        until = time.perf_counter() + seconds
        finished = [loop.create_future() for _ in range(connections)]
        for future in finished:
            await loop.create_connection(lambda f=future: _Caller(request, times, until, f), "127.0.0.1", port)  # type: ignore[misc]
        return times, sum(await asyncio.gather(*finished))

    began = time.perf_counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        times, failed = runner.run(run())
    took = time.perf_counter() - began
    times.sort()
    p50, p99 = (1000 * times[int(len(times) * share)] for share in (0.5, 0.99))
    return Load(len(times), took, p50, p99, failed)
