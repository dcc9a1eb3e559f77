"""A number in place of a class: the diabetes example trained, served and watched."""

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import yaml

from hack.demo.patients import ROOT, Patient
from hack.demo.stage import Stage
from tests.drift.node.scene import Scene, condition, kinds, moment, scene
from tests.drift.node.stream import Given, Label, Reply, Stream, anyone, truth
from tests.rollouts.ward import Ward

EXAMPLE = ROOT / "examples" / "diabetes"
TARGET = "progression"
MODEL = "diabetes"
FURTHER = 80.0
"""How much further the illness goes than before, in the target's unit: the model is off by about 45 otherwise."""


async def errors_tell_that_numbers_mean_something_else_now(ward: Ward) -> None:
    """The same patients come all the time. At first their illness goes as far as it went in training, then further."""
    everybody = _patients()
    async with scene(ward, name=MODEL) as here:
        held_out = await _trained(ward)
        await here.play.apply()
        await here.play.stable(f"{MODEL}-v1")
        await here.monitor("labels", performance={"metric": "mae", "maxDrop": 0.2, "minLabels": 100})
        await here.monitor("estimate", performance={"source": "Estimated", "maxDrop": 0.2})
        stream = await _numbers(here, everybody, truth)
        await _answers(stream, everybody[:3])
        async with stream.flowing():
            healthy = await here.verdict("labels", "Healthy")
            assert healthy["performance"]["metric"] == "mae"
            assert healthy["performance"]["reference"] == pytest.approx(held_out, rel=1e-3)
            assert healthy["performance"]["value"] == pytest.approx(held_out, rel=0.25)
            assert healthy["performance"]["labels"] > 1000
            stream.label, since = _further, moment()
            lost = await here.until("labels", lambda status: status.get("cause") == "ConceptDrift")
            assert lost["verdict"] == "PerformanceLoss"
            assert lost["performance"]["low"] > 1.2 * held_out
            assert "inputs are as before: what they mean has changed (concept drift)" in condition(lost)["message"]
            blind = await here.verdict("estimate", "Healthy", after=since - 30)
            assert blind["estimated"]["value"] == pytest.approx(held_out, rel=0.25), (
                "without labels nothing has changed"
            )
        assert kinds(lost) == [], "Alert asks for nothing"
        assert not stream.lost


@dataclass
class _Numbers(Stream):
    """What is said of a prediction is a number."""

    async def _feed(self, session: aiohttp.ClientSession, items: Sequence[Given]) -> Reply:
        numbers: list[Any] = [each._replace(actual=float(each.actual)) for each in items]  # type: ignore[arg-type]
        return await super()._feed(session, numbers)


async def _numbers(here: Scene, patients: Sequence[Patient], label: Label) -> Stream:
    return _Numbers(await here.play._offer(here.name), here.name, anyone(patients), label)


def _further(patient: Patient, _dice: random.Random) -> str:
    return str(float(patient.sick) + FURTHER)


def _patients() -> list[Patient]:
    """All of the example; ``sick`` is how far their illness went."""
    rows = csv.DictReader((EXAMPLE / "diabetes.csv").read_text().splitlines())
    return [Patient(hospital="", held_out=False, sick=row.pop(TARGET), features=dict(row)) for row in rows]


async def _trained(ward: Ward) -> float:
    """Trains the example, in less time; the error on held-out rows."""
    folder = f"{ward.stage.folder}-{MODEL}"
    # Once: of a row that is there three times, two would tell a tree the third one's number in each fold.
    await Stage.upload(ward.stage, "diabetes.csv", (EXAMPLE / "diabetes.csv").read_bytes(), folder=folder)
    training = yaml.safe_load((EXAMPLE / "training.yaml").read_text())
    training["spec"]["data"]["source"]["uri"] = f"s3://data/{folder}/diabetes.csv"
    training["spec"]["tuning"] |= {"trials": 4, "folds": 3}
    training["spec"]["engine"] = {"resources": {"cpu": "100m", "memory": "1Gi"}}
    await ward.apply(training)
    made = await ward.until("ModelVersion", f"{MODEL}-v1", bool)
    assert made["spec"]["approval"] == "Approved", made["spec"]["record"]["gates"]
    return float(made["spec"]["record"]["metrics"]["mae"])


async def _answers(stream: Stream, patients: Sequence[Patient]) -> None:
    """A prediction is one number."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        for patient in patients:
            url = f"{stream.url}/v2/models/{stream.model}/infer"
            async with session.post(url, json={"inputs": patient.tensors()}) as raw:
                body = await raw.json()
            [answer] = [each for each in body["outputs"] if each["name"] == "prediction"]
            assert answer["datatype"] == "FP64", body
            assert 25 < answer["data"][0] < 346, "as far as it ever went in training"
