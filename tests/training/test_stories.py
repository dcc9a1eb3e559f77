"""Trainings on the node, as people see them by kubectl: from each source, by each trigger, past each gate.

Shown by others and not played here: bad input and a store that is away (tests/e2e/test_bad_input.py), drift as a
trigger (tests/e2e/test_story.py, tests/drift), a regression (tests/drift/node), each single check, step, metric and
verdict (tests/unit), the operator ended after each write (tests/unit/training/test_walk.py, tests/api).
"""

import asyncio

import pytest

from tests.training import gates, sources, tables, triggers
from tests.training.conftest import Story

pytestmark = [pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="session")]
# Those that wait for the clock come first.
STORIES: list[Story] = [
    triggers.other_data_start_a_run_and_the_same_start_none,
    triggers.the_clock_starts_runs_and_replaces_one_that_is_under_way,
    triggers.the_clock_waits_for_no_run_where_that_is_forbidden,
    triggers.versions_come_of_each_change_and_each_request_and_old_ones_go,
    gates.a_challenger_has_to_be_better_for_sure,
    tables.nothing_named_is_everything_tried_until_the_time_is_over,
    triggers.an_evicted_pod_is_no_end_of_its_run,
    sources.the_same_rows_train_the_same_model_wherever_they_come_from,
    sources.a_database_that_refuses_is_named_without_its_password_and_asked_again,
    sources.a_web_server_that_is_away_is_waited_for,
    tables.all_that_fails_is_told_at_once_and_nothing_is_tried_again,
    tables.what_is_done_to_values_is_done_to_those_of_a_request,
    tables.dates_and_words_tell_what_numbers_do_not,
    tables.rows_that_belong_together_stay_together_and_the_future_is_held_out,
    gates.a_failed_gate_makes_a_rejected_version_that_says_why,
    gates.a_namespace_insists_on_a_person_who_is_noted,
    gates.mlflow_is_told_and_its_being_away_fails_nothing,
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_it_comes_true(story: Story, played: dict[str, asyncio.Task[None]]) -> None:
    await played[story.__name__]
