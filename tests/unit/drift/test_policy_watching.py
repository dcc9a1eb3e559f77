"""A monitor that only watches, in a dry run or in maintenance, and monitors that share a deployment."""

from dataclasses import replace
from typing import Any

import pytest

from perennial.api.verdict import MonitorStatus
from perennial.domain.drift.policy import Reaction, Sibling, react, with_actions
from tests.unit.drift.policy_support import HOUR, SITUATION, breached, kinds, reaction, signals, spec, status
from tests.unit.drift.support import NOW, action

NOON = [{"days": ["Mon"], "start": "11:00", "length": "2h"}]
"""NOW is a Monday, at noon."""


def watch(hours: int, found: MonitorStatus, **wanted: Any) -> tuple[MonitorStatus, Reaction]:
    """The status after so many hours in which each window says the same, and the last reaction."""
    last = Reaction()
    for hour in range(hours + 1):
        moment = NOW + hour * HOUR
        found = found.model_copy(update={"window_end": moment, "consecutive": hour + 2})
        last = react(spec(**wanted), found, SITUATION, "age moved", moment)
        found = with_actions(found, last)
    return found, last


@pytest.mark.parametrize("wanted", [{"mode": "Observe"}, {"maintenance": NOON}])
def test_what_would_be_done_is_noted_and_nobody_hears_of_it(wanted: dict[str, Any]) -> None:
    found = reaction("PerformanceLoss", onPerformanceLoss="RollbackAndRetrain", **wanted)
    acted = reaction("PerformanceLoss", onPerformanceLoss="RollbackAndRetrain")
    assert found.actions == ()
    assert found.observed == acted.actions
    noted = with_actions(status(), found)
    assert (noted.actions, kinds(noted.observed)) == ([], ["Retrain", "Rollback"])
    assert noted.last_action == "would Rollback and Retrain heart-v1"


def test_what_goes_on_is_noted_once() -> None:
    found, last = watch(48, status("PerformanceLoss"), mode="Observe", onPerformanceLoss="RollbackAndRetrain")
    assert kinds(found.observed) == ["Retrain", "Rollback"]
    assert "mode is Observe" in last.waiting
    found, _ = watch(48, status("Healthy", signals=[breached()]), mode="Observe", signals=signals("Rollback"))
    assert kinds(found.observed) == ["Rollback"]


def test_what_begins_anew_is_noted_anew_once_the_cooldown_is_over() -> None:
    again = {"since": NOW, "observed": [action("Retrain", ago=7 * 3600)]}
    assert kinds(reaction(known=again, mode="Observe").observed) == ["Retrain"]
    soon = {"since": NOW, "observed": [action("Retrain", ago=5 * 3600)]}
    found = reaction(known=soon, mode="Observe")
    assert found.observed == ()
    assert "cooldown" in found.waiting


def test_a_dry_run_spends_a_budget_of_its_own_and_asks_nobody() -> None:
    noted = [action("Retrain", ago=86400 * each, id_=f"r-{each}") for each in (1, 2, 3)]
    dry = reaction(known={"observed": noted, "since": NOW}, mode="Observe")
    assert (dry.observed, dry.human) == ((), None)
    assert "a person would be asked (BudgetSpent)" in dry.waiting
    assert kinds(reaction(known={"observed": noted, "since": NOW}).actions) == ["Retrain"], "acting starts afresh"


def test_the_same_action_is_noted_once() -> None:
    once = with_actions(status(), reaction(mode="Observe"))
    assert with_actions(once, reaction(mode="Observe")) == once
    many = [action("Retrain", id_=f"r-{number}") for number in range(20)]
    found = with_actions(status(observed=many), reaction(mode="Observe"))
    assert len(found.observed) == 20
    assert found.observed[0].id.startswith("retrain-")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"situation": replace(SITUATION, rolling_out=True)}, "a rollout is under way"),
        ({"consecutive": 1}, "1 of 2 windows"),
        ({"actions": [action("Retrain", ago=60)]}, "cooldown"),
        ({"situation": replace(SITUATION, retraining="run 2 is under way")}, "run 2 is under way"),
    ],
)
def test_a_dry_run_is_held_back_like_the_real_one(more: dict[str, Any], why: str) -> None:
    found = reaction(mode="Observe", **more)
    assert found.observed == ()
    assert why in found.waiting


def test_after_maintenance_what_is_still_so_is_done() -> None:
    found, last = watch(0, status(), maintenance=NOON)
    assert last.waiting.startswith("maintenance until 2026-03-02T13:00:00Z")
    found, last = watch(1, found, maintenance=NOON)
    assert kinds(last.actions) == ["Retrain"], "what was only noted holds nothing back"
    assert kinds(found.observed) == ["Retrain"]


def test_in_maintenance_a_person_is_still_asked() -> None:
    spent = [action("Retrain", ago=86400 * each) for each in (1, 2, 3)]
    found = reaction(actions=spent, maintenance=NOON)
    assert found.human is not None
    assert found.human[0] == "BudgetSpent"


# --- several monitors of one deployment ---------------------------------------------------------------------------


def beside(*siblings: Sibling) -> Any:
    return replace(SITUATION, siblings=siblings)


@pytest.mark.parametrize(
    ("verdict", "theirs", "held"),
    [
        ("Drifting", action("Retrain", ago=60), "cooldown"),
        ("Drifting", action("Rollback", "heart-v2", ago=60), "cooldown"),
        ("PerformanceLoss", action("Rollback", "heart-v0", ago=60), "cooldown"),
        ("PerformanceLoss", action("Rollback", ago=7 * 3600), "has been asked for"),
        ("Drifting", action("Retrain", ago=7 * 3600), ""),
        ("PerformanceLoss", action("Retrain", ago=60), ""),
        ("PerformanceLoss", action("Rollback", ago=2 * 86400), ""),
    ],
)
def test_what_another_monitor_asked_for_holds_back_too(verdict: str, theirs: Any, held: str) -> None:
    found = reaction(verdict, situation=beside(Sibling("labels", None, (theirs,))))
    assert held in found.waiting
    assert bool(found.actions) == (not held)


def test_each_monitor_has_a_budget_of_its_own() -> None:
    spent = tuple(action("Retrain", ago=86400 * each) for each in (1, 2, 3))
    assert reaction(situation=beside(Sibling("labels", None, spent))).human is None


@pytest.mark.parametrize(
    ("own", "theirs", "counts"),
    [
        ("Drifting", "PerformanceLoss", "labels"),
        ("PerformanceLoss", "Drifting", "this one"),
        ("Healthy", "Drifting", "labels"),
        ("Healthy", "NoTraffic", "labels"),
        ("Drifting", "NoTraffic", "this one"),
        ("NoTraffic", "PerformanceLoss", "labels"),
    ],
)
def test_where_monitors_differ_both_say_whose_verdict_counts(own: str, theirs: Any, counts: str) -> None:
    found = reaction(own, situation=beside(Sibling("labels", theirs)))
    assert found.disagreement.endswith(f"the stricter counts: {counts}")
    assert f"found {own} here, {theirs} by DriftMonitor labels" in found.disagreement


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        ("Drifting", "Drifting"),
        ("Drifting", None),
        ("Drifting", "InsufficientData"),
        ("NoMetrics", "PerformanceLoss"),
    ],
)
def test_who_cannot_tell_does_not_differ(own: str, theirs: Any) -> None:
    assert reaction(own, situation=beside(Sibling("labels", theirs))).disagreement == ""


def test_of_many_the_strictest_is_named_and_each_acts_by_its_own_policy() -> None:
    found = reaction(
        "Drifting", situation=beside(Sibling("a", "Healthy"), Sibling("b", "PerformanceLoss"), Sibling("c", "Drifting"))
    )  # fmt: skip
    assert found.disagreement.endswith("the stricter counts: b")
    assert "Healthy by DriftMonitor a, PerformanceLoss by DriftMonitor b" in found.disagreement
    assert kinds(found.actions) == ["Retrain"]
    tied = reaction("Drifting", situation=beside(Sibling("a", "Healthy"), Sibling("c", "Drifting")))
    assert tied.disagreement.endswith("this one and c")


def test_a_disagreement_is_said_whatever_else_is() -> None:
    rolling = replace(beside(Sibling("labels", "Healthy")), rolling_out=True)
    assert reaction(situation=rolling).disagreement
    assert react(spec(), status(window_end=None), rolling, "", NOW).disagreement
