"""Trainings that a real Kubeflow Pipelines runs: to a version, to each other end, and with what only it can do."""

from typing import Any

import pytest
import yaml

from hack.demo.patients import ROOT
from hack.demo.stage import run
from tests.kubeflow.conftest import Lab
from tests.training.ward import Training, run_of, said

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="session")]
Json = dict[str, Any]


LONG: Json = {
    "tuning": {"trials": 500, "folds": 5},
    "candidates": [{"algorithm": "HistGradientBoosting", "space": "Builtin"}],
}
"""A search that does not end before it is ended."""
SHORT: Json = {"tuning": {"trials": 1, "folds": 2}, "candidates": [{"algorithm": "LogisticRegression"}]}


def engine(**kubeflow: Any) -> Json:
    """Kubeflow, with pods that fit side by side on a small node."""
    return {"type": "Kubeflow", "resources": {"cpu": "50m", "memory": "1Gi"}, "kubeflow": kubeflow}


async def under_way(mine: Training, number: int = 1) -> str:
    """The id of the training's run in Kubeflow, once that is known."""
    status = await mine.until(lambda status: (run_of(status, number).get("kubeflow") or {}).get("id"))
    return str(run_of(status, number)["kubeflow"]["id"])


async def test_a_training_becomes_a_version_and_kubeflow_shows_how(lab: Lab) -> None:
    mine = lab.story()
    await mine.apply(engine=engine())
    run_id = await under_way(mine)
    seen = set()

    def told(status: Json) -> bool:
        seen.add(run_of(status, 1).get("progress", ""))
        return run_of(status, 1).get("phase") != "Running"

    await mine.until(told)
    version = await mine.registered()
    assert version["spec"]["record"]["run"] == 1
    (there,) = await lab.runs_of(mine.name)
    assert (there["run_id"], there["state"]) == (run_id, "SUCCEEDED")
    status = await mine.until(lambda status: said(status).get("reason") == "Registered")
    assert run_of(status, 1)["kubeflow"]["url"].endswith(f"/#/runs/details/{run_id}")
    assert any("/8" in each for each in seen), f"it was told how far it is: {seen}"
    pipeline = await lab.kubeflow(f"pipelines/{there['pipeline_version_reference']['pipeline_id']}")
    experiment = await lab.kubeflow(f"experiments/{there['experiment_id']}")
    named = f"{lab.stage.namespace}.{mine.name}"
    assert (pipeline["display_name"], experiment["display_name"]) == (named, named)
    assert (await mine.kubectl("get", "jobs", "-o", "name")) == ""
    assert "finalizers" not in (await lab.stage.get("ModelTraining", mine.name))["metadata"]
    # Another run of the same definition needs no other version of the pipeline.
    await mine.say("train", mine.name)
    await mine.registered(2)
    versions = await lab.kubeflow(f"pipelines/{pipeline['pipeline_id']}/versions")
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
    ended = await lab.run_until(run_id, lambda run: run["state"] in {"FAILED", "CANCELED"})
    assert "CANCELING" in [each["state"] for each in ended["state_history"]]
    await lab.running(run_id, some=False)


async def test_a_pod_that_is_taken_away_is_no_end_of_the_training(lab: Lab) -> None:
    mine = lab.story()
    await mine.apply(engine=engine(), **LONG)
    run_id = await under_way(mine)
    await mine.until(lambda status: str(run_of(status, 1).get("progress")).startswith("tune"))
    pod = await lab.running(run_id, some=True)
    await run("kubectl", "-n", "kubeflow", "delete", "pod", pod, "--force", "--grace-period=0")
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
    run_id = (await lab.runs_of(mine.name))[0]["run_id"]
    searches = [name for name in await lab.pods(run_id) if "container-impl" in name]
    assert len(searches) >= 9, searches
    await mine.say("train", mine.name)
    second = await mine.registered(2)
    model = "model.onnx"
    assert (
        second["spec"]["record"]["artifacts"][model]["sha256"] == first["spec"]["record"]["artifacts"][model]["sha256"]
    )
    again = (await lab.runs_of(mine.name))[1]["run_id"]
    assert len(await lab.pods(again)) < len(await lab.pods(run_id))


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
