"""The serving port's other calls: health, metadata, feedback. What Starlette routes is not in a hurry."""

from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perennial_serving import described
from perennial_serving.body import BodyError, read_body, release
from perennial_serving.feedback import status_of
from perennial_serving.inference import FAILED, Inference
from perennial_serving.protocol import Failure, FeedbackRequest, IndexRequest
from perennial_serving.state import State

_METHODS = ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]
_encode = msgspec.json.Encoder().encode


class Routes:
    """All but predictions."""

    def __init__(self, inference: Inference, state: State) -> None:
        self._inference, self._state = inference, state

    def app(self) -> Starlette:
        """The ASGI application; every failure is JSON with the field ``error``."""
        return Starlette(
            routes=self._routes(),
            exception_handlers={HTTPException: _http_error, BodyError: _body_error, Exception: _crash},
        )

    def _routes(self) -> list[Route]:
        model = "/v2/models/{model}"
        version = model + "/versions/{version}"
        v1 = "/v1/models/{model}"
        routes = [
            Route("/", self._alive),
            Route("/openapi.json", self._openapi),
            Route("/docs", self._docs),
            Route("/v1/models", self._models),
            Route("/v2/models", self._models),
            Route(f"{v1}:predict", self._no_prediction, methods=_METHODS),
            Route(v1, self._model_ready),
            Route("/v2/repository/index", self._index, methods=["POST"]),
            Route("/v2", self._server),
            Route("/v2/health/live", self._live),
            Route("/v2/health/ready", self._ready),
            Route(f"{model}/feedback", self._take_feedback, methods=["POST"]),
        ]
        for base in (model, version):
            routes += [Route(base, self._metadata), Route(f"{base}/ready", self._model_ready)]
            routes.append(Route(f"{base}/infer", self._no_prediction, methods=_METHODS))
        return routes

    async def _server(self, _: Request) -> Response:
        return _reply(described.server())

    async def _live(self, _: Request) -> Response:
        return _reply({"live": True})

    async def _ready(self, _: Request) -> Response:
        return _reply({"ready": self._state.ready}, 200 if self._state.ready else 503)

    async def _model_ready(self, request: Request) -> Response:
        self._require(request)
        ready = self._state.ready
        return _reply({"name": self._inference.settings.model, "ready": ready}, 200 if ready else 503)

    async def _metadata(self, request: Request) -> Response:
        self._require(request)
        return _reply(described.model(self._inference))

    async def _index(self, request: Request) -> Response:
        body = await self._body(request)
        try:
            only_ready = msgspec.json.decode(body, type=IndexRequest).ready if body else False
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise HTTPException(400, str(error)) from None
        return _reply(described.index(self._inference, ready=self._state.ready, only_ready=only_ready))

    async def _body(self, request: Request) -> bytes:
        """A small body, or one that is read at once: nothing of it is kept."""
        body = await read_body(request.receive, self._inference.settings.max_body_bytes, self._state)
        release(body, self._state)
        return body

    async def _openapi(self, request: Request) -> Response:
        return _reply(self._document(request))

    async def _docs(self, request: Request) -> Response:
        from perennial_serving.page import page  # noqa: PLC0415 - seldom asked for

        return page(self._document(request), self._inference.model.signature.inputs)

    def _document(self, request: Request) -> dict[str, Any]:
        from perennial_serving.openapi import document  # noqa: PLC0415 - seldom asked for

        # Behind a gateway that ends TLS we are asked by http.
        forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
        base = request.base_url.replace(scheme=forwarded) if forwarded in {"http", "https"} else request.base_url
        return document(self._inference, str(base).rstrip("/"))

    async def _alive(self, _: Request) -> Response:
        return _reply({"status": "alive"})

    async def _models(self, _: Request) -> Response:
        return _reply({"models": [self._inference.settings.model]})

    async def _no_prediction(self, request: Request) -> Response:
        """What is no POST to the model that is served: those are not routed here."""
        self._require(request)
        raise HTTPException(405, headers={"allow": "POST"})

    def _require(self, request: Request) -> None:
        """Raises 404 for another model or version than the one that is served."""
        asked = (request.path_params["model"], request.path_params.get("version", self._inference.settings.version))
        served = (self._inference.settings.model, self._inference.settings.version)
        if asked != served:
            raise HTTPException(404, "this is model {}, version {}, and no other".format(*served))

    async def _take_feedback(self, request: Request) -> Response:
        self._require(request)
        if not self._inference.feedback.enabled:
            raise HTTPException(503, "no feedback key is mounted")
        body = await self._body(request)
        try:
            items = msgspec.json.decode(body, type=FeedbackRequest).feedback
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise HTTPException(400, str(error)) from None
        response = self._inference.feedback.take(items)
        return _reply(response, status_of(response))


def _reply(content: object, status: int = 200) -> Response:
    return Response(_encode(content), status, media_type="application/json")


async def _http_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return _reply(Failure(""), 500)
    reply = _reply(Failure(error.detail), error.status_code)
    reply.headers.update(error.headers or {})
    return reply


async def _body_error(_: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, BodyError) else 500
    reply = _reply(Failure(str(error)), status)
    reply.headers["connection"] = "close"
    if status == 429:
        reply.headers["retry-after"] = "1"
    return reply


async def _crash(_: Request, error: Exception) -> Response:
    del error  # uvicorn logs it
    return _reply(Failure(FAILED), 500)
