"""A small HTTP server that answers Prometheus' API from traffic that a test describes."""

import json
import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

from perennial.adapters.prometheus import Prometheus
from perennial.contracts import names

_PART = re.compile(
    r'increase\((\w+)\{deployment=~?"([^"]+)",version=~?"([^"]+)"\}\[(\d+)ms\]\)\)(?: > 0)?(?:, "family", "(\w+)")?'
)


@dataclass(frozen=True)
class Traffic:
    """From ``start`` to ``end`` (Unix s): what is counted in a second, for one version."""

    version: str
    start: float
    end: float
    bins: Mapping[tuple[str, str], float]
    predictions: Mapping[str, float]
    feedback: Mapping[tuple[str, str], float] = field(default_factory=dict)
    others: Mapping[str, Mapping[tuple[tuple[str, str], ...], float]] = field(default_factory=dict)
    """Further metrics: what they count in a second, by labels."""
    deployment: str = ""
    """Of this one alone; empty: of whichever is asked for."""

    def series(self, metric: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Counted in a second, by labels."""
        match metric:
            case names.METRIC_FEATURES:
                return {(("feature", one), ("bin", two)): rate for (one, two), rate in self.bins.items()}
            case names.METRIC_PREDICTED:
                return {(("predicted", one),): rate for one, rate in self.predictions.items()}
            case names.METRIC_FEEDBACK:
                return {(("predicted", one), ("actual", two)): rate for (one, two), rate in self.feedback.items()}
        return dict(self.others.get(metric, {}))


class PrometheusServer(AbstractAsyncContextManager["PrometheusServer"]):
    """Listens on 127.0.0.1 at ``url``; ``client`` asks it. ``broken`` is the (status, body) of every answer, if set."""

    def __init__(self) -> None:
        self.traffic: list[Traffic] = []
        self.broken: tuple[int, str] | None = None
        self.asked: list[dict[str, str]] = []
        self.figures: dict[str, float] = {}
        """Answers to queries that are not ours, by their text."""
        app = web.Application()
        app.router.add_post("/api/v1/query", self._answer)
        app.router.add_post("/api/v1/query_range", self._answer)
        self._server = TestServer(app)

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        self.client = Prometheus(self.url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()
        await self._server.close()

    @property
    def url(self) -> str:
        """Its address."""
        return str(self._server.make_url("")).rstrip("/")

    async def _answer(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.asked.append({"path": request.path, **form})
        if self.broken:
            return web.Response(status=self.broken[0], text=self.broken[1])
        times = _times(form)
        result = self._result(form["query"], times)
        kind = "matrix" if "step" in form else "vector"
        if kind == "vector":
            result = [{"metric": each["metric"], "value": each["values"][0]} for each in result]
        return web.Response(text=json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}))

    def _result(self, query: str, times: list[float]) -> list[dict[str, Any]]:
        if query in self.figures:
            return [{"metric": {}, "values": [[at, str(self.figures[query])] for at in times]}]
        parts = _PART.findall(query)
        assert parts or self.figures, query
        result: list[dict[str, Any]] = []
        for metric, deployments, versions, span, family in parts:
            for version in versions.split("|"):
                for deployment in deployments.split("|"):
                    about = {"deployment": deployment, "version": version, "family": family} if family else {}
                    flows = [
                        each for each in self.traffic if each.version == version and each.deployment in {"", deployment}
                    ]
                    result += _part(metric, flows, int(span) / 1000, times, about)
        return result


def _part(
    metric: str, flows: list[Traffic], span: float, times: list[float], about: dict[str, str]
) -> list[dict[str, Any]]:
    labels = {key for each in flows for key in each.series(metric)}
    values = {
        key: [
            [at, str(sum(_overlap(flow, at - span, at) * flow.series(metric).get(key, 0.0) for flow in flows))]
            for at in times
        ]
        for key in sorted(labels)
    }
    if not about:
        total = [[at, str(sum(float(each[place][1]) for each in values.values()))] for place, at in enumerate(times)]
        return [{"metric": {}, "values": total}] if values else []
    return [{"metric": {**dict(key), **about}, "values": each} for key, each in values.items()]


def _times(form: Mapping[str, str]) -> list[float]:
    if "time" in form:
        return [float(form["time"])]
    start, end, step = (float(form[key]) for key in ("start", "end", "step"))
    return [start + number * step for number in range(round((end - start) / step) + 1)]


def _overlap(flow: Traffic, start: float, end: float) -> float:
    return max(0.0, min(flow.end, end) - max(flow.start, start))
