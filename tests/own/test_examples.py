"""The examples that bring a pipeline of their own, on the node: applied as they are, measured by us, served."""

import asyncio
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from hack.demo import patients
from hack.demo.patients import ROOT, Patient
from hack.demo.stage import Stage, run
from perennial.api.common import API_VERSION
from perennial.contracts import objects
from tests.e2e.conftest import MakeStage

Json = dict[str, Any]
EXAMPLES = ("torch", "tensorflow")


def training_of(example: str) -> Json:
    """Its manifest."""
    return dict(yaml.safe_load((ROOT / f"examples/own-pipeline-{example}/training.yaml").read_text()))


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_compiled_file_is_that_of_the_sources_and_keeps_the_contract(example: str, tmp_path: Path) -> None:
    folder = ROOT / f"examples/own-pipeline-{example}"
    file, own = folder / "pipeline.yaml", training_of(example)["spec"]["pipeline"]
    assert objects.sha256(file.read_bytes()) == own["sha256"], "training.yaml names another file"
    command = ["kubectl", "perennial", "lint", "pipeline", str(file), "--image", own["image"]]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    again = tmp_path / "pipeline.yaml"
    subprocess.run([ROOT / ".venvs/components/bin/python", folder / "pipeline.py", again], check=True)
    assert again.read_bytes() == file.read_bytes(), (
        "compile it anew: python pipeline.py, and its sha256 into training.yaml"
    )


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.timeout(900)
async def test_what_it_makes_is_measured_and_served(example: str, make_stage: MakeStage, free_port: int) -> None:
    stage, name = await make_stage(f"own-{example}"), f"heart-disease-{example}"
    await stage.upload("cleveland.csv", patients.table("cleveland"))
    compiled = (ROOT / f"examples/own-pipeline-{example}/pipeline.yaml").read_bytes()
    await stage.upload(f"own-pipeline-{example}.yaml", compiled, folder="pipelines")
    await stage.apply(f"examples/own-pipeline-{example}")

    version = await until(stage, "ModelVersion", f"{name}-v1", bool)
    record, own = version["spec"]["record"], training_of(example)["spec"]["pipeline"]
    assert version["spec"]["approval"] == "Approved"
    assert record["algorithm"] == {"torch": "TorchPerceptron", "tensorflow": "KerasPerceptron"}[example]
    assert record["pipeline"] == own["sha256"]
    await until(stage, "ModelDeployment", name, lambda raw: raw.get("status", {}).get("readyReplicas", 0) > 0)

    # Never trained on, and asked of what is served: what the version says must be true of their answers.
    everybody = [each for each in await asyncio.to_thread(patients.load) if each.hospital == "cleveland"]
    held = [each for each in everybody if each.held_out]
    url = await stage.offer(f"{stage.namespace}-{name}", free_port, f"{stage.namespace}/{name}:80")
    answers = await asyncio.gather(*(asked(url, name, each) for each in held))
    sick = [each.sick == "1" for each in held]
    assert record["metrics"]["accuracy"] == pytest.approx(
        sum((answer >= 0.5) == is_so for answer, is_so in zip(answers, sick, strict=True)) / len(held)
    )
    assert record["metrics"]["roc_auc"] == pytest.approx(roc_auc(answers, sick))
    assert record["metrics"]["roc_auc"] > 0.8

    said = await run("kubectl", "perennial", "reproduce", f"{name}-v1", "-n", stage.namespace)
    assert f"{name}-v1 is reproduced" in said, said


async def until(stage: Stage, kind: str, name: str, wanted: Callable[[Json], bool], patience: float = 600.0) -> Json:
    """The object as soon as it is as ``wanted``. Raises AssertionError with what the training says where it fails."""
    last: Json = {}

    async def watched(its: str, called: str, enough: Callable[[Json], bool]) -> Json:
        nonlocal last
        async for change in stage.api.watch(API_VERSION, its, stage.namespace, metadata_only=False):
            if change.type == "Applied" and change.object["metadata"]["name"] == called:
                last = change.object
                if enough(last):
                    return last
        raise AssertionError("a watch goes on for ever")

    def failed(raw: Json) -> bool:
        return any(each["phase"] == "Failed" for each in raw.get("status", {}).get("runs", []))

    found = asyncio.create_task(watched(kind, name, wanted))
    ended = asyncio.create_task(watched("ModelTraining", name.removesuffix("-v1"), failed))
    try:
        done, _ = await asyncio.wait({found, ended}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        assert found in done, f"{kind} {name}: {last.get('status')}"
        return found.result()
    finally:
        found.cancel()
        ended.cancel()


async def asked(url: str, model: str, patient: Patient) -> float:
    """The probability that the patient is sick."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v2/models/{model}/infer", json={"inputs": patient.tensors()}) as answer,
    ):
        assert answer.status == 200, await answer.text()
        outputs = (await answer.json())["outputs"]
    return float(next(each["data"][0] for each in outputs if each["name"] == "probability"))


def roc_auc(answers: Sequence[float], sick: Sequence[bool]) -> float:
    """The share of pairs of a sick and a healthy patient whose answers are in that order, and half of equal ones."""
    ill = [answer for answer, is_so in zip(answers, sick, strict=True) if is_so]
    well = [answer for answer, is_so in zip(answers, sick, strict=True) if not is_so]
    return sum((a > b) + (a == b) / 2 for a in ill for b in well) / (len(ill) * len(well))
