"""The line through on the node, undisturbed and with the operator killed every few seconds: the outcome is the same."""

import asyncio
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from hack.demo.stage import Stage, run
from hack.demo.story import NAME, Story
from perennial.api.common import API_VERSION
from tests.e2e.conftest import MakeStage

OVERLAY, MISTAKE = "tests/e2e/overlays/story", "tests/e2e/overlays/mistake"
LOOP = "while :; do /opt/perennial/bin/python -m perennial; done"


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


async def restart_at_once(stage: Stage) -> None:
    """The operator's process starts again the moment it is killed: the kubelet would wait longer each time."""
    patch = f'[{{"op":"add","path":"/spec/template/spec/containers/0/command","value":["/bin/sh","-c","{LOOP}"]}}]'
    name = (await run("kubectl", "-n", stage.system, "get", "deployment", "-o", "name")).strip()
    await run("kubectl", "-n", stage.system, "patch", name, "--type=json", "-p", patch)
    await run("kubectl", "-n", stage.system, "rollout", "status", name, "--timeout=120s")


async def kill_operator_again_and_again(stage: Stage) -> None:
    """SIGKILL every 4 to 9 seconds, for as long as the story goes on."""
    dice = random.Random(7)
    while True:
        await asyncio.sleep(dice.uniform(4, 9))
        for pid in operator_processes(stage):
            os.kill(pid, signal.SIGKILL)


def operator_processes(stage: Stage) -> list[int]:
    """The processes of this stage's operator on this machine."""
    mark = f"PERENNIAL_LEASE_NAMESPACE={stage.system}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
        if arguments.split(b"\0")[1:3] == [b"-m", b"perennial"] and mark in environment.split(b"\0"):
            found.append(int(folder.name))
    return found
