"""What the operator says about itself: metrics, logs, probes.

Logs are one JSON object a line, with the object that they are about; kopf's own come out the same way.
"""

import contextlib
import json
import logging
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from perennial.contracts.names import METRIC_ROLE

STALLED_SECONDS = 30.0
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

_subject: ContextVar[dict[str, str]] = ContextVar("subject")


@contextlib.contextmanager
def about(key: tuple[str, str, str]) -> Iterator[None]:
    """Log records inside carry the object's kind, namespace and name and an id of this reconcile."""
    kind, namespace, name = key
    token = _subject.set({"kind": kind, "namespace": namespace, "name": name, "reconcile": uuid.uuid4().hex[:12]})
    try:
        yield
    finally:
        _subject.reset(token)


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, the object, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_subject.get({}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def log_as_json(level: str = "INFO") -> None:
    """Sends every log record of the process to stderr as JSON. Raises ValueError for an unknown level."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # kopf tells of every event that it passes on; what we make of it is told by our own records.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    # It warns that it leaves signals alone, which is why it runs in a thread.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


class Metrics:
    """The operator's own metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._duration = Histogram(
            "perennial_operator_reconcile_duration_seconds", "Time of one look at an object.", ["kind"],
            buckets=_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._errors = Counter(
            "perennial_operator_reconcile_errors", "Looks that failed and are repeated.", ["kind", "reason"],
            registry=self.registry,
        )  # fmt: skip
        self._api = Counter(
            "perennial_operator_api_requests", "Requests to the API server; code 0: no answer.",
            ["verb", "kind", "code"], registry=self.registry,
        )  # fmt: skip
        self._outcomes = Counter(
            "perennial_operator_outcomes", "How runs and rollouts ended, and monitors' verdicts.",
            ["subject", "outcome"], registry=self.registry,
        )  # fmt: skip
        self._leader = Gauge(
            "perennial_operator_leader", "1 where this process holds the Lease.", registry=self.registry
        )
        self._objects: Callable[[], str] = str

    def reconciled(self, kind: str, seconds: float) -> None:
        """A look at an object ended, well or not."""
        self._duration.labels(kind).observe(seconds)

    def error(self, kind: str, reason: str) -> None:
        """A look at an object failed."""
        self._errors.labels(kind, reason or "Unknown").inc()

    def api_request(self, verb: str, kind: str, code: int) -> None:
        """A request to the API server was answered."""
        self._api.labels(verb, kind, str(code)).inc()

    def outcome(self, subject: str, outcome: str) -> None:
        """Something came to its end: ("run", "Registered"), ("rollout", "Promoted"), ("verdict", "Drifting")."""
        self._outcomes.labels(subject, outcome).inc()

    def leads(self) -> None:
        """This process holds the Lease from now on."""
        self._leader.set(1)

    def follow_queue(self, depth: Callable[[], int], overdue: Callable[[], float]) -> None:
        """Reads the queue's depth and the longest wait (seconds) at each scrape."""
        Gauge(
            "perennial_operator_queue_depth", "Keys that wait, for their time too.", registry=self.registry
        ).set_function(depth)
        Gauge(
            "perennial_operator_queue_overdue_seconds", "Wait of the oldest key that is due.", registry=self.registry
        ).set_function(overdue)

    def follow_roles(self, roles: Callable[[], Iterable[tuple[str, str, str]]]) -> None:
        """Exports (deployment, version, role) as they are at each scrape."""
        self.registry.register(_Roles(roles))

    def follow_objects(self, text: Callable[[], str]) -> None:
        """Adds ``text``, metrics that are not in the registry, to each scrape."""
        self._objects = text

    def exposition(self) -> bytes:
        """What Prometheus reads, in its text format."""
        return generate_latest(self.registry) + self._objects().encode()


class _Roles(Collector):
    def __init__(self, roles: Callable[[], Iterable[tuple[str, str, str]]]) -> None:
        self._roles = roles

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            METRIC_ROLE,
            "1 for each version that a ModelDeployment has in use.",
            labels=["deployment", "version", "role"],
        )
        for labels in self._roles():
            family.add_metric(labels, 1.0)
        yield family


class Health:
    """What the probes answer: live until keys wait that nobody works on, ready as standby or once synced."""

    def __init__(self) -> None:
        self.role = "starting"
        self.synced: Callable[[], bool] = lambda: False
        self.stalled_for: Callable[[], float] = lambda: 0.0

    def live(self) -> tuple[bool, str]:
        """(whether, why)."""
        seconds = self.stalled_for()
        return seconds < STALLED_SECONDS, f"no progress for {seconds:.0f} s" if seconds >= STALLED_SECONDS else "ok"

    def ready(self) -> tuple[bool, str]:
        """(whether, why)."""
        if self.role == "standby":
            return True, "standby"
        return self.role == "leader" and self.synced(), self.role


@contextlib.asynccontextmanager
async def serving(metrics: Metrics, health: Health, port: int) -> AsyncIterator[None]:
    """Serves /metrics, /healthz and /readyz on all addresses."""

    async def exposition(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def live(_request: web.Request) -> web.Response:
        return _answer(health.live())

    async def ready(_request: web.Request) -> web.Response:
        return _answer(health.ready())

    app = web.Application()
    app.add_routes([web.get("/metrics", exposition), web.get("/healthz", live), web.get("/readyz", ready)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, None, port, shutdown_timeout=1).start()
        yield
    finally:
        await runner.cleanup()


def _answer(outcome: tuple[bool, str]) -> web.Response:
    good, text = outcome
    return web.Response(status=200 if good else 503, text=text + "\n")
