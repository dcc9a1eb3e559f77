"""What kind of change it is; the fast window, limits, signals; and what becomes history."""

from datetime import timedelta
from typing import Any

import pytest

from perennial.api.verdict import MonitorStatus, SignalEvidence
from perennial.domain.drift.follow import follow, rebase
from perennial.domain.drift.queries import Family
from perennial.domain.drift.reference import Usual
from perennial.domain.drift.signals import judge_signals
from perennial.domain.drift.verdict import Judgement, judge
from tests.unit.drift.support import CALM, EMPTY, NOW, OLDER, chunk, evidence, held, monitor

CONFUSION = ((900, 100), (100, 900))
"""Half of the held-out rows are of either class, nine of ten are recognised."""
AS_BEFORE = {("0", "0"): 90.0, ("1", "0"): 10.0, ("1", "1"): 90.0, ("0", "1"): 10.0}
MORE_OF_ONE = {("0", "0"): 18.0, ("1", "0"): 2.0, ("1", "1"): 162.0, ("0", "1"): 18.0}
WORSE = {("0", "0"): 60.0, ("1", "0"): 40.0, ("1", "1"): 60.0, ("0", "1"): 40.0}
MORE_AND_WORSE = {("0", "0"): 18.0, ("1", "0"): 2.0, ("1", "1"): 90.0, ("0", "1"): 90.0}


@pytest.mark.parametrize(
    ("counts", "labels", "verdict", "cause"),
    [
        (CALM, AS_BEFORE, "Healthy", None),
        (OLDER, AS_BEFORE, "Drifting", "InputDrift"),
        (OLDER, WORSE, "PerformanceLoss", "InputDrift"),
        (CALM, WORSE, "PerformanceLoss", "ConceptDrift"),
        (CALM, MORE_OF_ONE, "Drifting", "PriorShift"),
        (CALM, MORE_AND_WORSE, "PerformanceLoss", "ConceptDrift"),
    ],
)
def test_the_kind_of_change_is_named(counts: Any, labels: Any, verdict: str, cause: str | None) -> None:
    found = judge(
        monitor(performance={}).spec, evidence(*[chunk(counts, labels)] * 3, held=held(0.9, CONFUSION)), "heart-v1"
    )
    assert (found.verdict, found.cause) == (verdict, cause)


@pytest.mark.parametrize(("confusion", "judged"), [(((36, 4), (3, 32)), True), (((20, 4), (3, 20)), False)])
def test_the_true_classes_are_judged_from_fifty_held_out_rows_on(confusion: Any, judged: bool) -> None:
    known = evidence(*[chunk(CALM, MORE_OF_ONE)] * 3, held=held(0.9, confusion))
    found = judge(monitor(performance={}).spec, known, "heart-v1")
    assert ("__label__" in [each.feature for each in found.features]) is judged


def test_prior_shift_says_so_in_words() -> None:
    found = judge(
        monitor(performance={}).spec, evidence(*[chunk(CALM, MORE_OF_ONE)] * 3, held=held(0.9, CONFUSION)), "heart-v1"
    )
    assert "the true classes (0 50% → 10%" in found.message
    assert found.message.endswith("(prior shift)")


ESTIMATED = {"performance": {"source": "Estimated"}}
SURE = {"predicted": {"0": 50.0, "1": 50.0}, "calibrated": {"0": 5.0, "1": 45.0}}
UNSURE = {"predicted": {"0": 50.0, "1": 50.0}, "calibrated": {"0": 20.0, "1": 30.0}}


def test_estimated_performance_is_cbpe_and_says_estimated() -> None:
    found = judge(monitor(**ESTIMATED).spec, evidence(*[chunk(CALM, **SURE)] * 3, reference=0.9), "heart-v1")
    assert found.verdict == "Healthy"
    assert found.estimated is not None
    assert (found.estimated.value, found.estimated.source) == (0.9, "Estimated")
    found = judge(monitor(**ESTIMATED).spec, evidence(*[chunk(CALM, **UNSURE)] * 3, reference=0.9), "heart-v1")
    assert found.verdict == "PerformanceLoss"
    assert found.message.startswith("estimated accuracy 0.6 ")


@pytest.mark.parametrize(("metric", "value"), [("accuracy", 0.9), ("precision", 0.9), ("recall", 0.9), ("f1", 0.9)])
def test_estimates_of_other_figures(metric: str, value: float) -> None:
    spec = monitor(performance={"source": "Estimated", "metric": metric}).spec
    found = judge(spec, evidence(*[chunk(CALM, **SURE)] * 3, reference=0.9), "heart-v1").estimated
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.value == pytest.approx(value)
    assert found.low < value < found.high


def test_of_both_the_labels_decide_where_there_are_enough() -> None:
    spec = monitor(performance={"source": "Both"}).spec
    labelled = evidence(*[chunk(CALM, AS_BEFORE, **UNSURE)] * 3, reference=0.9)
    assert judge(spec, labelled, "heart-v1").verdict == "Healthy"
    assert judge(spec, evidence(*[chunk(CALM, **UNSURE)] * 3, reference=0.9), "heart-v1").verdict == "PerformanceLoss"


def test_log_loss_is_worse_when_it_is_higher() -> None:
    spec = monitor(performance={"metric": "log_loss", "maxDrop": 0.1}).spec

    def judged(*losses: float) -> str:
        sums = [{Family.LOSS_SUM: 100 * each, Family.LOSS_COUNT: 100.0} for each in losses]
        chunks = [chunk(CALM, AS_BEFORE, sums=each) for each in sums]
        return judge(spec, evidence(*chunks, reference=0.3), "heart-v1").verdict

    assert judged(0.3, 0.32, 0.28) == "Healthy"
    assert judged(0.1, 0.11, 0.1) == "Healthy"
    assert judged(0.6, 0.62, 0.58) == "PerformanceLoss"
    assert judged(0.1, 0.6, 1.1) == "Healthy", "three chunks that differ so much leave doubt"


def test_labels_say_how_late_they_come() -> None:
    late = chunk(CALM, AS_BEFORE, sums={Family.DELAY_SUM: 720_000.0, Family.DELAY_COUNT: 200.0})
    found = judge(monitor(performance={}).spec, evidence(*[late] * 3, reference=0.9), "heart-v1").performance
    assert found is not None
    assert found.delay == "60m"


FAST = {"window": {"length": "120s", "chunks": 6, "fast": "40s"}}
MUCH_OLDER = {"age": (0, 0, 0, 0, 0, 200, 0), "sex": (0, 0, 64, 136, 0)}
MUCH = {"age": (0, 0, 0, 60, 80, 60, 0), "sex": (0, 0, 64, 136, 0)}


def test_the_fast_window_speaks_sooner_and_of_itself() -> None:
    spec = monitor(**FAST).spec
    early = judge(spec, evidence(*[chunk(MUCH_OLDER)] * 2), "heart-v1")
    assert (early.verdict, early.fast) == ("Drifting", True)
    assert "in the fast window" in early.message
    assert judge(spec, evidence(chunk(MUCH_OLDER)), "heart-v1").verdict == "InsufficientData"
    both = judge(spec, evidence(*[chunk(MUCH_OLDER)] * 6), "heart-v1")
    assert (both.verdict, both.fast, both.features[0].window) == ("Drifting", False, "")
    assert judge(spec, evidence(*[chunk(MUCH)] * 6), "heart-v1").verdict == "Healthy"


def test_a_fast_verdict_is_counted_by_its_own_length() -> None:
    first = follow(MonitorStatus(), Judgement("Drifting", ""), "v1", end=NOW, length=timedelta(seconds=40), now=NOW)
    later = NOW + timedelta(seconds=40)
    again = follow(first, Judgement("Drifting", ""), "v1", end=later, length=timedelta(seconds=40), now=later)
    assert again.consecutive == 2


EMPTIER = {"age": (5, 0, 0, 28, 38, 29, 0), "sex": (0, 0, 32, 68, 0)}


def test_a_share_over_its_limit_is_drift_whatever_training_had() -> None:
    limits = {"inputs": {"features": [{"name": "age", "maxMissing": 0.01}], "tolerance": 5}}
    found = judge(monitor(**limits).spec, evidence(*[chunk(EMPTIER)] * 3), "heart-v1")
    assert found.verdict == "Drifting"
    assert found.features[0].limit == "missing 5.0%, at most 1.0% allowed"
    assert "missing 5.0%" in found.message
    limits = {"inputs": {"features": [{"name": "age", "maxMissing": 0.05}], "tolerance": 5}}
    assert judge(monitor(**limits).spec, evidence(*[chunk(EMPTIER)] * 3), "heart-v1").verdict == "Healthy"


def test_a_feature_may_be_judged_otherwise_than_the_others() -> None:
    lenient = {"inputs": {"features": [{"name": "age", "tolerance": 2.0}]}}
    assert judge(monitor(**lenient).spec, evidence(*[chunk(OLDER)] * 3), "heart-v1").verdict == "Healthy"


def test_what_is_usual_for_the_reference_is_no_drift() -> None:
    found = judge(monitor().spec, evidence(*[chunk(OLDER)] * 3, usual=Usual(index={"age": 1.0})), "heart-v1")
    assert found.verdict == "Healthy"
    assert found.features[0].threshold == 1.0


SIGNALS = {
    "signals": [
        {"name": "errors", "builtin": "ErrorRate", "max": 0.01},
        {"name": "slow", "builtin": "LatencyP99", "max": 0.1},
        {"name": "traffic", "builtin": "RequestRate", "min": 0.1},
        {"name": "revenue", "query": "x", "min": 10},
    ]
}


def signals(last: dict[str, Any], revenue: float | str, before: list[SignalEvidence] | None = None) -> Any:
    calm = chunk(CALM, requests={"200": 100.0}, durations={0.05: 100.0, float("inf"): 100.0})
    found = judge_signals(
        monitor(**SIGNALS).spec, [calm, calm, chunk(CALM, **last)], {"revenue": revenue}, before or []
    )
    return {each.name: each for each in found}


def test_signals_are_out_of_bounds_for_so_many_chunks() -> None:
    bad = {"requests": {"200": 4.0, "500": 1.0}, "durations": {0.05: 1.0, 0.5: 5.0, float("inf"): 5.0}}
    first = signals(bad, 3.0)
    assert {name: each.breached for name, each in first.items()} == dict.fromkeys(first, True)
    assert first["errors"].value == 0.2
    assert first["traffic"].value == 0.05
    second = signals(bad, "the query gives nothing", list(first.values()))
    assert [each.consecutive for each in second.values()] == [2, 2, 2, 0]
    assert second["revenue"].message == "the query gives nothing"
    good = {"requests": {"200": 90.0}, "durations": {0.05: 90.0, float("inf"): 90.0}}
    third = signals(good, 12.0, list(second.values()))
    assert not any(each.breached for each in third.values())
    assert {each.consecutive for each in third.values()} == {0}


def test_no_requests_are_neither_good_nor_bad() -> None:
    found = signals({"requests": {}, "durations": {}}, 12.0)
    assert (found["errors"].value, found["errors"].message) == (None, "no requests")
    assert found["traffic"].breached


def test_verdicts_become_history() -> None:
    status = MonitorStatus()
    for minutes, verdict in enumerate(("Healthy", "Healthy", "Drifting", "Healthy")):
        now = NOW + timedelta(minutes=minutes)
        found = Judgement(verdict, "", worst="age" if verdict == "Drifting" else "")  # type: ignore[arg-type]
        status = follow(status, found, "v1", end=now, length=timedelta(minutes=1), now=now)
    assert [(each.verdict, each.since, each.until) for each in status.history] == [
        ("Drifting", NOW + timedelta(minutes=2), NOW + timedelta(minutes=3)),
        ("Healthy", NOW, NOW + timedelta(minutes=2)),
    ]
    promoted = rebase(status, "v2", NOW + timedelta(minutes=5))
    assert (promoted.history[0].version, promoted.history[0].verdict) == ("v1", "Healthy")
    assert promoted.last_healthy is None
    again = follow(
        promoted, Judgement("Healthy", ""), "v2", end=now, length=timedelta(minutes=1), now=NOW + timedelta(minutes=6)
    )
    assert (again.history[0].version, again.history[0].verdict) == ("v2", "InsufficientData")


def test_nobody_asks_is_a_verdict_of_its_own() -> None:
    found = judge(monitor().spec, evidence(*[chunk(EMPTY)] * 3), "heart-v1")
    assert found.verdict == "NoTraffic"
    assert "nobody asked heart-v1 for a prediction in 60s" in found.message
