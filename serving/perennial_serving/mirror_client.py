"""A light HTTP/1.1 client for the mirror, of callbacks alone.

It runs in the loop whose latency is to stay as it is: aiohttp takes ten times its CPU, tasks and futures twice.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import httptools

Answered = Callable[["Lane", int, bytes, str], None]
"""What is told of a request's end: the lane, the status, the body; or status 0 and why there is no answer."""


class Lane:
    """Asks ``host``:``port`` one thing at a time, over one connection that is kept.

    ``context`` gives the TLS of each new connection, or None.
    """

    def __init__(self, host: str, port: int, context: Callable[[], ssl.SSLContext | None], answered: Answered) -> None:
        self._host, self._port, self._context, self._answered = host, port, context, answered
        self._connection: _Connection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._data = b""

    def ask(self, data: bytes) -> None:
        """Sends the request ``data``; the one before must have ended."""
        self._data = data
        if self._connection is None:
            self._open()
        else:
            self._connection.send(data)

    def close(self) -> None:
        """Drops the connection, and without a word what was asked on it."""
        self._data = b""
        if self._opening is not None:
            self._opening.cancel()
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    def ended(self, connection: "_Connection", status: int, body: bytes, *, kept: bool) -> None:
        """Called by the connection with an answer."""
        if connection is not self._connection:
            return
        if not kept:
            self._connection = None
        self._end(status, body, "")

    def lost(self, connection: "_Connection", why: str) -> None:
        """Called by the connection that is no more."""
        if connection is not self._connection:
            return
        self._connection = None
        if self._data and connection.closed_by_chance:
            self._open()
        elif self._data:
            self._end(0, b"", why)

    def _end(self, status: int, body: bytes, why: str) -> None:
        self._data = b""
        self._answered(self, status, body, why)

    def _open(self) -> None:
        self._opening = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        context = self._context()
        try:
            _, self._connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self),
                self._host,
                self._port,
                ssl=context,
                server_hostname=self._host if context else None,
            )
        except OSError as error:
            self._end(0, b"", str(error))
        else:
            self._connection.send(self._data)


class _Connection(asyncio.Protocol):
    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._transport: Any = None
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._asked = 0
        self._heard = False

    @property
    def closed_by_chance(self) -> bool:
        """Whether it was kept so long that its server closed it while we asked again."""
        return self._asked > 1 and not self._heard

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self, data: bytes) -> None:
        self._asked += 1
        self._heard = False
        self._transport.write(data)

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._transport.abort()
            self._lane.lost(self, f"what came is no HTTP answer: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._lane.lost(self, f"the connection was closed: {exc or 'without an answer'}")

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        kept = self._parser.should_keep_alive()
        if not kept:
            self._transport.close()
        self._lane.ended(self, self._parser.get_status_code(), self._body, kept=kept)
