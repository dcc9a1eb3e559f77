"""OpenTelemetry traces of the serving ports' requests. Imported only where an endpoint is set: it costs memory."""

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from perennial_serving import __version__
from perennial_serving.settings import Settings

_EXPORT_SECONDS = 5.0
_FLUSH_SECONDS = 3.0
_JSON_LENGTH = b"inference-header-content-length"
_UNTRACED = "/v2/health/"
_PREDICTS = re.compile(r"^/v[12]/models/[^/:]+(/versions/[^/:]+/infer|/infer|:predict)$")
_NAMED = re.compile(r"/models/[^/:]+(/versions/[^/:]+)?")
Headers = Iterable[tuple[bytes, bytes]]
Application = Callable[[Any, Any, Any], Awaitable[None]]


class _Output(msgspec.Struct):
    shape: list[int]


class _Answer(msgspec.Struct):
    outputs: list[_Output] = []
    predictions: list[msgspec.Raw] = []


class Traces:
    """Spans on their way to ``settings.traces_endpoint``, by OTLP over HTTP, from a thread; a full queue drops them."""

    def __init__(self, settings: Settings) -> None:
        resource = Resource.create(
            {
                "service.name": settings.deployment.rpartition("/")[2],
                "service.namespace": settings.deployment.rpartition("/")[0],
                "service.version": settings.version,
            }
        )
        exporter = OTLPSpanExporter(
            endpoint=f"{settings.traces_endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_SECONDS
        )
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.traces_sample)), resource=resource, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("perennial_serving", __version__)
        self._about = {"perennial.model": settings.model, "perennial.version": settings.version}

    def around(self, app: Application) -> Application:
        """``app`` with a span for each request but those for health."""

        async def traced(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"].startswith(_UNTRACED):
                await app(scope, receive, send)
                return
            span = self._begin(scope)
            if span.is_recording():
                send = _observed(span, send, predicts=_PREDICTS.match(scope["path"]) is not None)
            try:
                await app(scope, receive, send)
            finally:
                span.end()

        return traced

    async def leave(self) -> None:
        """Sends what is left, for three seconds at most."""
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def shut_down() -> None:
            self._provider.shutdown()
            loop.call_soon_threadsafe(done.set)

        # A thread that nobody joins: a collector that hangs does not keep the process.
        threading.Thread(target=shut_down, daemon=True).start()
        try:
            await asyncio.wait_for(done.wait(), _FLUSH_SECONDS)
        except TimeoutError:
            return

    def _begin(self, scope: Any) -> trace.Span:
        route = _route(scope["path"])
        headers = _texts(scope["headers"])
        return self._start(
            f"{scope['method']} {route}",
            headers,
            {
                "http.request.method": scope["method"],
                "http.route": route,
                "url.path": scope["path"],
                "url.scheme": scope["scheme"],
                "network.protocol.version": scope["http_version"],
                "client.address": (scope.get("client") or ("",))[0],
                **({"user_agent.original": headers["user-agent"]} if "user-agent" in headers else {}),
            },
        )

    def call(self, path: str, headers: Headers) -> trace.Span:
        """The span of a gRPC call of ``path`` ("/service/method"); :meth:`ended` ends it."""
        service, _, method = path[1:].partition("/")
        about = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        return self._start(path[1:], _texts(headers), about)

    @staticmethod
    def ended(span: trace.Span, status: int, code: int, rows: int) -> None:
        """Ends the span of a gRPC call with HTTP's ``status``, gRPC's ``code`` and the number of predicted rows."""
        span.set_attribute("rpc.grpc.status_code", code)
        if rows:
            span.set_attribute("perennial.rows", rows)
        if status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(trace.StatusCode.ERROR)
        span.end()

    def _start(self, name: str, headers: dict[str, str], about: dict[str, Any]) -> trace.Span:
        return self._tracer.start_span(
            name,
            context=_propagator.extract(headers),
            kind=trace.SpanKind.SERVER,
            attributes={**about, **self._about},
        )


_propagator = TraceContextTextMapPropagator()


def _texts(headers: Headers) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}


def _route(path: str) -> str:
    return _NAMED.sub(lambda match: "/models/{model}" + ("/versions/{version}" if match[1] else ""), path)


def _observed(span: trace.Span, send: Any, *, predicts: bool) -> Any:
    """``send`` that tells the span the status and the number of predicted rows."""
    status, json_length = 0, None

    async def sending(message: Any) -> None:
        nonlocal status, json_length
        if message["type"] == "http.response.start":
            status = message["status"]
            json_length = next((int(value) for name, value in message["headers"] if name == _JSON_LENGTH), None)
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                span.set_attribute("error.type", str(status))
                span.set_status(trace.StatusCode.ERROR)
        elif predicts and status == 200 and (rows := _rows(message.get("body", b"")[:json_length])):
            span.set_attribute("perennial.rows", rows)
        await send(message)

    return sending


def _rows(answer: bytes) -> int:
    """How many rows a prediction's body answers, v2 or v1; 0 for any other body."""
    try:
        decoded = msgspec.json.decode(answer, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 0
    return decoded.outputs[0].shape[0] if decoded.outputs else len(decoded.predictions)
