"""The access log: a line for each request of the serving ports, with nothing in it that a caller sent but the path."""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any

_logger = logging.getLogger(__name__)
_Message = MutableMapping[str, Any]
_App = Callable[[_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Awaitable[None]]
_GONE = 499
"""The status of a request that nobody waited for."""


def logged(app: _App) -> _App:
    """``app`` (ASGI) with a line for each request: method, path, status, milliseconds and the answer's bytes."""

    async def around(
        scope: _Message, receive: Callable[[], Awaitable[_Message]], send: Callable[[_Message], Awaitable[None]]
    ) -> None:
        began, status, size = perf_counter(), _GONE, 0

        async def sending(message: _Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            size += len(message.get("body", b""))
            await send(message)

        try:
            await app(scope, receive, sending)
        finally:
            line(scope["method"], scope["path"], status, began, size)

    return around


def line(method: str, path: str, status: int, began: float, size: int) -> None:
    """Logs a request that ``began`` then (s, ``perf_counter``) and was answered by ``size`` bytes."""
    took = round(1000 * (perf_counter() - began), 3)
    about = {"method": method, "path": path, "status": status, "ms": took, "bytes": size}
    _logger.info("request", extra={"fields": about})
