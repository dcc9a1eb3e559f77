"""A retrain that did not cure what it was asked to cure does not simply run again: a person is asked."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from perennial.api.verdict import Action, Chapter, MonitorStatus
from perennial.domain.drift.policy import last_retrain
from tests.unit.drift.policy_support import HOUR, SITUATION, breached, kinds, reaction, signals
from tests.unit.drift.support import NOW, action

ASKED = 3 * 86400
"""Seconds ago that the last Retrain was asked for, about heart-v0."""
CURE = replace(SITUATION, made="heart-v1")
"""heart-v1, which serves, is what came of it."""
REFUSED = replace(SITUATION, made="heart-v2", rejected=True)
"""heart-v2 came of a Retrain for heart-v1, which serves still."""


def retrain(version: str = "heart-v0", verdict: str = "Drifting", ago: float = ASKED) -> Action:
    return action("Retrain", version, ago=ago).model_copy(update={"verdict": verdict})


def chapter(version: str, verdict: str = "Healthy", ago: float = 3600.0) -> Chapter:
    return Chapter(version=version, verdict=verdict, since=NOW - 9 * HOUR, until=NOW - timedelta(seconds=ago))


def asked_after(situation: Any, last: Action, verdict: str = "Drifting", **more: Any) -> tuple[list[str], str]:
    """(What is asked for, the reason of HumanNeeded)."""
    found = reaction(verdict, actions=[last], situation=situation, onPerformanceLoss="RollbackAndRetrain", **more)
    return kinds(found.actions), found.human[0] if found.human else ""


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (asked_after(CURE, retrain()), ([], "NotCured")),
        (asked_after(CURE, retrain(verdict="")), ([], "NotCured")),
        (asked_after(CURE, retrain(verdict="PerformanceLoss"), "PerformanceLoss"), (["Rollback"], "NotCured")),
        (asked_after(CURE, retrain(), known={"last_healthy": NOW - HOUR}), (["Retrain"], "")),
        (asked_after(CURE, retrain(), known={"history": [chapter("heart-v1")]}), (["Retrain"], "")),
        (asked_after(CURE, retrain(), known={"history": [chapter("heart-v0")]}), ([], "NotCured")),
        (asked_after(CURE, retrain(), known={"history": [chapter("heart-v1", "NoTraffic")]}), ([], "NotCured")),
        (asked_after(CURE, retrain(verdict="PerformanceLoss")), (["Retrain"], "")),
        (asked_after(CURE, retrain(), "PerformanceLoss"), (["Rollback", "Retrain"], "")),
        (asked_after(replace(CURE, made="heart-v2"), retrain()), (["Retrain"], "")),
        (asked_after(replace(CURE, training_changed=True), retrain()), (["Retrain"], "")),
        (asked_after(CURE, retrain(ago=60)), ([], "NotCured")),
    ],
    ids=[
        "still drifting", "asked by an operator that noted no verdict", "a loss is rolled back all the same",
        "it was well in between", "it was well when it served before", "only the version before was well",
        "it was never well", "that was for a loss", "that was for drift", "another version serves",
        "a person has changed the training", "whatever the cooldown is",
    ],
)  # fmt: skip
def test_a_retrain_that_did_not_cure_is_not_repeated(found: Any, expected: Any) -> None:
    assert found == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (asked_after(REFUSED, retrain("heart-v1")), ([], "RetrainRejected")),
        (asked_after(REFUSED, retrain("heart-v1", "PerformanceLoss")), ([], "RetrainRejected")),
        (asked_after(REFUSED, retrain("heart-v0")), (["Retrain"], "")),
        (asked_after(replace(REFUSED, training_changed=True), retrain("heart-v1")), (["Retrain"], "")),
        (asked_after(REFUSED, retrain("heart-v1"), known={"last_healthy": NOW - HOUR}), (["Retrain"], "")),
        (
            asked_after(REFUSED, retrain("heart-v1"), known={"last_healthy": NOW - timedelta(days=4)}),
            ([], "RetrainRejected"),
        ),
        (
            asked_after(REFUSED, retrain("heart-v1"), known={"history": [chapter("heart-v1", ago=4 * 86400)]}),
            ([], "RetrainRejected"),
        ),
        (asked_after(replace(REFUSED, rejected=False), retrain("heart-v1")), (["Retrain"], "")),
    ],
    ids=[
        "rejected", "for whatever it was asked", "another version serves", "a person has changed the training",
        "it was well in between", "it was well before that only", "a chapter before that is none in between",
        "the run failed: it may be asked again",
    ],
)  # fmt: skip
def test_a_retrain_whose_version_was_rejected_is_not_repeated(found: Any, expected: Any) -> None:
    assert found == expected


def test_the_message_says_what_to_do() -> None:
    stuck = reaction(actions=[retrain()], situation=CURE).human
    assert stuck is not None
    for part in ("heart-v1 was trained because of heart-v0 (Drifting)", "data that ModelTraining heart reads", "train"):
        assert part in stuck[1]
    refused = reaction(actions=[retrain("heart-v1")], situation=REFUSED).human
    assert refused is not None
    for part in ("heart-v2", "rejected or kept out", "spec of ModelTraining heart", "approve heart-v2"):
        assert part in refused[1]


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [(6, ([], "NotCured")), (5, ([], "NotCured")), (3, (["Retrain"], ""))],
    ids=["out of bounds ever since", "but for a first chunk without a figure", "within bounds at first"],
)
def test_a_signal_is_cured_by_being_within_bounds(chunks: int, expected: Any) -> None:
    # An hour is six chunks; the verdict, Healthy all the time, says nothing of the signal.
    situation = replace(CURE, stable_since=NOW - HOUR)
    known = {"signals": [breached(chunks)], "last_healthy": NOW}
    last = retrain(verdict="Signal")
    assert asked_after(situation, last, "Healthy", known=known, signals=signals("Retrain")) == expected


def test_the_last_retrain_is_the_monitors_whichever_version_served() -> None:
    asked = [
        action("Retrain", "heart-v1", ago=300, id_="older"), action("Retrain", "heart-v0", ago=100, id_="newest"),
        action("Rollback", "heart-v2", ago=1, id_="rollback"),
    ]  # fmt: skip
    found = last_retrain(MonitorStatus(actions=asked))
    assert found is not None
    assert found.id == "newest"
    assert last_retrain(MonitorStatus(actions=asked[2:])) is None
