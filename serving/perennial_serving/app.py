"""The serving port: predictions, nearly all of the traffic, are answered here; Starlette routes the rest."""

from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any

import msgspec

from perennial_serving.body import BodyError, read_body
from perennial_serving.counters import Counters
from perennial_serving.inference import Inference, Refused
from perennial_serving.protocol import Failure, InferRequest
from perennial_serving.routes import Routes
from perennial_serving.settings import Settings
from perennial_serving.state import State

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
_CLOSE = (b"connection", b"close")
_RETRY = (b"retry-after", b"1")
_encode = msgspec.json.Encoder().encode
_decode_infer = msgspec.json.Decoder(InferRequest).decode


class Predictor:
    """The ASGI application of port 8080."""

    def __init__(self, *, settings: Settings, inference: Inference, counters: Counters, state: State) -> None:
        self._settings, self._inference, self._counters, self._state = settings, inference, counters, state
        base = f"/v2/models/{settings.model}"
        self._infer_paths = {f"{base}/infer", f"{base}/versions/{settings.version}/infer"}
        self._others = Routes(inference, state).app()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        close = self._state.closes(scope)
        if scope["path"] in self._infer_paths and scope["method"] == "POST":
            await self._infer(scope, receive, send, close=close)
        else:
            await self._others(scope, receive, _closing(send) if close else send)

    async def _infer(self, scope: Scope, receive: Receive, send: Send, *, close: bool) -> None:
        headers = [_JSON]
        if self._state.waiting() > self._settings.max_waiting:
            status, answer = 429, _failure("too many requests are waiting; try again")
            headers.append(_RETRY)
        else:
            try:
                status, answer = await self._answer(await read_body(receive, self._settings.max_body_bytes))
            except BodyError as error:
                status, answer, close = error.status, _failure(str(error)), True
        self._counters.request(status, perf_counter() - self._state.began(scope))
        if status == 499:
            return
        headers.append((b"content-length", b"%d" % len(answer)))
        if close:
            headers.append(_CLOSE)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _answer(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of a prediction."""
        try:
            return 200, _encode(await self._inference.infer(parse(body)))
        except Refused as refusal:
            return refusal.status, _failure(refusal.message)


def parse(body: bytes) -> InferRequest:
    """The request in ``body``. Raises :class:`Refused` with the place of the mistake."""
    try:
        return _decode_infer(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if b"NaN" in body or b"Infinity" in body:
            return _parse_python(body)
        raise Refused(400, f"the body is no v2 inference request: {error}") from None


def _parse_python(body: bytes) -> InferRequest:
    """A body with NaN, which is no JSON; Python's own json writes it all the same."""
    import json  # noqa: PLC0415 - seldom needed

    try:
        return msgspec.convert(json.loads(body), InferRequest)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is no v2 inference request: {error}") from None


def _failure(message: str) -> bytes:
    return _encode(Failure(message))


def _closing(send: Send) -> Send:
    """``send`` with ``Connection: close`` in the answer's headers."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], _CLOSE]
        await send(message)

    return sending
