"""Deployments by the hundred as their predictors' counters stand in Prometheus, and the objects that go with them."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.drift.remote_write import Array, prefix, series, write
from perennial.api.common import API_VERSION
from perennial.contracts import names
from perennial.contracts.baseline import (
    ABOVE,
    BELOW,
    INVALID,
    MISSING,
    PREDICTION_EDGES,
    Baseline,
    Distribution,
    Joint,
)
from perennial.contracts.request import Artifact
from tests.unit.drift import support

FEATURES, REGULAR = 20, 10
INTERVAL, STEP, CHUNKS = 15, 300, 24
"""Seconds between scrapes, seconds of a chunk, chunks of a window."""
FIRST = int(datetime(2026, 3, 2, 12, 0, tzinfo=UTC).timestamp())
"""The first window begins here; one chunk more is there before it."""
CLOSES = 3
"""Chunks that close one after the other: one that ends the first window, one in which all ask at once for the first
time, and the one that is measured."""
DENSE = 2
"""Of so many chunks at the end there is every scrape; of those before, the last one alone: it is all that is told of
them once they are known."""
PODS_AT_ONCE = 30
SHOWN = 10
"""Features in a monitor's status."""
_CODES = ("200", "400", "401", "408", "413", "429", "499", "500", "504")
_BUCKETS = (
    "0.0005", "0.001", "0.002", "0.003", "0.005", "0.0075", "0.01", "0.015", "0.02", "0.03", "0.04", "0.05", "0.075",
    "0.1", "0.15", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf",
)  # fmt: skip


def end(close: int) -> int:
    """When chunk ``close`` (from 0) ends, Unix s."""
    return FIRST + (CHUNKS + close) * STEP


def _numeric(name: str, regular: int, edges: tuple[float, ...]) -> Distribution:
    inside = tuple(f"[{low:g},{high:g})" for low, high in itertools.pairwise(edges))
    counts = (0, 0, 0, *[10_000 // regular] * regular, 0)
    return Distribution(name, "Numeric", (MISSING, INVALID, BELOW, *inside, ABOVE), counts, edges)


_EDGES = tuple(float(at) for at in range(REGULAR + 1))
DISTRIBUTIONS = tuple(_numeric(f"feature_{at}", REGULAR, _EDGES) for at in range(FEATURES))
PREDICTION = _numeric("prediction", len(PREDICTION_EDGES) - 1, PREDICTION_EDGES)
JOINT = _numeric("__joint__", REGULAR, _EDGES)


def _families() -> list[tuple[str, dict[str, str], float]]:
    """(Metric, labels, how much of it a row counts) of every series that a monitor reads from a pod."""

    def binned(metric: str, known: Distribution, **labels: str) -> Iterator[tuple[str, dict[str, str], float]]:
        total = sum(known.counts)
        for name, count in zip(known.bins, known.counts, strict=True):
            yield metric, {**labels, "bin": name}, count / total

    found = [each for known in DISTRIBUTIONS for each in binned(names.METRIC_FEATURES, known, feature=known.name)]
    found += [*binned(names.METRIC_PREDICTION_BINS, PREDICTION), *binned(names.METRIC_JOINT, JOINT)]
    found += [(names.METRIC_PREDICTED, {"predicted": each}, 0.5) for each in "01"]
    found += [(names.METRIC_CALIBRATED, {"predicted": each}, share) for each, share in (("0", 0.05), ("1", 0.45))]
    found += [
        (names.METRIC_FEEDBACK, {"predicted": one, "actual": two}, 0.225 if one == two else 0.025)
        for one, two in itertools.product("01", "01")
    ]
    for metric, mean in ((names.METRIC_FEEDBACK_DELAY, 60.0), (names.METRIC_FEEDBACK_LOSS, 0.3)):
        found += [(f"{metric}_sum", {}, 0.5 * mean), (f"{metric}_count", {}, 0.5)]
    found += [(names.METRIC_REQUESTS, {"code": code}, 1.0 if code == "200" else 0.0) for code in _CODES]
    found += [(f"{names.METRIC_DURATION}_bucket", {"le": le}, min(1.0, at / 10)) for at, le in enumerate(_BUCKETS)]
    return found


FAMILIES = _families()
SERIES = len(FAMILIES)


@dataclass(frozen=True)
class Fleet:
    """``size`` deployments named m0000, … in ``namespace`` with ``rows`` predictions a second each; the first
    ``dense`` of them have every scrape from the first on.
    """

    namespace: str
    size: int
    rows: float
    dense: int = 0

    def counted(self) -> list[Array]:
        """Of each deployment, what its series (times, series) stand at when chunks end."""
        rng = np.random.default_rng(7)
        # Rows that fall in a bin are counted one by one; their number varies as that of independent rows does.
        mean = self.rows * STEP * np.array([each[2] for each in FAMILIES])
        chunks = CHUNKS + CLOSES
        return [
            np.vstack([np.zeros(SERIES), np.cumsum(rng.poisson(mean, size=(chunks, SERIES)), axis=0)])
            for _ in range(self.size)
        ]

    def subject(self, at: int) -> tuple[str, str]:
        """(Namespace, name) of deployment and monitor."""
        return self.namespace, f"m{at:04}"

    def labels(self, at: int) -> list[bytes]:
        """Of each series of deployment ``at``, encoded."""
        deployment, name = "/".join(self.subject(at)), self.subject(at)[1]
        pod = {
            "deployment": deployment, "version": f"{name}-v1", "revision": "r1", "pod": f"{name}-r1-0",
            "instance": f"10.0.{at // 250}.{at % 250}:9090", "job": "perennial",
        }  # fmt: skip
        return [prefix({"__name__": metric, **pod, **labels}) for metric, labels, _ in FAMILIES]


async def fill(session: aiohttp.ClientSession, url: str, fleets: Sequence[Fleet]) -> None:
    """Writes all samples of ``fleets``, chunk by chunk: Prometheus takes nothing that is much older than the newest."""
    pods = [
        (at, at < fleet.dense, fleet.labels(at), counted)
        for fleet in fleets
        for at, counted in enumerate(fleet.counted())
    ]
    for chunk in range(CHUNKS + CLOSES):
        for some in range(0, len(pods), PODS_AT_ONCE):
            parts = [
                series(labels, *_scrapes(counted, chunk, at, every=dense))
                for at, dense, labels, counted in pods[some : some + PODS_AT_ONCE]
            ]
            await write(session, url, parts)


def _scrapes(counted: Array, chunk: int, pod: int, *, every: bool) -> tuple[npt.NDArray[np.int64], Array]:
    """(Times, values) of the scrapes in ``chunk``; each pod is scraped at its own moment of the interval."""
    within = np.arange(INTERVAL, STEP + 1, INTERVAL) - 1 - pod % (INTERVAL - 1)
    if not every and chunk < CHUNKS + CLOSES - DENSE:
        within = within[-1:]
    low, high = counted[chunk], counted[chunk + 1]
    values = np.floor(low[:, None] + (high - low)[:, None] * (within / STEP))
    return (FIRST + (chunk - 1) * STEP + within) * 1000, values


class World:
    """The API server and the store as far as monitors read and write, in memory. Objects are kept as JSON, which is
    decoded for each read as a client does.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._objects: dict[tuple[str, str, str], bytes] = {}
        self.writes = self.reports = 0
        for at in range(fleet.size):
            for raw in _objects(*fleet.subject(at)):
                self._keep(raw)

    async def get(self, _api_version: str, kind: str, namespace: str, name: str) -> Any:
        """The object, None where there is none."""
        raw = self._objects.get((kind, namespace, name))
        return None if raw is None else msgspec.json.decode(raw)

    async def put_status(self, raw: Mapping[str, Any], status: Mapping[str, Any]) -> Any:
        """The object with its status."""
        self.writes += 1
        metadata = {**raw["metadata"], "resourceVersion": str(self.writes)}
        written = {**raw, "metadata": metadata, "status": status}
        self._keep(written)
        return written

    async def create(self, _manifest: Mapping[str, Any]) -> bool:
        """An Event."""
        return True

    async def apply(self, manifest: dict[str, Any]) -> Any:
        """A report; it is not kept, for the operator's memory would not have it either."""
        self.reports += 1
        return manifest

    async def read(self, _namespace: str, _artifact: Artifact) -> bytes:
        """What a version keeps in the store."""
        return _BASELINE if _artifact.uri.endswith("baseline.json") else support.signature()

    def forget_verdict(self, namespace: str, name: str) -> None:
        """As if the monitor were new."""
        raw = msgspec.json.decode(self._objects["DriftMonitor", namespace, name])
        self._keep({**raw, "status": {}})

    def check_judged(self) -> None:
        """Raises RuntimeError where a monitor has not judged a full window: its cost would say nothing."""
        for (kind, _, name), text in self._objects.items():
            status = msgspec.json.decode(text).get("status", {})
            if kind == "DriftMonitor" and len(status.get("features", ())) < SHOWN:
                raise RuntimeError(f"monitor {name} has judged nothing: {status}")

    def _keep(self, raw: Mapping[str, Any]) -> None:
        metadata = raw["metadata"]
        self._objects[raw["kind"], metadata["namespace"], metadata["name"]] = msgspec.json.encode(raw)


_BASELINE = msgspec.json.encode(
    Baseline(
        rows=10_000, features=DISTRIBUTIONS, prediction=PREDICTION, predicted=support.OUTCOME, calibration=(),
        metrics={"accuracy": 0.9}, confusion=((450, 50), (50, 450)),
        joint=Joint((), (), (), (), JOINT),
    )
)  # fmt: skip


def _objects(namespace: str, name: str) -> Iterator[dict[str, Any]]:
    """Monitor, deployment and version."""
    since = datetime.fromtimestamp(FIRST - 86400, UTC)
    metadata = {"namespace": namespace, "name": name, "uid": f"{namespace}-{name}", "resourceVersion": "0"}
    spec = {
        "deployment": name, "window": {"length": f"{CHUNKS * STEP // 60}m", "chunks": CHUNKS},
        "scrapeInterval": f"{INTERVAL}s", "predictions": {}, "inputs": {"joint": True},
        "performance": {"metric": "accuracy", "source": "Both"},
    }  # fmt: skip
    yield {"apiVersion": API_VERSION, "kind": "DriftMonitor", "metadata": {**metadata, "generation": 1}, "spec": spec}
    yield {**support.deployment_json(f"{name}-v1", since=since), "metadata": metadata}
    yield {**support.version_json(), "metadata": {**metadata, "name": f"{name}-v1"}}
