"""The line through on the node, undisturbed and with the operator killed every few seconds: the outcome is the same."""

import asyncio
from collections import Counter

import pytest

from hack.demo.stage import Stage
from hack.demo.story import NAME, Story
from perennial.api.common import API_VERSION
from tests.e2e.conftest import MakeStage
from tests.rollouts.killing import kill_operator_again_and_again, restart_at_once

OVERLAY, MISTAKE = "tests/e2e/overlays/story", "tests/e2e/overlays/mistake"


@pytest.mark.xdist_group("story")
@pytest.mark.timeout(900)
async def test_the_loop_comes_true(make_stage: MakeStage, free_port: int) -> None:
    stage = await make_stage("e2e-story")
    story = Story(stage, OVERLAY, MISTAKE, port=free_port, rate=30)
    await story.play()
    await assert_nothing_exists_twice(stage)
    assert story.traffic is not None
    assert story.traffic.lost == [], "requests were lost on the way"


@pytest.mark.xdist_group("chaos")
@pytest.mark.timeout(1200)
async def test_the_loop_comes_true_under_sigkill(make_stage: MakeStage, free_port: int) -> None:
    stage = await make_stage("e2e-chaos")
    await restart_at_once(stage)
    killer = asyncio.create_task(kill_operator_again_and_again(stage))
    try:
        await Story(stage, OVERLAY, MISTAKE, port=free_port, rate=30, patience=400).play()
    finally:
        killer.cancel()
    [killed] = await asyncio.gather(killer, return_exceptions=True)
    assert not isinstance(killed, Exception), killed
    await assert_nothing_exists_twice(stage)


async def assert_nothing_exists_twice(stage: Stage) -> None:
    """Three runs made three versions, each by one Job; each revision has one Deployment."""
    status = (await stage.get("ModelTraining", NAME))["status"]
    assert sorted((each["number"], each["version"]) for each in status["runs"]) == [
        (1, f"{NAME}-v1"), (2, f"{NAME}-v2"), (3, f"{NAME}-v3"),
    ]  # fmt: skip
    assert [each["metadata"]["name"] for each in await stage.versions()] == [f"{NAME}-v{n}" for n in (1, 2, 3)]
    jobs = await stage.api.list("batch/v1", "Job", stage.namespace)
    assert max(Counter(job["metadata"]["labels"]["perennial.dev/run"] for job in jobs).values()) == 1
    deployments = await stage.api.list("apps/v1", "Deployment", stage.namespace)
    revisions = Counter(each["metadata"]["labels"]["perennial.dev/revision"] for each in deployments)
    assert max(revisions.values()) == 1
    actions = (await stage.get("DriftMonitor", NAME))["status"]["actions"]
    assert [each["kind"] for each in reversed(actions)] == ["Retrain", "Rollback"]
    assert (await stage.api.list(API_VERSION, "ModelDeployment", stage.namespace))[0]["status"]["held"][
        "version"
    ] == f"{NAME}-v3"
