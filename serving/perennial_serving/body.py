"""Reading a request's body, whatever its sender does."""

import asyncio
from typing import Any

from perennial_serving.state import State

_SECONDS = 10.0
SMALL = 64 * 1024
"""Bodies up to this size are not held against what all bodies together may take."""
_DISCARDED = 4
"""How many times the limit is read and thrown away, so that a caller gets to read why it was refused."""


class BodyError(Exception):
    """The body cannot be had; ``status`` is the answer's code, 499 when nobody is there to read one."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def read_body(receive: Any, limit: int, state: State, *, whole: bool = False) -> bytes:
    """The body, at most ``limit`` bytes, within 10 s. Raises :class:`BodyError`.

    ``whole``: it has come already, so that no timer is needed. It is to be given to :func:`release` in the end.
    """
    message = None
    if whole:
        message = await receive()
        body: bytes = message.get("body", b"")
        if len(body) <= SMALL and len(body) <= limit and message["type"] == "http.request":
            return body
    try:
        async with asyncio.timeout(_SECONDS):
            return await _read(receive, limit, state, message)
    except TimeoutError:
        raise BodyError(408, f"the body was not complete after {_SECONDS:g} s") from None


def hold(body: bytes, state: State) -> None:
    """What came otherwise takes its part of the room, too; it is given back by :func:`release`."""
    if len(body) > SMALL:
        state.room -= len(body)


def release(body: bytes, state: State) -> None:
    """What :func:`read_body` gave is needed no more."""
    if len(body) > SMALL:
        state.room += len(body)


async def _read(receive: Any, limit: int, state: State, message: Any) -> bytes:
    parts, size, held, more = list[bytes](), 0, 0, True
    refusal: BodyError | None = None
    try:
        while more and size <= limit * _DISCARDED:
            message = message or await receive()
            if message["type"] == "http.disconnect":
                raise BodyError(499, "the caller went away")
            part, more, message = message.get("body", b""), message.get("more_body", False), None
            size += len(part)
            if size > limit:
                refusal = BodyError(413, f"the body is larger than {limit} bytes")
            elif refusal is None and len(part) > state.room:
                refusal = BodyError(429, "the requests that are waiting are too large together; try again")
            if refusal is None:
                parts.append(part)
                held += len(part)
                state.room -= len(part)
            else:
                parts.clear()
                state.room += held
                held = 0
        if refusal is not None:
            raise refusal
        if held > SMALL:
            held = 0
        return b"".join(parts)
    finally:
        state.room += held
