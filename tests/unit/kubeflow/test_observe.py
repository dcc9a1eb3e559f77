"""How a run stands, from what Kubeflow says of it and the time: each state has a defined end."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.api.kubeflow import KubeflowRun
from perennial.api.run import Engine
from perennial.contracts.result import RunOutcome
from perennial.domain.training.kubeflow import MISSING_GRACE, Look, SeenRun, Task, follow, observe, progress
from perennial.domain.training.run import Failed, Lost, Ongoing, Stopped
from tests.unit.training.support import NOW

ENGINE = Engine(type="Kubeflow")
KNOWN = KubeflowRun(endpoint="http://kfp")
STATES = ("PENDING", "RUNNING", "PAUSED", "CANCELING", "SUCCEEDED", "SKIPPED", "FAILED", "CANCELED", "", "NEWS")


def seen(state: str, *before: str, **more: object) -> SeenRun:
    """A run that was made an instant ago."""
    return SeenRun("id", "heart-1", state, NOW, states=(*before, state), **more)  # type: ignore[arg-type]


def after(look: Look, seconds: float = 0.0, known: KubeflowRun = KNOWN) -> object:
    """How it stands ``seconds`` later."""
    now = NOW + timedelta(seconds=seconds)
    return observe(follow(known, look, "", now), look, ENGINE, now)


@pytest.mark.parametrize(
    ("look", "ending"),
    [
        (Look(run=seen("PENDING")), Ongoing),
        (Look(run=seen("RUNNING")), Ongoing),
        (Look(run=seen("PAUSED")), Ongoing),
        (Look(run=seen("CANCELING")), Ongoing),
        (Look(run=seen("SUCCEEDED")), Lost),
        (Look(run=seen("SKIPPED")), Failed),
        (Look(run=seen("FAILED")), Lost),
        (Look(run=seen("FAILED"), failure=RunOutcome(False, None, "check", "DataRejected", "no")), Failed),
        (Look(run=seen("CANCELED")), Stopped),
        (Look(run=seen("FAILED", "CANCELING")), Stopped),
        (Look(run=seen("FAILED"), terminated=True), Stopped),
        (Look(trouble=("KubeflowUnavailable", "away")), Ongoing),
        (Look(refused="no"), Failed),
        (Look(), Ongoing),
    ],
)
def test_each_state_is_what_it_says(look: Look, ending: type) -> None:
    assert isinstance(after(look), ending)


def test_a_failure_without_a_word_may_be_tried_again_and_names_where() -> None:
    found = after(Look(run=seen("FAILED", tasks=(Task("tune", "FAILED"), Task("split", "SUCCEEDED")), error="oom")))
    assert isinstance(found, Lost)
    assert found.disrupted
    assert found.why == "Kubeflow says that the run failed at tune: oom"


def test_what_is_gone_is_waited_for_and_then_given_up() -> None:
    for look in (Look(), Look(run=seen("RUNNING"), workflow=False)):
        known = follow(KNOWN, look, "", NOW)
        late = MISSING_GRACE.total_seconds()
        assert isinstance(after(look, late - 1, known), Ongoing)
        lost = after(look, late, known)
        assert isinstance(lost, Lost)
        assert not lost.disrupted
    back = follow(follow(KNOWN, Look(), "", NOW), Look(run=seen("RUNNING"), workflow=True), "", NOW)
    assert back.missing_since is None


def test_an_api_that_is_away_makes_nothing_missing() -> None:
    assert follow(KNOWN, Look(trouble=("KubeflowUnavailable", "away")), "", NOW) == KNOWN


def test_a_run_that_takes_too_long_has_failed_and_one_that_ended_in_time_has_not() -> None:
    assert isinstance(after(Look(run=seen("RUNNING")), 3601), Failed)
    assert isinstance(after(Look(run=seen("SUCCEEDED")), 3601), Lost)


@given(
    st.sampled_from(STATES),
    st.lists(st.sampled_from(STATES), max_size=3),
    st.booleans() | st.none(),
    st.floats(0, 9999),
)
def test_a_run_comes_to_an_end_whatever_is_seen(
    state: str, before: list[str], workflow: bool | None, late: float
) -> None:
    look = Look(run=seen(state, *before), workflow=workflow)
    assert isinstance(after(look, late), Ongoing | Failed | Lost | Stopped)
    if look.run and look.run.ended:
        assert not isinstance(after(look, late), Ongoing)
    else:
        assert not isinstance(after(look, 3601, follow(KNOWN, look, "", NOW)), Ongoing)


def test_how_far_it_is_says_what_people_know_and_nothing_of_drivers() -> None:
    tasks = (
        Task("root", "RUNNING"), Task("perennial-tabular-x", "RUNNING"), Task("ingest", "SUCCEEDED"),
        Task("search", "RUNNING"), Task("tune-driver", "RUNNING"),
    )  # fmt: skip
    assert progress(seen("RUNNING", tasks=tasks)) == "tune 4/8"
    assert progress(seen("PENDING")) == ""
