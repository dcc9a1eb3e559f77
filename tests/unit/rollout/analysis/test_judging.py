"""Each metric: what is good, what is bad, what is neither, and what is no data."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.api.deployment import Measurement
from perennial.contracts.baseline import VALUE
from perennial.domain.analysis.judge import Observed, Unavailable, undecided
from perennial.domain.analysis.observed import Trouble
from tests.unit.rollout.analysis.support import INF, NAN, NEW, STABLE, measurement, metric, observed
from tests.unit.rollout.world import BEGINNING, holding

FAST = {0.01: 99.0, 0.05: 100.0, INF: 100.0}
SLOW = {0.01: 50.0, 0.05: 90.0, 0.1: 100.0, INF: 100.0}
LEVEL = {"[0,0.5)": 50.0, "[0.5,1]": 50.0}
MOVED = {"[0,0.5)": 10.0, "[0.5,1]": 90.0}
MANY = {"[0,0.5)": 450.0, "[0.5,1]": 450.0}
ACCURATE = {"builtin": "Performance", "min": 0.8}
QUERY = {"query": "sum(up)", "max": 5, "failAbove": 9}


def errors(labels: float, absolute: float, squared: float | None, of: str = "") -> dict[str, Any]:
    """What labels of a regression add up to, of the new version or of the ``stable_`` one."""
    sums = {"absolute": absolute} | ({} if squared is None else {"squared": squared})
    return {f"{of}labels": {(VALUE, VALUE): float(labels)}, f"{of}label_errors": sums}


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
         0.0),
        ({"builtin": "PredictionShift", "max": 0.2}, {"bins": {"[7,8]": 99.0}, "stable_bins": MANY}, "Inconclusive",
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
        ({"builtin": "Performance", "metric": "mae", "max": 5}, errors(100, 400, 2000), "Pass", 4.0),
        ({"builtin": "Performance", "metric": "mae", "max": 3, "failAbove": 4.5}, errors(100, 400, 2000),
         "Inconclusive", 4.0),
        ({"builtin": "Performance", "metric": "mae", "max": 3}, errors(100, 400, 2000), "Fail", 4.0),
        ({"builtin": "Performance", "metric": "rmse", "max": 5}, errors(100, 400, 2500), "Pass", 5.0),
        ({"builtin": "Performance", "metric": "rmse", "max": 4.9}, errors(100, 400, 2500), "Fail", 5.0),
        ({"builtin": "Performance", "metric": "mae", "max": 5}, errors(19, 1, 1), "NoData", None),
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
        ({"builtin": "PredictionShift", "max": 1}, {"bins": LEVEL, "stable_bins": {"[7,8]": 90.0}},
         "no edge in common"),
        (ACCURATE, errors(100, 0, 0), "heart-v2 predicts a number, not a class: set metric to mae or rmse"),
        (ACCURATE, errors(0, 0, 0), "heart-v2 predicts a number, not a class: set metric to mae or rmse"),
        ({"builtin": "Performance", "metric": "mae", "max": 1}, {"labels": {("1", "1"): 0.0, ("1", "0"): 0.0}},
         "heart-v2 predicts classes, not a number: set metric to accuracy"),
        ({"builtin": "Performance", "metric": "rmse", "max": 1}, errors(100, 10, NAN), "no finite number"),
        ({"builtin": "Performance", "metric": "rmse", "max": 1}, errors(100, 10, None), "count no errors"),
        ({"builtin": "Performance", "metric": "mae", "maxDrop": 0.1},
         errors(100, 10, 10) | {"stable_labels": {("1", "1"): 9.0, ("0", "1"): 9.0}},
         "the stable version predicts classes, not a number"),
        ({"builtin": "Performance", "metric": "mae", "maxDrop": 0.1}, errors(100, 10, 10) | errors(9, 1, 1, "stable_"),
         "9 labels of the stable version, 20 needed"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_in_numbers(fields: dict[str, Any], facts: dict[str, Any], message: str) -> None:
    found = measurement(metric(**fields), observed(**facts))
    assert message in found.message
    assert found.value is None


def beside_stable(kind: str, drop: float, new: dict[str, Any], stable: dict[str, Any]) -> Measurement:
    found = metric("Performance", metric=kind, maxDrop=drop)
    return measurement(found, observed(**new, **{f"stable_{name}": value for name, value in stable.items()}))


def answered(right: float, wrong: float) -> dict[str, Any]:
    return {"labels": {("1", "1"): right, ("1", "0"): wrong}}


@pytest.mark.parametrize(
    ("new", "result"),
    [(errors(900, 40 * 900, 2500 * 900), "Pass"), (errors(900, 44 * 900, 2800 * 900), "Pass"),
     (errors(900, 45 * 900, 3000 * 900), "Inconclusive"), (errors(900, 55 * 900, 4500 * 900), "Fail")],
)  # fmt: skip
def test_an_error_may_rise_by_a_share_of_the_stable_versions(new: dict[str, Any], result: str) -> None:
    found = beside_stable("mae", 0.1, new, errors(900, 40 * 900, 2500 * 900))
    assert (found.result, found.max, found.min) == (result, 44, None)
    assert found.message == ("within sampling noise: 900 labels, 900 of the stable version" if result[0] == "I" else "")
    root = beside_stable("rmse", 0.1, new, errors(900, 40 * 900, 2500 * 900))
    assert root.max == 55


@pytest.mark.parametrize(
    ("new", "result"), [((790, 110), "Pass"), ((700, 200), "Inconclusive"), ((600, 300), "Fail"), ((0, 900), "Fail")]
)
def test_accuracy_may_drop_by_an_absolute_share(new: tuple[float, float], result: str) -> None:
    found = beside_stable("accuracy", 0.1, answered(*new), answered(810, 90))
    assert (found.result, found.max, found.min) == (result, None, 0.8)


def test_two_versions_that_are_alike_seldom_fail_beside_each_other() -> None:
    """Errors of 400 rows each, heavier than normal: a rise that is not there is found in one of twenty at most."""
    random, failed, found = np.random.default_rng(5), 0, 0
    for _ in range(300):
        one, other, worse = (np.abs(random.standard_t(8, 400)) * scale for scale in (1.0, 1.1, 1.4))
        pairs = [errors(400, float(each.sum()), float((each**2).sum())) for each in (one, other, worse)]
        failed += beside_stable("mae", 0.1, pairs[1], pairs[0]).result == "Fail"
        found += beside_stable("mae", 0.1, pairs[2], pairs[0]).result == "Fail"
    assert failed <= 300 * 0.08
    assert found >= 300 * 0.8


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


@given(
    kind=st.sampled_from(["accuracy", "mae", "rmse"]), drop=st.floats(0.01, 1), labels=count, stable=st.floats(20, 1e6),
    few=st.booleans(), value=st.floats(0, 1e6),
)  # fmt: skip
def test_without_enough_labels_of_both_versions_nothing_is_compared(
    kind: str, drop: float, labels: float, stable: float, few: bool, value: float
) -> None:
    new, old = (labels, stable) if few else (stable, labels)
    facts = [answered(each / 2, each / 2) if kind == "accuracy" else errors(each, value, value) for each in (new, old)]
    assert beside_stable(kind, drop, *facts).result == "NoData"


@given(
    kind=st.sampled_from(["mae", "rmse"]), value=st.floats(0, 1e6), square=st.floats(0, 1e6), drop=st.floats(0.01, 0.5),
    grown=st.floats(0, 0.5),
)  # fmt: skip
def test_a_larger_drop_that_is_let_pass_is_never_worse(
    kind: str, value: float, square: float, drop: float, grown: float
) -> None:
    rank = {"Fail": 0, "Inconclusive": 1, "Pass": 2}
    seen = errors(100, value, value**2 / 100 + square), errors(100, 500, 5000)
    strict, lax = beside_stable(kind, drop, *seen), beside_stable(kind, drop + grown, *seen)
    assert rank[lax.result] >= rank[strict.result]


@given(errors=st.floats(0, 100), bound=st.floats(0, 1), grown=st.floats(0, 1))
def test_a_higher_maximum_is_never_worse(errors: float, bound: float, grown: float) -> None:
    rank = {"Fail": 0, "Pass": 1}
    seen = observed(errors={NEW: errors})
    strict, lax = (measurement(metric("ErrorRate", max=limit), seen) for limit in (bound, min(1.0, bound + grown)))
    assert rank[lax.result] >= rank[strict.result]
