"""The serving port: predictions, nearly all of the traffic, are answered here; Starlette routes the rest."""

from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any

import msgspec

from perennial_serving.bearer import CHALLENGE, Bearer
from perennial_serving.body import SMALL, BodyError, read_body, release
from perennial_serving.counters import Counters
from perennial_serving.dialects import JSON, V1, V2, Dialect, Headers
from perennial_serving.inference import FAILED, Inference, Refused
from perennial_serving.logs import unforeseen
from perennial_serving.protocol import Failure
from perennial_serving.routes import Routes
from perennial_serving.settings import Settings
from perennial_serving.state import State

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_CLOSE = (b"connection", b"close")
_RETRY = (b"retry-after", b"1")
_CHALLENGE = (b"www-authenticate", CHALLENGE.encode())
_OPEN = {"/v2/health/live", "/v2/health/ready"}
_PAGE = "/docs"
_encode = msgspec.json.Encoder().encode


class Predictor:
    """The ASGI application of port 8080."""

    def __init__(
        self,
        *,
        settings: Settings,
        inference: Inference,
        counters: Counters,
        state: State,
        bearer: Bearer | None = None,
    ) -> None:
        """Without ``bearer`` everybody is let in."""
        self._settings, self._inference, self._counters, self._state = settings, inference, counters, state
        self._bearer = bearer
        base, v1, v2 = f"/v2/models/{settings.model}", V1(inference.model.signature), V2()
        self._v2 = v2
        self._dialects: dict[str, Dialect] = {
            f"{base}/infer": v2,
            f"{base}/versions/{settings.version}/infer": v2,
            f"/v1/models/{settings.model}:predict": v1,
        }
        self._others = Routes(inference, state).app()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        began = self._state.began(scope)
        close = self._state.closes(scope, began)
        dialect = self._dialects.get(scope["path"])
        if self._bearer is not None and (refusal := _refusal(self._bearer, scope)):
            if dialect:
                self._counters.request(401, 0.0)
            if scope["path"] == _PAGE and scope["method"] == "GET" and not _shows_token(scope):
                # A browser has no token to show: the page asks for one, and tells nothing before.
                await _door(scope, receive, _closing(send) if close else send)
            else:
                await _unauthorized(refusal, send, close=close)
        elif dialect and scope["method"] == "POST":
            await self._infer(dialect, scope, receive, send, began, close=close)
        else:
            await self._others(scope, receive, _closing(send) if close else send)

    async def _infer(
        self, dialect: Dialect, scope: Scope, receive: Receive, send: Send, began: float, *, close: bool
    ) -> None:
        if self._state.waiting() > self._settings.max_waiting:
            status, headers, answer = 429, JSON, _failure("too many requests are waiting; try again")
        else:
            body = b""
            try:
                whole = "whole" in scope.get("state", ())
                body = await read_body(receive, self._settings.max_body_bytes, self._state, whole=whole)
                status, headers, answer = await self._answer(dialect, scope["headers"], body, began)
            except BodyError as error:
                status, headers, answer, close = error.status, JSON, _failure(str(error)), True
            except Exception as error:  # noqa: BLE001 - a version that fails in whatever way is judged by what is counted
                unforeseen(error)
                status, headers, answer = 500, JSON, _failure(FAILED)
            finally:
                if len(body) > SMALL:
                    release(body, self._state)
        self._counters.request(status, perf_counter() - began)
        if status == 499:
            return
        headers = [*headers, (b"content-length", b"%d" % len(answer))]
        if status == 429:
            headers.append(_RETRY)
        if close:
            headers.append(_CLOSE)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _answer(
        self, dialect: Dialect, headers: Headers, body: bytes, began: float
    ) -> tuple[int, Headers, bytes]:
        """Status, headers and body of a prediction."""
        try:
            if dialect is self._v2 and (answer := await self._inference.usual(body, headers, began)) is not None:
                return 200, JSON, answer
            request = dialect.parse(body, headers)
            return 200, *dialect.render(request, await self._inference.infer(request, headers, began, len(body)))
        except Refused as refusal:
            return refusal.status, JSON, _failure(refusal.message)


def _refusal(bearer: Bearer, scope: Scope) -> str:
    """Why the caller is not let in; "" when they are. Whether we live is nobody's secret."""
    return "" if scope["path"] in _OPEN else bearer.refusal(scope["headers"])


def _shows_token(scope: Scope) -> bool:
    return any(name == b"authorization" for name, _ in scope["headers"])


async def _door(scope: Scope, receive: Receive, send: Send) -> None:
    from perennial_serving.page import door  # noqa: PLC0415 - seldom asked for

    await door()(scope, receive, send)


async def _unauthorized(message: str, send: Send, *, close: bool) -> None:
    answer = _failure(message)
    headers = [*JSON, _CHALLENGE, (b"content-length", b"%d" % len(answer)), *([_CLOSE] if close else [])]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def _failure(message: str) -> bytes:
    return _encode(Failure(message))


def _closing(send: Send) -> Send:
    """``send`` with ``Connection: close`` in the answer's headers."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], _CLOSE]
        await send(message)

    return sending
