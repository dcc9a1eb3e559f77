"""Each metric: what is good, what is bad, what is neither, and what is no data."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.domain.analysis.judge import Observed, Unavailable, undecided
from perennial.domain.analysis.observed import Trouble
from tests.unit.rollout.analysis.support import INF, NAN, NEW, STABLE, measurement, metric, observed
from tests.unit.rollout.world import BEGINNING, holding

FAST = {0.01: 99.0, 0.05: 100.0, INF: 100.0}
SLOW = {0.01: 50.0, 0.05: 90.0, 0.1: 100.0, INF: 100.0}
LEVEL = {"[0,0.5)": 50.0, "[0.5,1]": 50.0}
MOVED = {"[0,0.5)": 10.0, "[0.5,1]": 90.0}
MANY = {"[0,0.5)": 450.0, "[0.5,1]": 450.0}
QUERY = {"query": "sum(up)", "max": 5, "failAbove": 9}


@pytest.mark.parametrize(
    ("fields", "facts", "result", "value"),
    [
        ({"builtin": "ErrorRate", "max": 0.01}, {}, "Pass", 0.0),
        ({"builtin": "ErrorRate", "max": 0.01}, {"errors": {NEW: 1.0}}, "Pass", 0.01),
        ({"builtin": "ErrorRate", "max": 0.01}, {"errors": {NEW: 2.0}}, "Fail", 0.02),
        ({"builtin": "ErrorRate", "max": 0.01, "failAbove": 0.05}, {"errors": {NEW: 2.0}}, "Inconclusive", 0.02),
        ({"builtin": "ErrorRate", "max": 0.01}, {"errors": {STABLE: 900.0}}, "Pass", 0.0),
        ({"builtin": "LatencyP99", "max": "50ms"}, {"durations": FAST}, "Pass", 0.01),
        ({"builtin": "LatencyP99", "max": "50ms"}, {"durations": SLOW}, "Fail", 0.095),
        ({"builtin": "LatencyP50", "max": "50ms"}, {"durations": SLOW}, "Pass", 0.01),
        ({"builtin": "LatencyP50", "max": "5ms"}, {"durations": SLOW}, "Fail", 0.01),
        ({"builtin": "LatencyP99", "max": "50ms"}, {"durations": {0.01: 5.0, INF: 5.0}}, "NoData", None),
        ({"builtin": "LatencyP99", "max": "50ms"}, {}, "NoData", None),
        ({"builtin": "Throughput", "min": 3}, {}, "Pass", 100 / 30),
        ({"builtin": "Throughput", "min": 4}, {}, "Fail", 100 / 30),
        ({"builtin": "PredictionShift", "max": 0.2}, {"bins": LEVEL, "stable_bins": MANY}, "Pass", 0.0),
        ({"builtin": "PredictionShift", "max": 0.2}, {"bins": MOVED, "stable_bins": MANY}, "Fail", 0.8424),
        ({"builtin": "PredictionShift", "max": 0.2}, {"bins": MOVED}, "NoData", None),
        ({"builtin": "PredictionShift", "max": 0.2}, {"bins": {"[0,1]": 99.0}, "stable_bins": MANY}, "Inconclusive",
         None),
        ({"builtin": "Agreement", "min": 0.95}, {"rows": {"agree": 96.0, "differ": 4.0}}, "Pass", 0.96),
        ({"builtin": "Agreement", "min": 0.95}, {"rows": {"agree": 90.0, "differ": 10.0}}, "Fail", 0.9),
        ({"builtin": "Agreement", "min": 0.95}, {"rows": {"agree": 19.0, "differ": 0.0}}, "NoData", None),
        ({"builtin": "Performance", "min": 0.8}, {"labels": {("1", "1"): 50.0, ("0", "0"): 40.0, ("1", "0"): 10.0}},
         "Pass", 0.9),
        ({"builtin": "Performance", "min": 0.8, "failBelow": 0.6},
         {"labels": {("1", "1"): 35.0, ("0", "0"): 35.0, ("1", "0"): 30.0}}, "Inconclusive", 0.7),
        ({"builtin": "Performance", "min": 0.8}, {"labels": {("1", "1"): 50.0, ("0", "1"): 50.0}}, "Fail", 0.5),
        ({"builtin": "Performance", "min": 0.8}, {"labels": {("1", "1"): 3.0}}, "NoData", None),
        (QUERY, {"answers": {"it": (5.0,)}}, "Pass", 5.0),
        (QUERY, {"answers": {"it": (7.0,)}}, "Inconclusive", 7.0),
        (QUERY, {"answers": {"it": (10.0,)}}, "Fail", 10.0),
        (QUERY, {"answers": {"it": ()}}, "NoData", None),
        (QUERY, {}, "NoData", None),
        (QUERY, {"answers": {"it": (NAN,)}}, "NoData", None),
        (QUERY, {"answers": {"it": (INF,)}}, "Inconclusive", None),
        (QUERY, {"answers": {"it": (1.0, 2.0)}}, "Inconclusive", None),
    ],
)  # fmt: skip
def test_each_metric(fields: dict[str, Any], facts: dict[str, Any], result: str, value: float | None) -> None:
    found = measurement(metric(**fields), observed(**facts))
    assert (found.result, found.value) == (result, value if value is None else pytest.approx(value, rel=1e-3))
    assert (found.max, found.min) == (
        pytest.approx(0.05) if fields.get("max") == "50ms" else 0.005 if fields.get("max") == "5ms" else
        fields.get("max"), fields.get("min"),
    )  # fmt: skip
    assert bool(found.message) == (result in {"NoData", "Inconclusive"})


@pytest.mark.parametrize(
    ("fields", "facts", "message"),
    [
        ({"builtin": "ErrorRate", "max": 0.01}, {"requests": 12}, "12 requests, 20 needed"),
        ({"builtin": "Throughput", "min": 1}, {"requests": 0}, "0 requests, 20 needed"),
        ({"builtin": "LatencyP99", "max": 1}, {"durations": {1.0: 4.0, INF: 4.0}}, "4 answered requests, 20 needed"),
        ({"builtin": "PredictionShift", "max": 1}, {"bins": LEVEL, "stable_bins": {"[0,0.5)": 3.0, "[0.5,1]": 2.0}},
         "5 predictions of the stable version, 20 needed"),
        ({"builtin": "Agreement", "min": 1}, {"rows": {"agree": 2.0, "differ": 1.0}}, "3 rows compared, 20 needed"),
        ({"builtin": "Performance", "min": 1}, {"labels": {("1", "0"): 7.0}}, "7 labels, 20 needed"),
        (QUERY, {"requests": 3, "answers": {"it": (1.0,)}}, "3 requests, 20 needed"),
        (QUERY, {"answers": {"it": (1.0, 2.0, 3.0)}}, "3 series, not one"),
        (QUERY, {"answers": {"it": (-INF,)}}, "infinite"),
        ({"builtin": "PredictionShift", "max": 1}, {"bins": LEVEL, "stable_bins": {"[0,1]": 90.0}}, "different bins"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_in_numbers(fields: dict[str, Any], facts: dict[str, Any], message: str) -> None:
    found = measurement(metric(**fields), observed(**facts))
    assert message in found.message
    assert found.value is None


def test_labels_and_compared_rows_need_no_requests_of_the_interval() -> None:
    agreed = measurement(metric("Agreement", min=0.5), observed(0, rows={"agree": 30.0}))
    labelled = measurement(metric("Performance", min=0.5), observed(0, labels={("1", "1"): 30.0}))
    assert (agreed.result, labelled.result) == ("Pass", "Pass")


@pytest.mark.parametrize("fields", [{"builtin": "ErrorRate", "max": 0.1}, {"builtin": "Agreement", "min": 0.1}, QUERY])
def test_prometheus_away_is_no_data_and_a_refused_query_is_inconclusive(fields: dict[str, Any]) -> None:
    wanted = metric(**fields)
    away = measurement(wanted, Unavailable("b2", "connection refused"))
    assert (away.result, away.message) == ("NoData", "Prometheus does not answer: connection refused")
    key = {"ErrorRate": "requests", "Agreement": "rows"}.get(str(wanted.builtin), "query it")
    facts: dict[str, Any] = {"rows": {"agree": 99.0}, "answers": {"it": (1.0,)}}
    refused = measurement(wanted, observed(troubles={key: Trouble("Refused", "bad_data: x")}, **facts))
    assert (refused.result, refused.message) == ("Inconclusive", "Prometheus refuses the query: bad_data: x")
    slow = measurement(wanted, observed(troubles={key: Trouble("Away", "timeout")}, **facts))
    assert slow.result == "NoData"
    other = measurement(wanted, observed(troubles={"query other": Trouble("Refused", "x")}, **facts))
    assert other.result == "Pass", "one refused query stops no other metric"


def test_a_limit_with_a_wrong_unit_decides_nothing() -> None:
    found = measurement(metric("ErrorRate", max="5ms"), observed())
    assert (found.result, found.message) == ("Inconclusive", "max: 5ms is a time, ErrorRate is a share")


def test_the_metrics_that_are_undecided_are_named() -> None:
    world = holding()
    assert world.status.rollout is not None
    analysis = world.deployment.spec.rollout.analysis
    [wanted] = analysis.metrics
    found = measurement(wanted, observed(troubles={"requests": Trouble("Refused", "x")}))
    later = found.model_copy(update={"at": world.now.replace(year=2027), "name": wanted.name})
    rollout = world.status.rollout.model_copy(update={"measurements": [later]})
    assert undecided(rollout, analysis) == [later]
    assert undecided(world.status.rollout, analysis) == []
    assert later.at > BEGINNING


# --- no data never passes -----------------------------------------------------------------------------------------

count = st.floats(0, 19.9)
BUILTINS = ("ErrorRate", "LatencyP50", "LatencyP99", "Throughput", "PredictionShift", "Agreement", "Performance")


@given(
    builtin=st.sampled_from([*BUILTINS, None]), requests=count, stable=st.floats(0, 1e6), other=st.floats(0, 1e6),
    bound=st.floats(0, 1), high=st.booleans(),
)  # fmt: skip
def test_under_the_minimum_nothing_passes_and_nothing_fails(
    builtin: str | None, requests: float, stable: float, other: float, bound: float, high: bool
) -> None:
    fields = {"query": "up"} if builtin is None else {}
    wanted = metric(builtin, **fields, **{"max" if high else "min": bound})
    seen = Observed(
        "b2", {NEW: requests, STABLE: stable}, {NEW: requests, STABLE: stable},
        durations={1.0: requests, INF: requests}, bins={"[0,1]": requests}, stable_bins={"[0,1]": stable},
        rows={"agree": requests / 2, "differ": requests / 2}, labels={("1", "1"): requests}, answers={"it": (other,)},
    )  # fmt: skip
    assert measurement(wanted, seen).result == "NoData"
    assert measurement(wanted, Unavailable("b2", "")).result == "NoData"
    assert measurement(wanted, Observed("b2")).result == "NoData"


@given(errors=st.floats(0, 100), bound=st.floats(0, 1), grown=st.floats(0, 1))
def test_a_higher_maximum_is_never_worse(errors: float, bound: float, grown: float) -> None:
    rank = {"Fail": 0, "Pass": 1}
    seen = observed(errors={NEW: errors})
    strict, lax = (measurement(metric("ErrorRate", max=limit), seen) for limit in (bound, min(1.0, bound + grown)))
    assert rank[lax.result] >= rank[strict.result]
