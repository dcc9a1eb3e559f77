"""Two namespaces of one operator, in which trainings are played side by side."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from hack.demo import patients
from hack.demo.stage import Stage, run
from perennial.api.common import API_VERSION
from perennial.contracts import objects
from tests.rollouts.ward import Play, Ward

Json = dict[str, Any]
PATIENCE = 400.0
"""Seconds for a run to end on two cores that do all stories at once."""
PREDICTOR: Json = {"replicas": 1, "resources": {"cpu": "20m", "memory": "192Mi"}}
FEATURES: Json = {"numeric": ["age", "chol", "thalach"], "categorical": ["sex", "cp"]}
_numbers = itertools.count(1)


@dataclass
class Tenants(Stage):
    """A stage whose operator looks after a second namespace, too."""

    @property
    def other(self) -> Stage:
        """The second one."""
        return Stage(
            namespace=f"{self.namespace}-other", api=self.api, folder=f"{self.folder}-other", release=self.release,
            system=self.system,
        )  # fmt: skip

    async def install(self, *values: str) -> None:
        """The operator, for both namespaces."""
        await self.other.open()
        await super().install(*values, f"namespaces={{{self.namespace},{self.other.namespace}}}")

    async def uninstall(self) -> None:
        """Takes both and their operator away."""
        await self.other._sweep()
        await super().uninstall()
        await self._delete_namespaces(self.other.namespace)


class School(Ward):
    """The namespace of most stories. Nothing is trained here but what they ask for."""

    async def open(self) -> None:
        """Makes it all: namespaces, operator, and Cleveland's patients in the store."""
        await run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", "crds")
        await self.stage.open()
        await self.stage.install("crds.install=false")
        await self.stage.upload("cleveland.csv", patients.table("cleveland"))

    @property
    def data(self) -> str:
        """The folder of the store where the stories' tables are."""
        return f"s3://data/{self.stage.folder}"

    @property
    def other(self) -> "School":
        """The second namespace, which reads the same tables."""
        assert isinstance(self.stage, Tenants)
        return School(self.stage.other, self.everybody, self.folder)

    def story(self) -> "Training":
        """A training of a model of its own."""
        return Training(self, f"t{next(_numbers)}")


@dataclass
class Training:
    """One ModelTraining of the model of the same name."""

    school: School
    name: str
    spec: Json = field(default_factory=dict)

    async def apply(self, *, data: Json | None = None, **spec: Any) -> None:
        """Applies the training; what is not told is small and quick, and a field that is None is left out."""
        source = {"source": {"uri": f"{self.school.data}/cleveland.csv"}}
        made = {
            "model": self.name, "features": FEATURES, "candidates": [{"algorithm": "LogisticRegression"}],
            "tuning": {"trials": 1, "folds": 2}, "retry": {"backoff": "1s", "limit": 5},
            "engine": {"resources": {"cpu": "50m", "memory": "1Gi"}},
            **spec,
            "data": {**source, "target": {"column": "num", "positive": {"above": 0}}, **(data or {})},
        }  # fmt: skip
        self.spec = {key: value for key, value in made.items() if value is not None}
        metadata = {"name": self.name, "labels": {"test": self.name}}
        await self.school.apply(
            {"apiVersion": API_VERSION, "kind": "ModelTraining", "metadata": metadata, "spec": self.spec}
        )

    async def until(self, wanted: Callable[[Json], Any], patience: float = PATIENCE) -> Json:
        """The status once it is as ``wanted``. Raises AssertionError with its last state."""
        found = await self.school.until(
            "ModelTraining", self.name, lambda raw: bool(wanted(raw.get("status") or {})), patience=patience
        )
        return dict(found["status"])

    async def ended(self, number: int = 1) -> Json:
        """Run ``number`` as it ended."""
        over = {"Succeeded", "Failed", "Cancelled"}
        status = await self.until(lambda status: run_of(status, number).get("phase") in over)
        return run_of(status, number)

    async def registered(self, number: int = 1) -> Json:
        """The version that run ``number`` made, which passed its gates."""
        found = await self.ended(number)
        assert found["outcome"] == "Registered", found
        return await self.school.until("ModelVersion", found["version"], bool)

    async def say(self, *words: str) -> str:
        """``kubectl perennial WORDS``; what it said. Raises StageError when it exits with another code than 0."""
        return await run("kubectl", "perennial", *words, "-n", self.school.stage.namespace)

    async def kubectl(self, *words: str) -> str:
        """``kubectl WORDS`` in the namespace."""
        return await run("kubectl", "-n", self.school.stage.namespace, *words)

    async def events(self, reason: str) -> list[str]:
        """What the training's Events of this reason say."""
        found = await self.school.stage.api.list("v1", "Event", self.school.stage.namespace)
        return [
            each["message"]
            for each in found
            if each["reason"] == reason and each["involvedObject"]["name"] == self.name
        ]

    async def event(self, reason: str) -> str:
        """The first Event of this reason, once there is one."""
        watch = self.school.stage.api.watch("v1", "Event", self.school.stage.namespace, metadata_only=False)
        async with asyncio.timeout(PATIENCE):
            async for change in watch:
                raw = change.object
                if change.type == "Applied" and raw["reason"] == reason and raw["involvedObject"]["name"] == self.name:
                    return str(raw["message"])
        raise AssertionError("a watch goes on for ever")

    async def pod(self, number: int = 1) -> str:
        """The pod of run ``number`` once it runs."""
        labels = f"perennial.dev/training={self.name},perennial.dev/run={number}"
        watch = self.school.stage.api.watch(
            "v1", "Pod", self.school.stage.namespace, labels=labels, metadata_only=False
        )
        async with asyncio.timeout(PATIENCE):
            async for change in watch:
                if change.type == "Applied" and change.object["status"].get("phase") == "Running":
                    return str(change.object["metadata"]["name"])
        raise AssertionError("a watch goes on for ever")

    async def stored(self, number: int) -> list[str]:
        """The names of the files that run ``number`` has in the store."""
        root = f"s3://artifacts/{self.school.stage.namespace}/{self.name}/{number}/"
        return await asyncio.to_thread(lambda: sorted(objects.listing(root, os.environ)))

    @asynccontextmanager
    async def served(self, **spec: Any) -> AsyncIterator["Served"]:
        """A ModelDeployment of the model; it is gone afterwards."""
        made = {"predictor": PREDICTOR, "rollout": {"strategy": "Recreate"}, **spec}
        play = Play(self.school, self.name, made)
        try:
            await play.apply()
            await play.until(lambda status: bool(status.get("stable")) and status.get("readyReplicas", 0) > 0, PATIENCE)
            yield Served(play, await play._offer(self.name))
        finally:
            for port in play.offered:
                await run("hack/cluster/forward", port, "stop")
            await self.school.delete("md", self.name)


@dataclass
class Served:
    """The model in service."""

    play: Play
    url: str

    async def answers(self, *rows: Json) -> list[Json]:
        """Each row's outputs: ``predicted`` and ``probability``."""
        tensors = [_tensor(name, [row[name] or None for row in rows]) for name in rows[0]]
        body = await self._post("infer", {"inputs": tensors})
        columns = {each["name"]: each["data"] for each in body["outputs"]}
        return [{name: values[place] for name, values in columns.items()} for place in range(len(rows))]

    async def inputs(self) -> dict[str, str]:
        """What the model is sent: feature and datatype."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/v2/models/{self.play.name}") as raw:
            body = await raw.json()
        return {each["name"]: each["datatype"] for each in body["inputs"]}

    async def _post(self, verb: str, body: Json) -> Json:
        address = f"{self.url}/v2/models/{self.play.name}/{verb}"
        async with aiohttp.ClientSession() as session, session.post(address, json=body) as raw:
            answer: Json = await raw.json()
        assert raw.status == 200, answer
        return answer


def _tensor(name: str, values: list[Any]) -> Json:
    """Numbers where all of the values are some, else texts."""
    try:
        values, datatype = [None if value is None else float(value) for value in values], "FP64"
    except ValueError:
        datatype = "BYTES"
    return {"name": name, "shape": [len(values)], "datatype": datatype, "data": values}


def run_of(status: Json, number: int) -> Json:
    """Run ``number`` as the status tells of it; {} where it does not."""
    return next((dict(each) for each in status.get("runs", []) if each["number"] == number), {})


def said(status: Json, type_: str = "Ready") -> Json:
    """A condition; {} where it is not set."""
    return next((dict(each) for each in status.get("conditions", []) if each["type"] == type_), {})
