"""What calls for which action: the kinds of verdict, the table of Auto row by row, and signals."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.api.verdict import PerformanceEvidence, SignalEvidence
from perennial.contracts.baseline import JOINT, LABEL, PREDICTION
from perennial.domain.drift.decision import is_worse
from tests.unit.drift.policy_support import (
    HOUR,
    SITUATION,
    breached,
    kinds,
    measured,
    moved,
    reaction,
    signals,
)
from tests.unit.drift.support import NOW, action

QUIET = ["Healthy", "InsufficientData", "NoMetrics", "NoTraffic"]


@pytest.mark.parametrize("verdict", QUIET)
def test_without_a_finding_nothing_is_done(verdict: str) -> None:
    found = reaction(verdict, onInputDrift="Retrain", onPerformanceLoss="RollbackAndRetrain")
    assert (found.actions, found.waiting, found.human) == ((), "", None)


@pytest.mark.parametrize(
    ("verdict", "drift", "loss", "expected"),
    [
        ("Drifting", "Alert", "RollbackAndRetrain", []),
        ("Drifting", "Retrain", "Rollback", ["Retrain"]),
        ("PerformanceLoss", "Retrain", "Alert", []),
        ("PerformanceLoss", "Retrain", "Rollback", ["Rollback"]),
        ("PerformanceLoss", "Alert", "Retrain", ["Retrain"]),
        ("PerformanceLoss", "Alert", "RollbackAndRetrain", ["Rollback", "Retrain"]),
    ],
)
def test_what_is_done_about_which_verdict(verdict: str, drift: str, loss: str, expected: list[str]) -> None:
    found = reaction(verdict, onInputDrift=drift, onPerformanceLoss=loss)
    assert kinds(found.actions) == expected
    assert {each.verdict for each in found.actions} <= {verdict}


@pytest.mark.parametrize(
    ("drift", "loss", "expected"),
    [
        ("Retrain", "Rollback", [("Rollback", "PerformanceLoss"), ("Retrain", "Drifting")]),
        ("Retrain", "Retrain", [("Retrain", "PerformanceLoss")]),
        ("Retrain", "RollbackAndRetrain", [("Rollback", "PerformanceLoss"), ("Retrain", "PerformanceLoss")]),
        ("Retrain", "Alert", [("Retrain", "Drifting")]),
        ("Alert", "Rollback", [("Rollback", "PerformanceLoss")]),
        ("Alert", "Alert", []),
    ],
)
def test_a_loss_with_drift_is_answered_as_both(drift: str, loss: str, expected: list[tuple[str, str]]) -> None:
    found = reaction("PerformanceLoss", features=[moved()], onInputDrift=drift, onPerformanceLoss=loss)
    assert [(each.kind, each.verdict) for each in found.actions] == expected


@pytest.mark.parametrize(
    ("verdict", "cause", "inputs", "predictions", "expected"),
    [
        ("Drifting", "InputDrift", "Retrain", "Alert", ["Retrain"]),
        ("Drifting", "InputDrift", "Alert", "Retrain", []),
        ("Drifting", "PriorShift", "Retrain", "Alert", ["Retrain"]),
        ("Drifting", "PriorShift", "Alert", "Retrain", []),
        ("Drifting", "PredictionDrift", "Alert", "Retrain", ["Retrain"]),
        ("Drifting", "PredictionDrift", "Retrain", "Alert", []),
        ("PerformanceLoss", "ConceptDrift", "Retrain", "Retrain", []),
        ("PerformanceLoss", "PriorShift", "Retrain", "Alert", ["Retrain"]),
        ("PerformanceLoss", "PredictionDrift", "Alert", "Retrain", ["Retrain"]),
    ],
)
def test_each_cause_has_its_own_policy(
    verdict: str, cause: str, inputs: str, predictions: str, expected: list[str]
) -> None:
    found = reaction(
        verdict, known={"cause": cause}, onInputDrift=inputs, onPredictionDrift=predictions, onPerformanceLoss="Alert"
    )  # fmt: skip
    assert kinds(found.actions) == expected


@pytest.mark.parametrize(("feature", "expected"), [("age", 1), (JOINT, 1), (PREDICTION, 0), (LABEL, 0)])
def test_only_inputs_are_drift_beside_a_loss(feature: str, expected: int) -> None:
    found = reaction(
        "PerformanceLoss", features=[moved(feature)], known={"cause": "ConceptDrift"}, onPerformanceLoss="Alert"
    )  # fmt: skip
    assert len(found.actions) == expected


# --- rollback or retrain ------------------------------------------------------------------------------------------


def auto(since: datetime, **more: Any) -> list[str]:
    """What Auto asks for where it goes by the age alone."""
    situation = replace(SITUATION, stable_since=since)
    return kinds(reaction("PerformanceLoss", situation=situation, onPerformanceLoss="Auto", **more).actions)


def test_a_version_is_fresh_for_four_windows_or_as_long_as_the_policy_says() -> None:
    assert auto(NOW - 4 * HOUR) == ["Rollback"]
    assert auto(NOW - 4 * HOUR - timedelta(seconds=1)) == ["Retrain"]
    assert auto(NOW - 2 * HOUR, fresh="2h") == ["Rollback"]
    assert auto(NOW - 2 * HOUR - timedelta(seconds=1), fresh="2h") == ["Retrain"]


@pytest.mark.parametrize(
    ("own", "before", "expected"),
    [
        (measured(0.80, 0.03), measured(0.8501, 0.04), True),
        (measured(0.80, 0.03), measured(0.8499, 0.04), False),
        (measured(0.85, 0.03), measured(0.70, 0.04), False),
        (measured(0.55, 0.03, metric="log_loss"), measured(0.4999, 0.04, metric="log_loss"), True),
        (measured(0.55, 0.03, metric="log_loss"), measured(0.5001, 0.04, metric="log_loss"), False),
        (measured(0.40, 0.03, metric="log_loss"), measured(0.70, 0.04, metric="log_loss"), False),
        (measured(0.5), None, None),
        (None, measured(0.9), None),
        (measured(None), measured(0.9), None),
        (measured(0.5), measured(None), None),
        (measured(0.5), measured(0.9, metric="recall"), None),
        (measured(0.5, source="Estimated"), measured(0.9), None),
        (measured(0.5), PerformanceEvidence(metric="accuracy", reference=0.9, value=0.9), False),
    ],
)
def test_worse_is_beyond_what_chance_does(
    own: PerformanceEvidence | None, before: PerformanceEvidence | None, expected: bool | None
) -> None:
    assert is_worse(own, before) is expected


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5))
def test_of_two_versions_at_most_one_is_worse(one: float, other: float, half: float, half_other: float) -> None:
    first, second = measured(one, half), measured(other, half_other)
    assert not (is_worse(first, second) and is_worse(second, first))


# --- signals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["Healthy", *QUIET])
@pytest.mark.parametrize("wanted", ["Retrain", "Rollback"])
def test_a_signal_has_its_action_whatever_the_verdict(verdict: str, wanted: str) -> None:
    found = reaction(verdict, known={"signals": [breached()]}, signals=signals(wanted))
    [asked] = found.actions
    assert (asked.kind, asked.verdict) == (wanted, "Signal")
    assert asked.reason == "signal errors 0.2 (at most 0.05), 2 chunks in a row"


@pytest.mark.parametrize(
    ("evidence", "wanted"),
    [
        (breached(), None),
        (breached(), "Alert"),
        (breached(1), "Alert"),
        (breached(0, breached=False, value=0.01), "Rollback"),
        (breached(0, breached=False, value=None), "Rollback"),
        (breached(name="latency"), "Rollback"),
    ],
)
def test_what_is_no_signal_to_act(evidence: SignalEvidence, wanted: str | None) -> None:
    found = reaction("Healthy", known={"signals": [evidence]}, signals=signals(wanted))
    assert (found.actions, found.waiting) == ((), "")


def test_a_signal_waits_until_enough_chunks_agree() -> None:
    found = reaction("Healthy", known={"signals": [breached(1)]}, signals=signals("Rollback"))
    assert found.actions == ()
    assert found.waiting == "1 of 2 chunks in a row have signal errors out of bounds"


def test_a_signal_under_its_smallest_value_says_so() -> None:
    low = breached(value=0.04, max=None, min=0.1)
    [asked] = reaction("Healthy", known={"signals": [low]}, signals=signals("Rollback")).actions
    assert "errors 0.04 (at least 0.1)" in asked.reason


def test_a_signal_need_not_wait_for_a_whole_window_of_the_version() -> None:
    young = replace(SITUATION, stable_since=NOW - timedelta(minutes=25))
    known = {"signals": [breached()]}
    assert kinds(reaction("Healthy", situation=young, known=known, signals=signals("Rollback")).actions) == ["Rollback"]
    lost = reaction("PerformanceLoss", situation=young, known=known, signals=signals("Rollback"))
    assert [each.verdict for each in lost.actions] == ["Signal"]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"situation": replace(SITUATION, rolling_out=True)}, "a rollout is under way"),
        ({"actions": [action("Rollback", ago=60)]}, "has been asked for"),
        ({"actions": [action("Rollback", "heart-v0", ago=60)]}, "cooldown"),
    ],
)
def test_a_signals_rollback_is_held_like_any_other(more: dict[str, Any], why: str) -> None:
    found = reaction("Healthy", known={"signals": [breached()]}, signals=signals("Rollback"), **more)
    assert found.actions == ()
    assert why in found.waiting


def test_a_signals_retrain_is_held_by_the_budget() -> None:
    spent = [action("Retrain", ago=86400 * each) for each in (1, 2, 3)]
    found = reaction("Healthy", actions=spent, known={"signals": [breached()]}, signals=signals("Retrain"))
    assert found.human is not None
    assert found.human[0] == "BudgetSpent"


def test_verdict_and_signal_together_ask_once() -> None:
    found = reaction("PerformanceLoss", known={"signals": [breached()]}, signals=signals("Rollback"))
    assert [(each.kind, each.verdict) for each in found.actions] == [("Rollback", "PerformanceLoss")]
