"""What goes wrong on a real node, and what the user is told."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from hack.demo import patients
from hack.demo.stage import Stage, run
from tests.e2e.conftest import MakeStage

TRAINING = """
apiVersion: perennial.dev/v1alpha1
kind: ModelTraining
metadata: {{name: {name}}}
spec:
  model: {name}
  data:
    source: {{uri: "s3://data/{folder}/{file}"}}
    target: {{column: {target}, positive: {{above: {above}}}}}
  features: {{numeric: [age, chol, thalach], categorical: [sex, cp]}}
  candidates: [{{algorithm: LogisticRegression}}]
  tuning: {{trials: 1, folds: 2}}
  engine: {{resources: {{cpu: 100m, memory: 1Gi}}}}
"""
DEPLOYMENT = """
apiVersion: perennial.dev/v1alpha1
kind: ModelDeployment
metadata: {name: good}
spec: {model: good, predictor: {replicas: 1}}
"""


@pytest.mark.xdist_group("bad-input")
@pytest.mark.timeout(600)
async def test_bad_data_and_a_tampered_model_are_refused_with_the_reason(make_stage: MakeStage) -> None:
    stage = await make_stage("e2e-bad")
    await stage.upload("cleveland.csv", patients.table("cleveland"))
    await stage.upload("empty.csv", b"")
    for name, file, target, above in (
        ("good", "cleveland.csv", "num", 0),
        ("no-column", "cleveland.csv", "nun", 0),
        ("one-class", "cleveland.csv", "num", 99),
        ("empty", "empty.csv", "num", 0),
        ("nothing", "absent-*.csv", "num", 0),
    ):
        manifest = TRAINING.format(name=name, folder=stage.folder, file=file, target=target, above=above)
        await apply(stage, manifest)
    for name, reason, words in (
        ("no-column", "DataRejected", ["'nun'", "num"]),
        ("one-class", "DataRejected", ["class"]),
        ("empty", "DataRejected", ["empty.csv", "empty"]),
        ("nothing", "SourceInvalid", ["absent-*.csv"]),
    ):
        ready = await condition(
            stage,
            "ModelTraining",
            name,
            lambda c: (
                c["status"] == "False" and c["reason"] not in {"Running", "RunStarted", "Pending", "Unschedulable"}
            ),
        )
        assert ready["reason"] == reason, ready
        assert all(word in ready["message"] for word in words), ready["message"]

    await condition(stage, "ModelTraining", "good", lambda c: c["status"] == "True")
    await stage.overwrite_artifact("good", 1, "model.onnx", b"something else")
    await apply(stage, DEPLOYMENT)
    refused = await condition(stage, "ModelDeployment", "good", lambda c: "Digest" in c["reason"])
    assert "model.onnx" in refused["message"]
    endpoints = await run(
        "kubectl",
        "-n",
        stage.namespace,
        "get",
        "endpointslices",
        "-o",
        "jsonpath={.items[*].endpoints[*].conditions.ready}",
    )
    assert "true" not in endpoints


@pytest.mark.xdist_group("bad-input")
@pytest.mark.timeout(300)
async def test_a_store_that_is_away_is_named(make_stage: MakeStage) -> None:
    stage = await make_stage("e2e-away")
    patch = '{"stringData":{"AWS_ENDPOINT_URL":"http://127.0.0.1:9"}}'
    await run("kubectl", "-n", stage.namespace, "patch", "secret", "perennial-store", "--type=merge", "-p", patch)
    await apply(stage, TRAINING.format(name="away", folder="away", file="x.csv", target="num", above=0))
    ready = await condition(
        stage, "ModelTraining", "away", lambda c: c["reason"] in {"DataUnavailable", "StoreUnavailable"}
    )
    assert "s3://data/away/x.csv" in ready["message"]


async def apply(stage: Stage, manifest: str) -> None:
    await run("kubectl", "apply", "-n", stage.namespace, "-f", "-", feed=manifest.encode())


async def condition(
    stage: Stage, kind: str, name: str, wanted: Callable[[dict[str, Any]], bool], patience: float = 180
) -> dict[str, Any]:
    """The Ready condition once it is as wanted."""
    deadline = time.monotonic() + patience
    while True:
        conditions = (await stage.get(kind, name)).get("status", {}).get("conditions", [])
        ready: dict[str, Any] = next((each for each in conditions if each["type"] == "Ready"), {})
        if ready and wanted(ready):
            return ready
        assert time.monotonic() < deadline, f"{kind} {name}: {conditions}"
        await asyncio.sleep(0.5)
