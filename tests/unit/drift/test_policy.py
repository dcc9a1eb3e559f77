"""The table in docs/drift-policy.md, row by row."""

from dataclasses import replace
from datetime import timedelta

import pytest

from perennial.api.training import ModelTraining
from perennial.api.verdict import MonitorStatus
from perennial.api.version import ModelVersion
from perennial.domain.drift.policy import Reaction, retraining, with_actions
from tests.unit.drift.policy_support import SITUATION, kinds, reaction
from tests.unit.drift.support import NOW, action, version_json


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (reaction(consecutive=1), "1 of 2 windows"),
        (reaction(situation=replace(SITUATION, rolling_out=True)), "rollout"),
        (reaction("PerformanceLoss", situation=replace(SITUATION, rolling_out=True)), "rollout"),
        (reaction(situation=replace(SITUATION, stable_since=NOW - timedelta(minutes=59))), "within the window"),
        (reaction(situation=replace(SITUATION, retraining="run 2 is under way")), "run 2"),
        (reaction(actions=[action("Retrain", ago=6 * 3600 - 1)]), "cooldown"),
        (reaction(actions=[action("Rollback", "heart-v2", ago=60)]), "cooldown"),
        (reaction("PerformanceLoss", actions=[action("Rollback", ago=60)]), "has been asked for"),
        (reaction("PerformanceLoss", actions=[action("Rollback", ago=7 * 3600)]), "has been asked for"),
        (reaction("PerformanceLoss", actions=[action("Rollback", "heart-v2", ago=60)]), "cooldown"),
    ],
)
def test_what_holds_an_action_back(found: Reaction, why: str) -> None:
    assert found.actions == ()
    assert why in found.waiting


@pytest.mark.parametrize(
    "found",
    [
        reaction(actions=[action("Retrain", ago=6 * 3600)]),
        reaction(actions=[action("Retrain", "heart-v0", ago=7 * 3600)]),
        reaction("PerformanceLoss", actions=[action("Retrain", ago=60)]),
        reaction("PerformanceLoss", actions=[action("Rollback", "heart-v0", ago=7 * 3600)]),
        reaction("PerformanceLoss", actions=[action("Rollback", ago=2 * 86400)]),
    ],
    ids=[
        "the cooldown is over", "another version's", "a retrain holds no rollback back", "another version's rollback",
        "the version has been promoted again since",
    ],
)  # fmt: skip
def test_what_does_not_hold_an_action_back(found: Reaction) -> None:
    assert len(found.actions) == 1


def test_a_spent_budget_asks_for_a_person() -> None:
    asked = [action("Retrain", ago=days * 86400 + 1) for days in (1, 3, 5)]
    human = reaction(actions=asked).human
    assert human is not None
    assert human[0] == "BudgetSpent"
    assert "budget of 3 in 7 days is spent" in human[1]
    assert reaction(actions=asked).actions == ()
    assert kinds(reaction(actions=asked[:2]).actions) == ["Retrain"]
    assert kinds(reaction(actions=[action("Retrain", ago=days * 86400) for days in (1, 3, 7)]).actions) == ["Retrain"]
    both = reaction("PerformanceLoss", actions=asked, onPerformanceLoss="RollbackAndRetrain")
    assert kinds(both.actions) == ["Rollback"]
    assert both.human
    assert reaction(retrainBudget={"max": 0, "days": 1}).human


def test_the_same_window_asks_for_the_same_action() -> None:
    first, again = reaction().actions[0], reaction().actions[0]
    assert first == again
    assert (first.version, first.digest, first.reason) == ("heart-v1", "ab" * 32, "age moved")
    other = reaction(situation=replace(SITUATION, uid="u-2")).actions[0]
    both = reaction("PerformanceLoss", onPerformanceLoss="RollbackAndRetrain").actions
    assert len({first.id, other.id, *(each.id for each in both)}) == 3, "both's Retrain is the first one's"


def test_actions_are_kept_newest_first() -> None:
    old = [action("Retrain", id_=f"a-{number}") for number in range(120)]
    both = reaction("PerformanceLoss", onPerformanceLoss="RollbackAndRetrain").actions
    found = with_actions(MonitorStatus(actions=old), Reaction(actions=both))
    assert [each.kind for each in found.actions[:2]] == ["Retrain", "Rollback"]
    assert len(found.actions) == 120
    assert found.last_action == "Rollback and Retrain heart-v1"


# --- what became of the last retrain ------------------------------------------------------------------------------


def training(
    *, handled: bool, phase: str = "", version: str = "", number: int = 2, ago: int = 0, reproduces: str = ""
) -> ModelTraining:
    runs = [] if not phase else [
        {"number": number, "trigger": {"type": "Drift"}, "phase": phase, "job": "j", "version": version,
         "reproduces": reproduces,
         "startedAt": (NOW - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")},
    ]  # fmt: skip
    spec = {
        "model": "heart", "data": {"source": {"uri": "s3://d/*.csv", "format": "CSV"}, "target": {"column": "num"}},
        "features": {"numeric": ["age"]}, "candidates": [{"algorithm": "LogisticRegression"}],
    }  # fmt: skip
    status = {"runs": runs, "handledActions": ["a-1"] if handled else []}
    return ModelTraining.parse({"metadata": {"name": "heart", "uid": "t-1"}, "spec": spec, "status": status})


def made(approval: str = "Approved", *, quarantined: bool = False) -> ModelVersion:
    kept_out = [{"deployment": "heart", "reason": "failed", "since": "2026-03-02T12:00:00Z"}]
    return ModelVersion.parse(
        version_json("heart-v2", approval=approval, status={"quarantined": kept_out if quarantined else []})
    )


DONE = training(handled=True, phase="Succeeded", version="heart-v2")


@pytest.mark.parametrize(
    ("asked", "by", "version", "expected"),
    [
        (False, None, None, ""),
        (True, None, None, "does not exist"),
        (True, training(handled=False), None, "not yet taken up"),
        (True, training(handled=True), None, ""),
        (True, training(handled=True, phase="Running"), None, "run 2 of ModelTraining heart is under way"),
        (True, training(handled=True, phase="Running", ago=120), None, ""),
        (True, training(handled=True, phase="Failed"), None, ""),
        (True, training(handled=True, phase="Running", reproduces="heart-v1"), None, ""),
        (True, DONE, made("Rejected"), ""),
        (True, DONE, made("Pending"), "is to be approved"),
        (True, DONE, made(), "heart-v2 is to take over"),
        (True, DONE, made(quarantined=True), ""),
    ],
)
def test_what_is_still_to_be_expected_of_a_retrain(
    asked: bool, by: ModelTraining | None, version: ModelVersion | None, expected: str
) -> None:
    found = retraining(action("Retrain", ago=60) if asked else None, by, version, "heart", "heart-v1")
    assert expected in found
    assert bool(expected) == bool(found)


@pytest.mark.parametrize(
    ("serving", "expected"),
    [
        ("heart-v1", "heart-v2 is to take over"),
        ("heart-v2", ""),
        ("heart-v10", ""),
        ("lung-v3", "heart-v2 is to take over"),
        ("by-hand", "heart-v2 is to take over"),
    ],
)
def test_a_version_that_serves_or_is_overtaken_is_not_waited_for(serving: str, expected: str) -> None:
    assert retraining(action("Retrain", "heart-v1", ago=60), DONE, made(), "heart", serving) == expected


def test_a_retrain_for_a_version_that_left_is_waited_for_while_its_training_is_there() -> None:
    asked = action("Retrain", "heart-v3", ago=60)
    running = training(handled=True, phase="Running")
    assert "under way" in retraining(asked, running, None, "heart", "heart-v1")
    assert retraining(asked, None, None, "heart", "heart-v1") == ""
