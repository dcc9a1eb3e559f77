"""Trainings that a real Kubeflow Pipelines runs: to a version, to each other end, and with what only it can do."""

import asyncio
from typing import Any

import pytest
import yaml

from hack.demo.patients import ROOT
from hack.demo.stage import run
from tests.kubeflow.conftest import Lab, engine, under_way
from tests.training.ward import run_of

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="session")]
Json = dict[str, Any]


LONG: Json = {
    "tuning": {"trials": 1000, "folds": 10},
    "candidates": [{"algorithm": "HistGradientBoosting", "space": "Builtin"}],
}
"""A search that does not end before it is ended."""
SHORT: Json = {"tuning": {"trials": 1, "folds": 2}, "candidates": [{"algorithm": "LogisticRegression"}]}


async def test_the_operator_killed_in_the_middle_makes_no_second_run(lab: Lab) -> None:
    mine = lab.story()
    await mine.apply(engine=engine(), **SHORT)
    async with asyncio.timeout(60):
        # Kubeflow has no events, and it is to be early.
        while not await lab.runs_of(mine.name):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await run(
        "kubectl", "-n", lab.stage.system, "delete", "pod", "-l", "app.kubernetes.io/name=perennial-operator",
        "--force", "--grace-period=0",
    )  # fmt: skip
    await mine.registered()
    (only,) = await lab.runs_of(mine.name)
    # Another run of the same definition needs no other version of the pipeline.
    await mine.say("train", mine.name)
    await mine.registered(2)
    pipeline = only["pipeline_version_reference"]["pipeline_id"]
    versions = await lab.kubeflow(f"pipelines/{pipeline}/versions")
    assert len(versions["pipeline_versions"]) == 1


async def test_a_component_that_fails_is_told_in_its_own_words(lab: Lab) -> None:
    mine = lab.story()
    checks = {"checks": [{"column": "age", "max": 30}]}
    await mine.apply(engine=engine(), data=checks)
    found = await mine.ended()
    assert (found["outcome"], found.get("attempt", 1)) == ("DataRejected", 1), found
    assert "check failed: " in found["message"]
    assert "age" in found["message"]
    (there,) = await lab.runs_of(mine.name)
    assert there["state"] == "FAILED"


async def test_a_cancelled_run_ends_in_kubeflow_and_its_pods_go(lab: Lab) -> None:
    mine = lab.story()
    await mine.apply(engine=engine(), **LONG)
    run_id = await under_way(mine)
    await lab.run_until(run_id, lambda run: run["state"] == "RUNNING")
    await mine.say("cancel", mine.name)
    found = await mine.ended()
    assert (found["phase"], found["outcome"]) == ("Cancelled", "Cancelled")
    await lab.run_until(run_id, lambda run: run["state"] in {"FAILED", "CANCELED"})
    await lab.running(run_id, some=False)


async def test_a_run_that_somebody_terminates_in_kubeflow_is_not_begun_again(lab: Lab) -> None:
    mine = lab.story()
    await mine.apply(engine=engine(), **LONG)
    run_id = await under_way(mine)
    await lab.run_until(run_id, lambda run: run["state"] == "RUNNING")
    await lab.kubeflow(f"runs/{run_id}:terminate", "POST")
    found = await mine.ended()
    assert (found["phase"], found["message"]) == ("Cancelled", "somebody terminated the run in Kubeflow")


async def test_a_pod_that_is_taken_away_is_no_end_of_the_training(lab: Lab) -> None:
    mine = lab.story()
    await mine.apply(engine=engine(), **LONG)
    run_id = await under_way(mine)
    # Only the component itself tells of trials: what has a driver's pod taken away is none the worse.
    await mine.until(lambda status: "trial" in str(run_of(status, 1).get("progress")))
    pods = await lab.pods(run_id, "Running")
    await run("kubectl", "-n", "kubeflow", "delete", *pods, "--force", "--grace-period=0")
    await mine.until(lambda status: run_of(status, 1).get("attempt") == 2)
    # Suspending ends it, and the pods go; resuming begins another one.
    await mine.apply(engine=engine(), suspend=True, **LONG)
    assert (await mine.ended())["outcome"] == "Suspended"
    await mine.apply(engine=engine(), suspend=False, **SHORT)
    await mine.registered(2)


async def test_the_search_is_spread_and_what_is_known_comes_from_the_cache(lab: Lab) -> None:
    mine = lab.story()
    candidates = [{"algorithm": "LogisticRegression"}, {"algorithm": "DecisionTree"}]
    await mine.apply(engine=engine(shards=2, caching=True), candidates=candidates, tuning={"trials": 4, "folds": 2})
    first = await mine.registered()
    board = {each["algorithm"] for each in first["spec"]["record"]["leaderboard"]}
    assert board == {"LogisticRegression", "DecisionTree"}
    pods = await lab.pods((await lab.runs_of(mine.name))[0]["run_id"])
    assert len(pods) >= 22, f"a driver's and its own for each of 11 components: {pods}"
    await mine.say("train", mine.name)
    second = await mine.registered(2)
    digests = [each["spec"]["record"]["artifacts"]["model.onnx"]["sha256"] for each in (first, second)]
    assert digests[0] == digests[1]
    again = await lab.pods((await lab.runs_of(mine.name))[1]["run_id"])
    # All but the look at the data and the registration come from the cache, the searches too.
    assert len(again) <= len(pods) - 9, again


async def test_a_deleted_training_takes_its_run_along(lab: Lab) -> None:
    mine = lab.story()
    await mine.apply(engine=engine(), **LONG)
    run_id = await under_way(mine)
    await mine.kubectl("delete", "mt", mine.name, "--timeout", "60s")
    await lab.run_until(run_id, lambda run: run["state"] in {"FAILED", "CANCELED"})


async def test_a_container_of_any_image_trains_and_ours_measure_what_it_made(lab: Lab) -> None:
    mine = lab.story()
    folder = ROOT / "examples" / "own-pipeline-torch"
    await lab.stage.upload("torch.yaml", (folder / "kubeflow.yaml").read_bytes())
    given = yaml.safe_load((folder / "kubeflow-training.yaml").read_text())["spec"]
    own = {"url": f"{lab.data}/torch.yaml", "sha256": given["pipeline"]["sha256"]}
    await mine.apply(
        engine=engine(), pipeline=own, candidates=None, tuning=given["tuning"], features=given["features"],
        data=given["data"] | {"source": {"uri": f"{lab.data}/cleveland.csv"}},
    )  # fmt: skip
    version = await mine.registered()
    record = version["spec"]["record"]
    assert (record["algorithm"], record["pipeline"]) == ("TorchPerceptron", own["sha256"])
    assert record["metrics"]["roc_auc"] > 0.8
