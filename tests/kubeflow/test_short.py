"""One short success on a real Kubeflow: what the standard run has of it."""

from typing import Any

import pytest

from tests.kubeflow.conftest import Lab, engine, under_way
from tests.training.ward import run_of, said

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("kubeflow")]
Json = dict[str, Any]


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
