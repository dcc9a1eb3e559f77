"""Reading a request's body, whatever its sender does."""

import asyncio
from typing import Any

_SECONDS = 10.0
_DISCARDED = 4
"""How many times the limit is read and thrown away, so that a caller gets to read why it was refused."""


class BodyError(Exception):
    """The body cannot be had; ``status`` is the answer's code, 499 when nobody is there to read one."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def read_body(receive: Any, limit: int) -> bytes:
    """The body, at most ``limit`` bytes, within 10 s. Raises :class:`BodyError`."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise BodyError(499, "the caller went away")
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False) and len(body) <= limit:
        return body
    try:
        async with asyncio.timeout(_SECONDS):
            return await _rest(receive, body, limit, more=message.get("more_body", False))
    except TimeoutError:
        raise BodyError(408, f"the body was not complete after {_SECONDS:g} s") from None


async def _rest(receive: Any, first: bytes, limit: int, *, more: bool) -> bytes:
    parts, size = [first], len(first)
    while more and size <= limit * _DISCARDED:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyError(499, "the caller went away")
        size += len(message.get("body", b""))
        if size > limit:
            parts.clear()
        else:
            parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    if size > limit:
        raise BodyError(413, f"the body is larger than {limit} bytes")
    return b"".join(parts)
