"""The clock as a trigger: each time is answered once, and many missed ones are answered by one run."""

from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from perennial.api.run import Schedule
from perennial.domain.training.schedule import ScheduleInvalid, next_time
from tests.unit.training.support import NOW, Cluster, a_training

NIGHTLY = {"cron": "0 3 * * *", "timeZone": "Europe/Berlin"}
FIRST = datetime(2026, 3, 3, 2, 0, tzinfo=UTC)
"""The first time of NIGHTLY after NOW."""


def scheduled(schedule: dict | None = None, **spec: object) -> Cluster:
    """A cluster whose first run, for the spec, is over."""
    cluster = Cluster(a_training(schedule=schedule or NIGHTLY, **spec))
    cluster.settle()
    cluster.end_run()
    cluster.settle()
    return cluster


def test_the_next_run_stands_in_the_status_and_wakes_the_operator_then() -> None:
    cluster = scheduled()
    plan = cluster.step()
    assert cluster.status.next_run == FIRST
    assert plan.requeue == (FIRST - NOW).total_seconds()
    assert cluster.condition("Scheduled")[:2] == ("True", "NextRun")


def test_a_time_that_comes_starts_one_run() -> None:
    cluster = scheduled()
    cluster.now = FIRST - timedelta(seconds=1)
    cluster.settle()
    assert cluster.status.run_counter == 1
    cluster.now = FIRST
    cluster.settle()
    assert (cluster.run.trigger.type, cluster.run.trigger.id) == ("Schedule", "2026-03-03T02:00:00Z")
    cluster.end_run()
    cluster.settle()
    assert cluster.status.run_counter == 2
    assert cluster.status.next_run == FIRST + timedelta(days=1)


def test_missed_times_are_made_up_for_by_one_run() -> None:
    cluster = scheduled()
    cluster.now += timedelta(days=30)
    cluster.settle()
    cluster.end_run()
    cluster.settle()
    assert cluster.status.run_counter == 2
    assert cluster.status.next_run is not None
    assert cluster.status.next_run > cluster.now


def test_times_that_pass_during_a_run_are_answered_by_one_run_after_it() -> None:
    cluster = scheduled()
    cluster.request("train/heart/u1")
    cluster.settle()
    cluster.now += timedelta(days=3)
    cluster.settle()
    assert cluster.status.run_counter == 2
    cluster.end_run()
    cluster.settle()
    assert (cluster.run.number, cluster.run.trigger.type) == (3, "Schedule")


def test_a_run_for_another_cause_answers_the_time_that_has_come_too() -> None:
    cluster = scheduled()
    cluster.now = FIRST + timedelta(hours=1)
    cluster.request("train/heart/u1")
    cluster.settle()
    cluster.end_run()
    cluster.settle()
    assert cluster.status.run_counter == 2


def test_a_schedule_that_is_new_or_changed_has_no_missed_times() -> None:
    cluster = scheduled()
    cluster.now += timedelta(days=30)
    cluster.change(schedule={"cron": "0 4 * * *"})
    cluster.settle()
    assert cluster.status.run_counter == 1
    cluster.change(schedule=None)
    cluster.settle()
    assert (cluster.status.next_run, cluster.status.schedule) == (None, None)
    assert all(each.type != "Scheduled" for each in cluster.status.conditions)


def test_a_suspended_training_makes_up_for_its_times_by_one_run() -> None:
    cluster = scheduled()
    cluster.change(suspend=True)
    cluster.now += timedelta(days=3)
    cluster.settle()
    assert cluster.status.run_counter == 1
    assert cluster.status.phase == "Suspended"
    assert "the schedule" in cluster.condition("Running")[2]
    assert cluster.condition("Scheduled")[1] == "Suspended"
    cluster.change(suspend=False)
    cluster.settle()
    cluster.end_run()
    cluster.settle()
    assert cluster.status.run_counter == 2


@pytest.mark.parametrize(
    ("schedule", "field"),
    [
        ({"cron": "61 * * * *"}, "spec.schedule.cron"),
        ({"cron": "0 0 31 2 *"}, "spec.schedule.cron"),
        ({"cron": "0 0 0 * * *"}, "spec.schedule.cron"),
        ({"cron": "@daily", "timeZone": "Europe/Berln"}, "spec.schedule.timeZone"),
        ({"cron": "@daily", "timeZone": "Europe"}, "spec.schedule.timeZone"),
    ],
)
def test_a_schedule_that_cannot_be_read_says_which_field_and_stops_nothing_else(schedule: dict, field: str) -> None:
    valid = a_training(schedule=NIGHTLY)
    spec = valid.spec.model_copy(update={"schedule": Schedule.model_construct(**a_schedule(schedule))})
    cluster = Cluster(valid.model_copy(update={"spec": spec}))
    cluster.settle()
    status, reason, message = cluster.condition("Scheduled")
    assert (status, reason) == ("False", "ScheduleInvalid")
    assert field in message
    assert cluster.run.launched


def a_schedule(given: dict) -> dict:
    """The arguments of a Schedule that was let in by an older definition."""
    return {"cron": given["cron"], "time_zone": given.get("timeZone", "UTC")}


def test_summer_time_moves_the_time_in_utc() -> None:
    berlin = Schedule(cron="0 3 * * *", time_zone="Europe/Berlin")
    assert next_time(berlin, datetime(2026, 3, 28, 12, tzinfo=UTC)) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert next_time(berlin, datetime(2026, 3, 27, 12, tzinfo=UTC)) == datetime(2026, 3, 28, 2, tzinfo=UTC)


FIELDS = st.tuples(
    st.sampled_from(["0", "30", "*/7", "*"]), st.sampled_from(["0", "2", "3", "*", "1-3"]),
    st.sampled_from(["*", "1", "29", "L"]), st.sampled_from(["*", "2", "3,10"]), st.sampled_from(["*", "0", "SUN"]),
).map(" ".join)  # fmt: skip
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"])


@settings(max_examples=150, deadline=None)
@given(FIELDS, ZONES, st.integers(0, 3 * 365 * 24 * 3600))
def test_the_next_time_is_later_and_none_lies_between(cron: str, zone: str, second: int) -> None:
    schedule, after = Schedule(cron=cron, time_zone=zone), NOW - timedelta(days=700) + timedelta(seconds=second)
    found = next_time(schedule, after)
    assert found > after
    assert next_time(schedule, after + (found - after) / 2) == found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60 * 60), st.booleans(), st.integers(0, 3)), min_size=1, max_size=25))
def test_whatever_the_times_of_looking_each_time_of_the_schedule_has_one_run_at_most_and_none_is_forgotten(
    course: list[tuple[int, bool, int]],
) -> None:
    cluster = scheduled({"cron": "*/20 * * * *"})
    answered: dict[str, int] = {}
    for minutes, ends, steps in course:
        cluster.now += timedelta(minutes=minutes)
        cluster.step(steps=steps, status=False)  # the process ends in the middle of a plan
        cluster.settle()
        run = cluster.run
        if run.trigger.type == "Schedule":
            assert answered.setdefault(run.trigger.id, run.number) == run.number
        if run.phase == "Running" and ends:
            cluster.end_run()
            cluster.settle()
    if cluster.run.phase == "Running":
        cluster.end_run()
        cluster.settle()
    if cluster.run.phase == "Running":
        cluster.end_run()
        cluster.settle()
    assert cluster.status.next_run is not None
    assert cluster.status.next_run > cluster.now, "nothing is overdue"
    # A run for each look at most: many missed times are one.
    assert cluster.status.run_counter <= 2 + len(course)


def test_a_time_zone_is_no_way_to_the_files_of_the_operator() -> None:
    with pytest.raises(ScheduleInvalid, match="timeZone"):
        next_time(Schedule.model_construct(cron="@daily", time_zone="../../etc/passwd"), NOW)
