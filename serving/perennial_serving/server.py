"""Two ports in one event loop, connections that do not grow old, and an end that loses no request."""

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn import Config, Server

from perennial_serving.bearer import Bearer
from perennial_serving.connection import Idle, protocol
from perennial_serving.counters import Counters
from perennial_serving.inference import Inference
from perennial_serving.mirror import Mirror
from perennial_serving.settings import Settings
from perennial_serving.state import State
from perennial_serving.tls import Tls
from perennial_serving.watched import watch

if TYPE_CHECKING:
    from perennial_serving.tracing import Traces

_IDLE_SECONDS = 10
_GRACE_SECONDS = 11
"""A little more than a body may take to come, so that whoever is slow is told so."""
_SCRAPE_HEADER = "x-prometheus-scrape-timeout-seconds"
"""Sent by Prometheus and what speaks its protocol, by no person with curl."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """What one process serves: ``app`` on the serving port, protected by ``tls`` and ``bearer`` where they are set."""

    app: Any
    inference: Inference
    counters: Counters
    state: State
    mirror: Mirror
    tls: Tls | None
    bearer: Bearer | None

    def looks(self) -> list[Callable[[], None]]:
        """What is to be called now and then, for what is mounted may change."""
        return [item.look for item in (self.tls, self.bearer, self.mirror) if item is not None]


class _QuietServer(Server):
    """uvicorn's server without its signal handlers: two servers share this process, and one place ends both."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: Any, settings: Settings, port: int, max_age: float = 0, tls: Tls | None = None) -> Server:
    config = Config(
        app,
        host=settings.host,
        port=port,
        http=protocol(max_age, settings.max_body_bytes),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ssl_context_factory=(lambda *_: tls.door) if tls else None,
    )
    return _QuietServer(config)


def metrics_app(counters: Counters, mirror: Mirror, state: State) -> Starlette:
    """Port 9090: /metrics, /healthz (the loop answers), /readyz (200, or 503 from the first moment of leaving)."""

    async def metrics(request: Request) -> Response:
        scraper = _SCRAPE_HEADER in request.headers
        text = counters.render(scraper=scraper) + mirror.render(scraper=scraper)
        if scraper:
            state.scraped.set()
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(_: Request) -> Response:
        return PlainTextResponse("ready") if state.ready else PlainTextResponse("draining", 503)

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)])


async def serve(settings: Settings, service: Service) -> None:
    """Serves until SIGTERM or SIGINT, then drains: not ready at once, still answering for ``drain_seconds`` (endpoints
    take a moment to leave every node), then what was begun is finished, and what nobody waits for: copies for a shadow,
    and traces. At last Prometheus, where it has been here, may come for the last counts for ``last_scrape_seconds``.

    The metrics port stays until the end. A second signal cuts the wait short.
    """
    state, mirror, traces = service.state, service.mirror, _traces(settings)
    app = traces.around(service.app) if traces else service.app
    serving = _server(app, settings, settings.port, settings.connection_max_age, service.tls)
    metrics_only = metrics_app(service.counters, mirror, state)
    metrics = _server(metrics_only, settings, settings.metrics_port)
    state.waiting = serving.server_state.tasks.__len__
    calls = await _grpc(settings, service, traces)
    leaving, hurried = asyncio.Event(), asyncio.Event()

    def leave() -> None:
        (hurried if leaving.is_set() else leaving).set()

    _on_signals(leave)

    looking = asyncio.create_task(watch(*service.looks(), *_idle(serving, metrics)))
    running = asyncio.create_task(serving.serve())
    showing = asyncio.create_task(metrics.serve())
    ended = await _first(running, showing, asyncio.create_task(leaving.wait()))
    if running in ended or showing in ended:
        raise RuntimeError("a port could not be served")
    state.ready = False
    _logger.info("leaving: answering for %g s more", settings.drain_seconds)
    with suppress(TimeoutError):
        await asyncio.wait_for(hurried.wait(), settings.drain_seconds)
    serving.should_exit = True
    await asyncio.gather(running, *([calls.stop(_GRACE_SECONDS)] if calls else []))
    looking.cancel()
    await asyncio.gather(mirror.leave(), *([traces.leave()] if traces else []))
    await _last_scrape(service.counters, state, hurried, settings.last_scrape_seconds)
    metrics.should_exit = True
    await showing


async def _last_scrape(counters: Counters, state: State, hurried: asyncio.Event, seconds: float) -> None:
    """What was counted after it would be lost to every monitor."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while counters.unread and not hurried.is_set():
                state.scraped.clear()
                await _first(asyncio.create_task(state.scraped.wait()), asyncio.create_task(hurried.wait()))


def _idle(*ports: Server) -> list[Callable[[], None]]:
    return [Idle(port.server_state.connections).look for port in ports]


def _traces(settings: Settings) -> "Traces | None":
    if not settings.traces_endpoint:
        return None
    from perennial_serving.tracing import Traces  # noqa: PLC0415 - OpenTelemetry is not for those who do not use it

    return Traces(settings)


async def _grpc(settings: Settings, service: Service, traces: "Traces | None") -> Any:
    if not settings.grpc_port:
        return None
    from perennial_serving.grpc_server import Calls, start  # noqa: PLC0415 - nor is gRPC's library

    calls = Calls(service.inference, service.counters, service.state, service.bearer, traces)
    return await start(settings, calls, service.state, service.tls)


async def _first(*tasks: "asyncio.Task[Any]") -> "set[asyncio.Task[Any]]":
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    return done


def _on_signals(handle: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle)
