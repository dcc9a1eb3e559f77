"""Each row of the verdict's table, and for how long a verdict has stood."""

from datetime import timedelta
from typing import Any

import pytest

from perennial.api.verdict import FeatureEvidence, MonitorStatus, PerformanceEvidence, Verdict
from perennial.domain.drift.follow import follow, rebase
from perennial.domain.drift.verdict import Judgement, judge
from tests.unit.drift.support import CALM, EMPTY, NOW, OLDER, action, chunk, evidence, monitor

GOOD = {("1", "1"): 90.0, ("1", "0"): 10.0}
BAD = {("1", "1"): 50.0, ("1", "0"): 50.0}
LABELS = {"performance": {"minLabels": 100, "maxDrop": 0.1}}


@pytest.mark.parametrize(
    ("chunks", "more", "spec", "verdict"),
    [
        ([chunk(EMPTY, seen=False)] * 3, {}, {}, "NoMetrics"),
        ([chunk(EMPTY, seen=False)], {}, {}, "NoMetrics"),
        ([], {}, {}, "InsufficientData"),
        ([chunk(CALM)] * 2, {}, {}, "InsufficientData"),
        ([chunk(EMPTY)] * 3, {}, {}, "NoTraffic"),
        ([chunk(EMPTY), chunk(EMPTY)], {}, {}, "InsufficientData"),
        ([chunk(EMPTY, requests={"500": 9.0})] * 3, {}, {}, "InsufficientData"),
        ([chunk(CALM), chunk(EMPTY), chunk(EMPTY)], {}, {}, "InsufficientData"),
        ([chunk(OLDER)] * 3, {"learning": "1 of 3 windows"}, {}, "InsufficientData"),
        ([chunk(CALM)] * 3, {}, {}, "Healthy"),
        ([chunk(OLDER)] * 3, {}, {}, "Drifting"),
        ([chunk(CALM, GOOD)] * 3, {"reference": 0.9}, LABELS, "Healthy"),
        ([chunk(CALM, BAD)] * 3, {"reference": 0.9}, LABELS, "PerformanceLoss"),
        ([chunk(OLDER, BAD)] * 3, {"reference": 0.9}, LABELS, "PerformanceLoss"),
        ([chunk(EMPTY, BAD)] * 3, {"reference": 0.9}, LABELS, "PerformanceLoss"),
        ([chunk(EMPTY, GOOD)] * 3, {"reference": 0.9}, LABELS, "Healthy"),
        ([chunk(CALM, BAD)] * 3, {"reference": 0.9}, {}, "Healthy"),
        ([chunk(CALM, BAD)] * 3, {"reference": None}, LABELS, "Healthy"),
        ([chunk(CALM, BAD)] * 3, {"reference": 0.9, "labels_suspect": True}, LABELS, "Healthy"),
    ],
)
def test_verdict(chunks: list[Any], more: dict[str, Any], spec: dict[str, Any], verdict: str) -> None:
    assert judge(monitor(**spec).spec, evidence(*chunks, **more), "heart-v1").verdict == verdict


def test_drifting_names_the_worst_features_and_what_moved() -> None:
    found = judge(monitor().spec, evidence(*[chunk(OLDER)] * 3), "heart-v1")
    assert found.worst == "age"
    assert "age ([60,80] 30% → 60%" in found.message
    assert found.observations == 300
    age, sex = found.features
    assert (age.feature, age.drifting, age.top_bin) == ("age", True, "[60,80] 30% → 60%")
    assert age.psi > age.threshold == 0.02
    assert (sex.feature, sex.drifting) == ("sex", False)


def test_a_loss_says_the_figures() -> None:
    found = judge(monitor(**LABELS).spec, evidence(*[chunk(CALM, BAD)] * 3, reference=0.9), "heart-v1")
    assert found.message == (
        "accuracy 0.5 (95 % interval 0.4438 to 0.5562, 300 labels) against 0.9 held out; inputs are as before: "
        "what they mean has changed (concept drift)"
    )


def run(verdicts: list[Verdict], *, every: int = 20) -> list[int]:
    """``consecutive`` after each of the verdicts on windows of 60s that end ``every`` seconds apart."""
    status, counted = MonitorStatus(), []
    for number, verdict in enumerate(verdicts):
        end = NOW + timedelta(seconds=every * number)
        judgement = Judgement(verdict, "")
        status = follow(status, judgement, "heart-v1", end=end, length=timedelta(seconds=60), now=end)
        counted.append(status.consecutive)
    return counted


def test_windows_that_overlap_are_counted_once() -> None:
    assert run(["Drifting"] * 8) == [1, 1, 1, 2, 2, 2, 3, 3]
    assert run(["Drifting"] * 3, every=60) == [1, 2, 3]
    assert run(["Drifting"] * 3, every=300) == [1, 2, 3], "as after the operator was away"


def test_another_verdict_begins_to_count_again() -> None:
    assert run(["Drifting"] * 4 + ["Healthy"] + ["Drifting"] * 4) == [1, 1, 1, 2, 1, 1, 1, 1, 2]
    assert run(["Drifting", "PerformanceLoss", "Drifting"]) == [1, 1, 1]


def test_since_is_when_the_verdict_was_first_given() -> None:
    first = follow(
        MonitorStatus(), Judgement("Healthy", ""), "heart-v1", end=NOW, length=timedelta(seconds=60), now=NOW
    )
    later = NOW + timedelta(hours=1)
    again = follow(first, Judgement("Healthy", ""), "heart-v1", end=later, length=timedelta(seconds=60), now=later)
    changed = follow(again, Judgement("Drifting", ""), "heart-v1", end=later, length=timedelta(seconds=60), now=later)
    assert (again.since, changed.since) == (NOW, later)


def test_a_promotion_begins_anew_and_keeps_the_actions() -> None:
    asked = [action("Retrain")]
    evidence_of_v1 = FeatureEvidence(feature="age", psi=1.0, threshold=0.02, p_value=0.0, drifting=True)
    before = MonitorStatus(
        verdict="Drifting", version="heart-v1", consecutive=4, counted_until=NOW, window_end=NOW, worst="age",
        features=[evidence_of_v1], performance=PerformanceEvidence(metric="accuracy", reference=0.9), actions=asked,
        last_action="Retrain heart-v1", observations=300, since=NOW,
    )  # fmt: skip
    later = NOW + timedelta(minutes=5)
    found = rebase(before, "heart-v2", later)
    assert (found.verdict, found.version, found.since) == ("InsufficientData", "heart-v2", later)
    assert (found.features, found.performance, found.worst, found.observations) == ([], None, "", 0)
    assert (found.actions, found.last_action) == (asked, "Retrain heart-v1")
    assert rebase(before, "heart-v1", later) is before
