"""Which version a verb is about when the person names none, and when waiting ends."""

import asyncio
from typing import Any, cast

import click
import pytest

from perennial.api.training import ModelTraining
from perennial.cli.cluster import Cluster
from perennial.cli.follow import ENDED_OTHERWISE, Subject, Wish
from perennial.cli.objects import Objects
from perennial.cli.request import subject_of, unheard
from perennial.contracts.names import quarantine_annotation
from perennial.domain.rollout.quarantine import Quarantined
from tests.unit.cli.support import NOW, SERVING, Json, before, canary, changed, condition, seen, version


def quarantined(number: int) -> Json:
    return version(number, **{quarantine_annotation("heart"): Quarantined("bad", NOW).annotation()})


HELD = {"version": "heart-v5", "reason": "errors", "since": before(minutes=1)}


@pytest.mark.parametrize("verb", ["promote", "pause", "resume", "abort"])
def test_verbs_of_a_rollout_are_about_the_version_on_its_way(verb: str) -> None:
    assert subject_of(verb, seen(canary())) == "heart-v4"
    with pytest.raises(click.ClickException, match="no rollout of heart is under way: heart-v3 serves"):
        subject_of(verb, seen(SERVING))


def test_a_rollback_is_about_what_serves() -> None:
    assert subject_of("rollback", seen(canary())) == "heart-v3"
    with pytest.raises(click.ClickException, match="nothing serves"):
        subject_of("rollback", seen(changed(stable=None)))


def test_retry_and_release_are_about_what_is_kept_out() -> None:
    held = seen(changed(held=HELD), versions=[quarantined(1), quarantined(5)])
    assert [subject_of(verb, held) for verb in ("retry", "release")] == ["heart-v5", "heart-v5"]
    assert subject_of("release", seen(SERVING, versions=[quarantined(1), version(2)])) == "heart-v1"
    assert subject_of("retry", seen(canary(), versions=[quarantined(1)])) == "heart-v4"
    with pytest.raises(click.ClickException, match="name one by --version: heart-v1, heart-v2"):
        subject_of("release", seen(SERVING, versions=[quarantined(1), quarantined(2)]))
    with pytest.raises(click.ClickException, match="no version is held or quarantined"):
        subject_of("release", seen(SERVING))


def ended(raw: Json, **wish: Any) -> int | None:
    cluster = Cluster(cast("Any", None), "clinic", asyncio.Event())
    objects = Objects(cluster, ())
    objects._found = {"ModelDeployment": {("clinic", "heart"): raw}, "ModelVersion": {("clinic", "x"): quarantined(5)}}
    return Subject(Wish(name="heart", settled="until" not in wish, **wish), objects).ended()


@pytest.mark.parametrize("phase", ["Progressing", "Paused", "Pending"])
def test_what_is_under_way_is_waited_for(phase: str) -> None:
    assert ended(changed(phase=phase)) is None


def test_a_spec_that_was_not_looked_at_yet_is_waited_for() -> None:
    assert ended({**SERVING, "metadata": {**SERVING["metadata"], "generation": 2}}) is None


def test_it_ends_well_or_otherwise() -> None:
    assert ended(SERVING) == 0
    assert ended(changed(phase="Holding", held=HELD)) == ENDED_OTHERWISE
    assert ended(changed(phase="Degraded")) == ENDED_OTHERWISE


def test_a_phase_can_be_waited_for() -> None:
    assert ended(SERVING, until="Paused") is None
    assert ended(changed(phase="Paused"), until="Paused") == 0


def test_a_version_can_be_waited_for() -> None:
    assert ended(SERVING, version="heart-v4") is None
    assert ended(SERVING, version="heart-v3") == 0
    assert ended(changed(phase="Holding", held=HELD), version="heart-v5") == ENDED_OTHERWISE
    assert ended(SERVING, version="heart-v5") == ENDED_OTHERWISE, "it is quarantined"


def test_who_asks_is_told_what_the_operator_waits_for() -> None:
    ready = condition("Ready", "False", "StoreSecretMissing", "create the Secret perennial-store-read")
    blocked = {"status": {"phase": "Blocked", "conditions": [ready]}}
    told = unheard(ModelTraining, blocked, 10)
    assert told.endswith("nothing can begin here: StoreSecretMissing: create the Secret perennial-store-read.")
    others: tuple[Json, ...] = ({}, {"status": {"phase": "Running", "conditions": [ready]}})
    for other in others:
        assert unheard(ModelTraining, other, 10) == "no operator answered within 10 s: is it running?"
