"""Callers' HTTP connections: none grows old, and what comes before a request is known has its limits."""

import asyncio
import random
from collections.abc import Iterable
from time import perf_counter
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_JITTER = 0.2
_HEAD_SECONDS = 10.0
_HEAD_BYTES = 64 * 1024
_PIECE = 16 * 1024
_BODIES = 5
"""As many times the largest body may come in one request; more than is read of a body that is refused."""
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP protocol, noting when a request began, whether all of it has come, and when its connection is to
    be renewed, ``max_age`` s from its beginning. Heads that are too long, and requests over ``most`` bytes, are ended
    before anybody looks into them.
    """

    max_age = 0.0
    most = _HEAD_BYTES
    _came = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.max_age > 0:
            # Jitter, or the connections of a burst would all be renewed at one moment.
            age = self.max_age * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load, guards nothing
            self.app_state = {**self.app_state, "closes_at": perf_counter() + age}

    def data_received(self, data: bytes) -> None:
        if len(data) > _PIECE:
            for begin in range(0, len(data), _PIECE):
                if not self.transport.is_closing():
                    self.data_received(data[begin : begin + _PIECE])
            return
        HttpToolsProtocol.data_received(self, data)
        scope: Any = self.scope
        if self.cycle is not None and self.cycle.scope is scope:
            if not self.cycle.more_body:
                scope["state"]["whole"] = True
                return
            most = self.most
        else:
            most = _HEAD_BYTES
        self._came += len(data)
        if self._came >= most:
            self._refuse()

    def on_message_begin(self) -> None:
        HttpToolsProtocol.on_message_begin(self)
        self._came = 0
        self.scope["state"]["began"] = perf_counter()

    def _refuse(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_TOO_LARGE)
        self.transport.close()


def protocol(max_age: float, max_body: int) -> type[Connection]:
    """The connections of a port: see :class:`Connection`."""
    return type("Connection", (Connection,), {"max_age": max_age, "most": _HEAD_BYTES + _BODIES * max_body})


class Idle:
    """Closes what has sent nothing, or a part of a head, or stray bytes, for ten seconds.

    It looks at all now and then: a timer for each request would cost each of them.
    """

    def __init__(self, connections: Iterable[Any]) -> None:
        """``connections``: those that are open, at any time."""
        self._connections = connections
        self._seen: WeakKeyDictionary[Any, tuple[object, float]] = WeakKeyDictionary()

    def look(self) -> None:
        """Looks once."""
        now = perf_counter()
        for each in self._connections:
            if each.cycle is not None and not each.cycle.response_complete:
                self._seen.pop(each, None)
                continue
            # Each request has a scope of its own, from its first byte on.
            scope, since = self._seen.get(each, (each, 0.0))
            if scope is not each.scope:
                self._seen[each] = (each.scope, now)
            elif now - since > _HEAD_SECONDS:
                each.transport.close()
