"""A measurement is one round of queries, made when it is due; a bad analysis is said before."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from perennial.adapters.prometheus import Prometheus, PrometheusUnavailable, QueryRejected, Series
from perennial.api.rollout import Analysis
from perennial.domain.analysis.judge import Observed, Unavailable, judge, request_share
from perennial.domain.analysis.problem import problem
from perennial.reconcile import measure as patience
from perennial.reconcile.measure import analysis_problem, measure
from tests.unit.rollout.analysis.support import series
from tests.unit.rollout.world import BEGINNING, World, holding

ERRORS = {"name": "errors", "builtin": "ErrorRate", "max": 0.01}
LATENCY = {"name": "latency", "builtin": "LatencyP99", "max": "50ms"}


class Answers(Prometheus):
    """Answers by a word of the query once ``together`` queries wait for it, and keeps what it was asked."""

    def __init__(self, answers: dict[str, list[Series] | Exception], together: int = 1) -> None:
        super().__init__("http://prometheus.test")
        self.answers = answers
        self.asked: list[tuple[str, float]] = []
        self._all_here = asyncio.Barrier(together)

    async def query(self, expr: str, at: float) -> list[Series]:
        self.asked.append((expr, at))
        await self._all_here.wait()
        return self._told(expr)

    async def parse(self, expr: str) -> None:
        self._told(expr)

    def _told(self, expr: str) -> list[Series]:
        answer = next((each for word, each in self.answers.items() if word in expr), [])
        if isinstance(answer, Exception):
            raise answer
        return answer


def watching(*metrics: dict[str, Any]) -> World:
    world = holding()
    world.change(rollout={**world.spec["rollout"], "analysis": {"interval": "30s", "metrics": list(metrics)}})
    return world


REQUESTS = [
    series(200, version="heart-v1", code="200"), series(90, version="heart-v2", code="200"),
    series(10, version="heart-v2", code="500"),
]  # fmt: skip


async def test_a_measurement_is_made_when_it_is_due_and_in_one_round() -> None:
    mine = {"name": "mine", "query": 'vector(1) + sum(x{v="{{version}}"})', "max": 2}
    world = watching(ERRORS, LATENCY, {**LATENCY, "name": "median", "builtin": "LatencyP50"}, mine)
    assert await measure(Answers({}), world.deployment, world.now + timedelta(seconds=29)) is None
    due = world.now + timedelta(seconds=30)
    durations = [series(99.5, le="0.01"), series(100, le="0.1"), series(100, le="+Inf")]
    prometheus = Answers({"requests_total": REQUESTS, "_bucket": durations, "vector": [series(1.5)]}, together=3)
    found = await measure(prometheus, world.deployment, due)
    assert isinstance(found, Observed)
    assert {at for _, at in prometheus.asked} == {due.timestamp()}
    judged = judge(world.deployment.spec.rollout.analysis, found, "heart-v2", due)
    assert [(each.name, each.result) for each in judged] == [
        ("errors", "Fail"), ("latency", "Pass"), ("median", "Pass"), ("mine", "Pass"),
    ]  # fmt: skip


async def test_labels_count_since_the_stage_began() -> None:
    world = watching({"name": "accuracy", "builtin": "Performance", "min": 0.8})
    prometheus = Answers({}, together=2)
    await measure(prometheus, world.deployment, world.now + timedelta(seconds=3700))
    assert any("feedback_total" in expr and "[3700s]" in expr for expr, _ in prometheus.asked)


async def test_that_prometheus_is_away_is_a_finding() -> None:
    world = watching(ERRORS)
    found = await measure(
        Answers({"": PrometheusUnavailable("timeout")}), world.deployment, world.now + timedelta(seconds=30)
    )
    assert found == Unavailable(found.revision if found else "", "timeout")
    [judged] = judge(world.deployment.spec.rollout.analysis, found, "heart-v2", BEGINNING) if found else []
    assert judged.result == "NoData"


async def test_a_query_that_prometheus_refuses_leaves_the_others() -> None:
    world = watching(ERRORS, {"name": "mine", "query": "sum(no_such)", "max": 2}, LATENCY)
    refused = QueryRejected("execution: found duplicate series")
    answers: dict[str, list[Series] | Exception] = {
        "requests_total": REQUESTS, "no_such": refused, "_bucket": PrometheusUnavailable("timeout"),
    }  # fmt: skip
    found = await measure(Answers(answers, together=3), world.deployment, world.now + timedelta(seconds=30))
    assert isinstance(found, Observed)
    judged = judge(world.deployment.spec.rollout.analysis, found, "heart-v2", BEGINNING)
    assert [(each.result, each.message) for each in judged] == [
        ("Fail", ""),
        ("Inconclusive", "Prometheus refuses the query: execution: found duplicate series"),
        ("NoData", "Prometheus does not answer: timeout"),
    ]


def test_the_share_of_requests_is_told_only_where_versions_differ() -> None:
    observed = Observed("r", {"v1": 300.0, "v2": 100.0})
    assert request_share(observed, "v1", "v2") == 25.0
    assert request_share(observed, "v1", "v1") is None
    assert request_share(Observed("r"), "v1", "v2") is None
    assert request_share(Unavailable("r", ""), "v1", "v2") is None


# --- what is wrong with it as it is written -----------------------------------------------------------------------

BAD = [
    ({"query": "sum(rate(x[5m])"}, "metrics[1].query: no PromQL: unclosed left parenthesis, in sum(rate(x[5m])"),
    ({"query": "rate(x)"}, "metrics[1].query: no PromQL: expected type matrix"),
    ({"query": "fooo(x)"}, "unknown function with name 'fooo'"),
    ({"query": 'x{a=~"b("}'}, "illegal regex"),
    ({"query": 'x{a="{{verson}}"}'}, "{{verson}} stands for nothing; there are {{deployment}}, {{namespace}}"),
    ({"query": 'x{v="{{version}}"}[{{interval}}]'}, 'gives a range of values, not a value: x{v="heart-v1"}[30s]'),
    ({"query": "(max_over_time(x[5m])[1h:1m])"}, "gives a range of values"),
    ({"query": '"x"'}, "gives a text"),
    ({"builtin": "ErrorRate", "max": "5ms"}, "metrics[1].max: 5ms is a time, ErrorRate is a share"),
    ({"query": "up", "max": 2, "failAbove": 1}, "metrics[1].max: 2 is above failAbove, 1"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "words"), BAD)
async def test_what_cannot_be_measured_is_said_with_its_place(fields: dict[str, Any], words: str) -> None:
    owner = watching(ERRORS, {"name": "mine", "max": 1, **fields}).deployment
    found = problem(owner)
    assert found is not None
    assert found.reason == "AnalysisInvalid"
    assert found.message.startswith("metric mine: spec.rollout.analysis.metrics[1].")
    assert words in found.message
    away = Answers({"": PrometheusUnavailable("404 page not found")})
    assert await analysis_problem(away, owner) == found, "where Prometheus says nothing, our own parser counts"


GOOD = [
    'sum(rate(perennial_requests_total{deployment="{{deployment}}",version="{{version}}"}[{{interval}}]))',
    'max(x{namespace="{{namespace}}"}) / ignoring(a) group_left min(y{v!~"{{stable}}|b"} offset 5m)',
    "histogram_quantile(0.9, sum by (le) (rate(x_bucket[1m])))",
    "scalar(x) > bool 5",
    "time()",
    "1",
]


@pytest.mark.parametrize("query", GOOD)
async def test_a_good_query_is_no_problem(query: str) -> None:
    owner = watching({"name": "mine", "query": query, "max": 1}).deployment
    assert problem(owner) is None
    assert await analysis_problem(Answers({"": AssertionError("nobody needs to be asked")}), owner) is None


async def test_the_word_of_prometheus_counts_where_our_parser_is_in_doubt() -> None:
    owner = watching({"name": "mine", "query": "holt_winters(x[5m], 0.5, 0.5)", "max": 1}).deployment
    assert problem(owner) is not None
    assert await analysis_problem(Answers({}), owner) is None, "Prometheus 2 has this function"
    refuses = Answers({"": QueryRejected('bad_data: invalid parameter "query": 1:1: parse error: unknown function')})
    found = await analysis_problem(refuses, owner)
    assert found is not None
    assert "metrics[0].query: bad_data" in found.message
    assert "1:1: parse error" in found.message


def test_an_analysis_without_metrics_is_no_problem() -> None:
    assert problem(watching().deployment) is None
    assert Analysis().metrics == []


class Hanging(Prometheus):
    """Takes the connection and never answers."""

    def __init__(self) -> None:
        super().__init__("http://prometheus.test")

    async def query(self, expr: str, at: float) -> list[Series]:
        return await asyncio.Future()

    async def parse(self, expr: str) -> None:
        await asyncio.Future()


async def test_a_prometheus_that_hangs_does_not_hold_up_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    assert patience.PATIENCE <= 5, "a person's command waits 10 s for the operator"
    monkeypatch.setattr(patience, "PATIENCE", 0.01)
    world = watching(ERRORS, {"name": "mine", "query": "sum(rate(x[5m])", "max": 2})
    async with asyncio.timeout(5):
        found = await measure(Hanging(), world.deployment, world.now + timedelta(seconds=30))
        problem_ = await analysis_problem(Hanging(), world.deployment)
    assert isinstance(found, Unavailable)
    assert found.message == "no answer within 0.01 s"
    assert problem_ is not None
    assert problem_.reason == "AnalysisInvalid"
