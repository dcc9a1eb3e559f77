"""The serving port: the Open Inference Protocol v2 over REST, and feedback.

Predictions, nearly all of the traffic, are answered by a bare ASGI function; Starlette routes the rest.
"""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perennial_serving import __version__
from perennial_serving.body import BodyError, read_body
from perennial_serving.counters import Counters
from perennial_serving.feedback import Feedback, status_of
from perennial_serving.inputs import InputError
from perennial_serving.model import Model, ModelError
from perennial_serving.protocol import Failure, FeedbackRequest, InferRequest, InferResponse, OutputTensor
from perennial_serving.settings import Settings
from perennial_serving.state import State

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
_CLOSE = (b"connection", b"close")
_RETRY = (b"retry-after", b"1")
_OUTPUTS = ("predicted", "probability", "feedback_token")
_encode = msgspec.json.Encoder().encode
_decode_infer = msgspec.json.Decoder(InferRequest).decode
_logger = logging.getLogger(__name__)


class Predictor:
    """The ASGI application of port 8080."""

    def __init__(
        self, *, settings: Settings, model: Model, counters: Counters, feedback: Feedback, state: State
    ) -> None:
        self._model, self._counters, self._feedback, self._state = model, counters, feedback, state
        self._settings = settings
        base = f"/v2/models/{settings.model}"
        self._infer_paths = {f"{base}/infer", f"{base}/versions/{settings.version}/infer"}
        self._others = Starlette(
            routes=self._routes(), exception_handlers={HTTPException: _http_error, BodyError: _body_error}
        )

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
                status, answer = self._answer(await read_body(receive, self._settings.max_body_bytes))
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

    def _answer(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of a prediction. Never raises: a model's fault is logged, without what was sent, and 500."""
        try:
            request = parse(body)
            wanted = self._wanted(request)
            rows = self._model.decoder.decode(request.inputs)
            prediction = self._model.predict(rows.matrix)
        except InputError as error:
            self._counters.invalid(error.invalid)
            return 400, _failure(str(error))
        except ModelError:
            _logger.exception("a prediction failed")
            return 500, _failure("the model could not answer; its log says why")
        self._counters.predictions(rows, prediction)
        shape = [len(prediction.predicted)]
        outputs = []
        for name in wanted:
            if name == "predicted":
                classes = self._model.signature.classes
                outputs.append(OutputTensor(name, shape, "BYTES", [classes[place] for place in prediction.predicted]))
            elif name == "probability":
                outputs.append(OutputTensor(name, shape, "FP64", prediction.probability))
            elif self._feedback.enabled:
                outputs.append(OutputTensor(name, shape, "BYTES", self._feedback.tokens(prediction.predicted)))
        return 200, _encode(InferResponse(self._settings.model, self._settings.version, outputs, request.id))

    def _wanted(self, request: InferRequest) -> tuple[str, ...] | list[str]:
        if not request.outputs:
            return _OUTPUTS
        wanted = [output.name for output in request.outputs]
        for name in wanted:
            if name not in _OUTPUTS:
                raise InputError(f'unknown output "{name}"; there are "predicted", "probability" and "feedback_token"')
        return wanted

    def _routes(self) -> list[Route]:
        model = "/v2/models/{model}"
        version = model + "/versions/{version}"
        routes = [
            Route("/v2", self._server),
            Route("/v2/health/live", self._live),
            Route("/v2/health/ready", self._ready),
            Route(f"{model}/feedback", self._take_feedback, methods=["POST"]),
        ]
        for base in (model, version):
            routes += [Route(base, self._metadata), Route(f"{base}/ready", self._model_ready)]
            routes.append(Route(f"{base}/infer", self._elsewhere, methods=["POST"]))
        return routes

    async def _server(self, _: Request) -> Response:
        return _reply({"name": "perennial", "version": __version__, "extensions": []})

    async def _live(self, _: Request) -> Response:
        return _reply({"live": True})

    async def _ready(self, _: Request) -> Response:
        return _reply({"ready": self._state.ready}, 200 if self._state.ready else 503)

    async def _model_ready(self, request: Request) -> Response:
        self._require(request)
        ready = self._state.ready
        return _reply({"name": self._settings.model, "ready": ready}, 200 if ready else 503)

    async def _metadata(self, request: Request) -> Response:
        self._require(request)
        inputs = []
        for item in self._model.signature.inputs:
            tensor: dict[str, Any] = {"name": item.name, "datatype": "FP64", "shape": [-1]}
            if item.kind == "Categorical":
                tensor |= {"datatype": "BYTES", "parameters": {"categories": item.categories}}
            inputs.append(tensor)
        outputs = [
            {"name": name, "datatype": "FP64" if name == "probability" else "BYTES", "shape": [-1]}
            for name in _OUTPUTS
            if name != "feedback_token" or self._feedback.enabled
        ]
        names = {"name": self._settings.model, "versions": [self._settings.version], "platform": "onnxruntime_onnx"}
        return _reply({**names, "inputs": inputs, "outputs": outputs})

    async def _elsewhere(self, request: Request) -> Response:
        self._require(request)
        raise HTTPException(404)

    def _require(self, request: Request) -> None:
        """Raises 404 for another model or version than the one that is served."""
        asked = (request.path_params["model"], request.path_params.get("version", self._settings.version))
        served = (self._settings.model, self._settings.version)
        if asked != served:
            raise HTTPException(404, "this is model {}, version {}, and no other".format(*served))

    async def _take_feedback(self, request: Request) -> Response:
        self._require(request)
        if not self._feedback.enabled:
            raise HTTPException(503, "no feedback key is mounted")
        body = await read_body(request.receive, self._settings.max_body_bytes)
        try:
            items = msgspec.json.decode(body, type=FeedbackRequest).feedback
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise HTTPException(400, str(error)) from None
        response = self._feedback.take(items)
        return _reply(response, status_of(response))


def parse(body: bytes) -> InferRequest:
    """The request in ``body``. Raises :class:`InputError` with the place of the mistake."""
    try:
        return _decode_infer(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if b"NaN" in body or b"Infinity" in body:
            return _parse_python(body)
        raise InputError(f"the body is no v2 inference request: {error}") from None


def _parse_python(body: bytes) -> InferRequest:
    """A body with NaN, which is no JSON; Python's own json writes it all the same."""
    import json  # noqa: PLC0415 - seldom needed

    try:
        return msgspec.convert(json.loads(body), InferRequest)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body is no v2 inference request: {error}") from None


def _failure(message: str) -> bytes:
    return _encode(Failure(message))


def _reply(content: object, status: int = 200) -> Response:
    return Response(_encode(content), status, media_type="application/json")


async def _http_error(_: Request, error: Exception) -> Response:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "")
    return _reply(Failure(detail), status)


async def _body_error(_: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, BodyError) else 500
    reply = _reply(Failure(str(error)), status)
    reply.headers["connection"] = "close"
    return reply


def _closing(send: Send) -> Send:
    """``send`` with ``Connection: close`` in the answer's headers."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], _CLOSE]
        await send(message)

    return sending
