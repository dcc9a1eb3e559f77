"""A light HTTP/1.1 client for the mirror: one connection, kept alive.

aiohttp takes several times its CPU and ten times its memory, both from the process whose latency is to stay as it is.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any

import httptools

Headers = Iterable[tuple[bytes, bytes]]


class ClientError(Exception):
    """No answer was had."""


class _Exchange(asyncio.Protocol):
    """One connection: what is sent on it, one request at a time, and its answer."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._body = b""
        self.usable = True
        self.heard = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self, data: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        """The future status and body of the answer to ``data``; raises :class:`ClientError` in place of an answer."""
        self._answer, self._body, self.heard = asyncio.get_running_loop().create_future(), b"", False
        self._transport.write(data)
        return self._answer

    def close(self) -> None:
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self.heard = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"what was answered is no HTTP: {error}")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self._fail(f"the connection was closed: {exc or 'no answer'}")

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._body += body

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if not self._parser.should_keep_alive():
            self.usable = False
            self._transport.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((self._parser.get_status_code(), self._body))

    def _fail(self, why: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ClientError(why))


class Client:
    """Asks ``host``:``port``, over TLS where ``context`` gives one; it is asked for each connection anew."""

    def __init__(self, host: str, port: int, context: Callable[[], ssl.SSLContext | None]) -> None:
        self._host, self._port, self._context = host, port, context
        self._exchange: _Exchange | None = None

    async def post(self, path: str, headers: Headers, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Raises :class:`ClientError` and OSError (ssl.SSLError is one)."""
        lines = [f"POST {path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-length: {len(body)}\r\n".encode()]
        lines += [b"%b: %b\r\n" % header for header in headers]
        data = b"".join([*lines, b"\r\n", body])
        kept = self._exchange
        if kept is not None and kept.usable:
            try:
                return await kept.send(data)
            except ClientError:
                if kept.heard:
                    raise
        # The server may close a kept connection at the moment when it is used again.
        return await (await self._connect()).send(data)

    def close(self) -> None:
        """Drops the connection, whatever it is doing."""
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None

    async def _connect(self) -> _Exchange:
        loop = asyncio.get_running_loop()
        context = self._context()
        _, self._exchange = await loop.create_connection(
            _Exchange, self._host, self._port, ssl=context, server_hostname=self._host if context else None
        )
        return self._exchange
