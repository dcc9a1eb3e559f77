"""What a DriftMonitor says and does on the node, with real predictors and the cluster's Prometheus.

Shown by others and not played here: each row of the policy's tables, cooldown and budget (tests/unit/drift); the
operator ended after each single write (tests/api/test_drift.py); counts through restarts and missing scrapes to the row
(tests/drift/test_rows.py); alerts and dashboards (tests/monitoring). test_outages.py has Prometheus restarted, empty
and away, and predictors killed.
"""

import asyncio

import pytest

from tests.drift.node import causes, labels, policy, regression
from tests.drift.node.conftest import Story

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="session")]
STORIES: list[Story] = [
    labels.only_true_tokens_count_and_a_fresh_version_that_is_worse_goes_back,
    labels.replayed_labels_are_suspect_and_nothing_is_done,
    causes.prior_shift_and_concept_drift_are_told_apart,
    causes.a_shadow_and_a_neighbour_of_the_same_name_move_no_verdict,
    policy.monitors_that_only_watch_disagree_learn_and_report,
    policy.a_retrain_that_cures_nothing_is_not_repeated,
    regression.errors_tell_that_numbers_mean_something_else_now,
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_it_comes_true(story: Story, played: dict[str, asyncio.Task[None]]) -> None:
    await played[story.__name__]
