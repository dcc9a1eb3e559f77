"""A regression on the node, from its example to a verdict about it.

Shown by others and not played here: what a rollout makes of its errors (tests/unit/rollout/analysis), what is refused
(tests/unit/components/test_regression.py).
"""

import asyncio

import pytest

from tests.drift.node import regression
from tests.drift.node.conftest import Story

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="session")]
STORIES: list[Story] = [regression.errors_tell_that_numbers_mean_something_else_now]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_it_comes_true(story: Story, played: dict[str, asyncio.Task[None]]) -> None:
    await played[story.__name__]
