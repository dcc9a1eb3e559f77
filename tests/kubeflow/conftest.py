"""A namespace with an operator that knows the Kubeflow Pipelines beside the node."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from hack.demo import patients
from hack.demo.stage import Stage, run
from perennial.adapters.connection import Connection
from perennial.adapters.kubernetes import KubernetesApi
from tests.training.ward import School, Training, run_of

PATIENCE = 400.0
Json = dict[str, Any]


class Lab(School):
    """The namespace, and a look at Kubeflow as a person has it: by its API."""

    async def open(self) -> None:
        """As a school, with pods of this namespace's runs beside Kubeflow."""
        await run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", "crds")
        await self.stage.open()
        await self.stage.install("crds.install=false", "kubeflow.ui=http://127.0.0.1:8080")
        await self.stage.upload("cleveland.csv", patients.table("cleveland"))

    def story(self) -> Training:
        """A training with a name that Kubeflow, which keeps all, has never seen."""
        return Training(self, f"k{secrets.token_hex(4)}")

    async def kubeflow(self, path: str, method: str = "GET") -> Json:
        """What Kubeflow's API answers."""
        url = f"{os.environ['KUBEFLOW_URL']}/apis/v2beta1/{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url) as answer:
            found: Json = await answer.json()
        assert answer.status == 200, found
        return found

    async def runs_of(self, training: str) -> list[Json]:
        """Kubeflow's runs of a training, the oldest first."""
        found = (await self.kubeflow("runs?page_size=200&sort_by=created_at")).get("runs", [])
        uid = (await self.stage.get("ModelTraining", training))["metadata"]["uid"]
        return [each for each in found if f"({uid})" in each.get("description", "")]

    async def run_until(self, run_id: str, wanted: Callable[[Json], Any]) -> Json:
        """A run of Kubeflow once it is as ``wanted``: its API has no watch."""
        async with asyncio.timeout(PATIENCE):
            while not wanted(found := await self.kubeflow(f"runs/{run_id}")):  # noqa: ASYNC110 - it has no events
                await asyncio.sleep(0.5)
        return found

    async def pods(self, run_id: str, phase: str = "") -> list[str]:
        """The names of the pods of a run, in ``phase`` where one is given."""
        chosen = ["--field-selector", f"status.phase={phase}"] if phase else []
        text = await run(
            "kubectl", "-n", "kubeflow", "get", "pods", "-l", f"pipeline/runid={run_id}", "-o", "name", *chosen
        )
        return text.split()

    async def running(self, run_id: str, *, some: bool) -> str:
        """Waits until pods of the run are running (``some``), or none is; the name of one, if any."""
        phases: dict[str, str] = {}
        watch = self.stage.api.watch("v1", "Pod", "kubeflow", labels=f"pipeline/runid={run_id}", metadata_only=False)
        async with asyncio.timeout(PATIENCE):
            async for change in watch:
                if change.type != "Synced":
                    name = change.object["metadata"]["name"]
                    phases[name] = "" if change.type == "Deleted" else change.object["status"].get("phase", "")
                found = [name for name, phase in phases.items() if phase == "Running"]
                if bool(found) == some and (some or phases):
                    return found[0] if found else ""
        raise AssertionError("a watch goes on for ever")


def engine(**kubeflow: Any) -> Json:
    """Kubeflow, with pods that fit side by side on a small node."""
    return {"type": "Kubeflow", "resources": {"cpu": "50m", "memory": "1Gi"}, "kubeflow": kubeflow}


async def under_way(mine: Training, number: int = 1) -> str:
    """The id of the training's run in Kubeflow, once that is known."""
    status = await mine.until(lambda status: (run_of(status, number).get("kubeflow") or {}).get("id"))
    return str(run_of(status, number)["kubeflow"]["id"])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """One namespace of this process's own; taken away at the end."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("no cluster: run these by `make test-kubeflow`")
    if not os.environ.get("KUBEFLOW_URL"):
        pytest.skip("a real Kubeflow is beside the bare node alone, and this is a kind cluster")
    name = "kubeflow-lab"
    async with KubernetesApi(Connection.load()) as api:
        stage = Stage(
            namespace=name, api=api, folder=name, release=f"perennial-{name}", system=f"{name}-system", kubeflow=True
        )
        made = Lab(stage, patients.load(), tmp_path_factory.mktemp(name))
        try:
            await made.open()
            yield made
        finally:
            await made.close()
