"""The Open Inference Protocol v2 by gRPC, in the predictor's event loop. Imported where a port is set for it alone: the
library costs memory.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from time import perf_counter
from typing import TYPE_CHECKING, Any

# Its library writes what is not JSON.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from google.protobuf.message import DecodeError, Message

from perennial_serving import described
from perennial_serving.access import line
from perennial_serving.bearer import Bearer
from perennial_serving.body import SMALL, hold, release
from perennial_serving.counters import Counters
from perennial_serving.grpc_codec import message_of, request_of
from perennial_serving.grpc_generated import open_inference_pb2 as messages
from perennial_serving.inference import FAILED, Inference, Refused
from perennial_serving.logs import unforeseen
from perennial_serving.settings import Settings
from perennial_serving.state import State
from perennial_serving.tls import Material, Tls

if TYPE_CHECKING:
    from perennial_serving.tracing import Traces

_SERVICE = "/inference.GRPCInferenceService"
_LIVE, _READY, _INFER = (f"{_SERVICE}/{name}" for name in ("ServerLive", "ServerReady", "ModelInfer"))
_OPEN = {_LIVE, _READY}
_GRACE_MS = 10_000
_SEEN = 2
"""As many times the limit a message may be for us to see, refuse and count it; larger ones the library refuses."""
_EARLY = 0.8
"""gRPC spreads connections' ages by a tenth, up and down; the rest is for what delays them."""
_CODES = {
    200: grpc.StatusCode.OK,
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    499: grpc.StatusCode.CANCELLED,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_Headers = list[tuple[bytes, bytes]]
_Method = Callable[[bytes, _Headers], Awaitable[Message]]
_began: ContextVar[float] = ContextVar("began")
"""When the call reached us (s, ``perf_counter``): each is a task with a context of its own."""


class Calls(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Every method of the service. ``waiting`` are the calls that have come and have no answer yet."""

    def __init__(
        self,
        inference: Inference,
        counters: Counters,
        state: State,
        bearer: Bearer | None,
        traces: "Traces | None" = None,
    ) -> None:
        self._inference, self._counters, self._state, self._bearer = inference, counters, state, bearer
        self._traces = traces
        self.waiting: set[asyncio.Task[Any] | None] = set()
        self._handlers = {
            path: grpc.unary_unary_rpc_method_handler(self._answering(path, method))
            for path, method in {
                _LIVE: self._live,
                _READY: self._ready,
                _INFER: self._infer,
                f"{_SERVICE}/ModelReady": self._model_ready,
                f"{_SERVICE}/ServerMetadata": self._server,
                f"{_SERVICE}/ModelMetadata": self._model,
                f"{_SERVICE}/RepositoryIndex": self._index,
            }.items()
        }

    def service(self, details: Any) -> Any:
        """The handler of a call, which begins here, in its own task."""
        task = asyncio.current_task()
        if task is not None:
            self.waiting.add(task)
            task.add_done_callback(self.waiting.discard)
        _began.set(perf_counter())
        return self._handlers.get(details.method)

    def _answering(self, path: str, method: _Method) -> Any:
        logged = self._inference.settings.access_log

        async def answer(payload: bytes, context: Any) -> bytes:
            status, reply, message, why = 500, None, b"", FAILED
            headers = [(key.encode(), _bytes(value)) for key, value in context.invocation_metadata()]
            span = self._traces.call(path, headers) if self._traces and path not in _OPEN else None
            try:
                if path not in _OPEN:
                    self._admit(headers)
                reply = await method(payload, headers)
                message, status = reply.SerializeToString(), 200
            except Refused as refusal:
                status, why = refusal.status, refusal.message
            except asyncio.CancelledError:
                status = 499
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told and it is counted
                unforeseen(error)
            finally:
                # As over HTTP: what was asked of another model is none of ours.
                if path == _INFER and status != 404:
                    self._counters.request(status, perf_counter() - _began.get())
                if logged:
                    line("POST", path, status, _began.get(), len(message))
                if self._traces and span:
                    self._traces.ended(span, status, _CODES[status].value[0], _rows(reply) if path == _INFER else 0)
            if status != 200:
                await context.abort(_CODES[status], why)
            return message

        return answer

    def _admit(self, headers: _Headers) -> None:
        if self._bearer is not None and (why := self._bearer.refusal(headers)):
            raise Refused(401, why)

    async def _infer(self, payload: bytes, headers: _Headers) -> Message:
        if self._state.waiting() > self._inference.settings.max_waiting:
            raise Refused(429, "too many requests are waiting; try again")
        if len(payload) > self._inference.settings.max_body_bytes:
            raise Refused(413, f"the message is larger than {self._inference.settings.max_body_bytes} bytes")
        if SMALL < len(payload) > self._state.room:
            raise Refused(429, "the requests that are waiting are too large together; try again")
        hold(payload, self._state)
        try:
            message = _parsed(messages.ModelInferRequest, payload)
            self._require(message.model_name, message.model_version)
            response = await self._inference.infer(request_of(message), headers, _began.get(), len(payload))
        finally:
            release(payload, self._state)
        return message_of(response, raw=bool(message.raw_input_contents))

    def _require(self, model: str, version: str) -> None:
        settings = self._inference.settings
        if model != settings.model or version not in {"", settings.version}:
            raise Refused(404, f"this is model {settings.model}, version {settings.version}, and no other")

    async def _live(self, _: bytes, __: _Headers) -> Message:
        return messages.ServerLiveResponse(live=True)

    async def _ready(self, _: bytes, __: _Headers) -> Message:
        return messages.ServerReadyResponse(ready=self._state.ready)

    async def _model_ready(self, payload: bytes, _: _Headers) -> Message:
        request = _parsed(messages.ModelReadyRequest, payload)
        self._require(request.name, request.version)
        return messages.ModelReadyResponse(ready=self._state.ready)

    async def _server(self, _: bytes, __: _Headers) -> Message:
        return messages.ServerMetadataResponse(**described.server())

    async def _model(self, payload: bytes, _: _Headers) -> Message:
        request = _parsed(messages.ModelMetadataRequest, payload)
        self._require(request.name, request.version)
        about = described.model(self._inference)
        # The message has no room for a tensor's parameters.
        for tensor in about["inputs"]:
            tensor.pop("parameters", None)
        return messages.ModelMetadataResponse(**about)

    async def _index(self, payload: bytes, _: _Headers) -> Message:
        only_ready = _parsed(messages.RepositoryIndexRequest, payload).ready
        models = described.index(self._inference, ready=self._state.ready, only_ready=only_ready)
        return messages.RepositoryIndexResponse(models=models)


def _rows(reply: Any) -> int:
    """How many rows an answered prediction is of."""
    return int(reply.outputs[0].shape[0]) if reply is not None and reply.outputs else 0


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _parsed(kind: Any, payload: bytes) -> Any:
    try:
        return kind.FromString(payload)
    except DecodeError as error:
        raise Refused(400, f"no {kind.__name__}: {error}") from None


class _Certificates:
    """What gRPC asks for at every handshake: the mounted certificate when it is a new one."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._given: Material = tls.material

    def credentials(self) -> Any:
        """Credentials that follow the Secret."""
        first = self._configuration(self._given)
        return grpc.dynamic_ssl_server_credentials(first, self._renewed, self._tls.client_auth)

    def _renewed(self) -> Any:
        material = self._tls.material
        if material is self._given:
            return None
        self._given = material
        return self._configuration(material)

    @staticmethod
    def _configuration(material: Material) -> Any:
        pair = (material.key, material.certificate)
        return grpc.ssl_server_certificate_configuration([pair], material.ca or None)


async def start(settings: Settings, calls: Calls, state: State, tls: Tls | None) -> Any:
    """The started ``grpc.aio.Server``; its ``stop(grace)`` lets what was begun finish within ``grace`` seconds.

    Its calls count as waiting beside HTTP's. Raises RuntimeError when the port cannot be had.
    """
    options: list[tuple[str, int]] = [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", _SEEN * settings.max_body_bytes),
    ]
    if settings.connection_max_age > 0:
        options += [
            # No connection is older: those of a leaving predictor are all renewed before its port closes.
            ("grpc.max_connection_age_ms", round(1000 * _EARLY * settings.connection_max_age)),
            ("grpc.max_connection_age_grace_ms", _GRACE_MS),
        ]
    server = grpc.aio.server(handlers=[calls], options=options)
    address = f"{settings.host}:{settings.grpc_port}"
    if tls is None:
        server.add_insecure_port(address)
    else:
        server.add_secure_port(address, _Certificates(tls).credentials())
    others = state.waiting
    state.waiting = lambda: others() + len(calls.waiting)
    await server.start()
    return server
