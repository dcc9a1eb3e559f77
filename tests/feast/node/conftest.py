"""A namespace with an operator that can read Feast repositories, and one such repository in the store."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from hack.demo import patients
from hack.demo.patients import ROOT
from hack.demo.stage import Stage, images, run
from perennial.adapters.connection import Connection
from perennial.adapters.kubernetes import KubernetesApi
from tests.training.conftest import played  # noqa: F401 - a fixture of the stories here
from tests.training.ward import School

NAME = "feast"
PYTHON = ROOT / ".venvs/feast/bin/python"
TABLES = """
import sys, pandas as pd
folder = sys.argv[1]
table = pd.read_csv(sys.argv[2])
table.insert(0, "patient", range(1, len(table) + 1))
at = pd.Timestamp("2026-05-01", tz="UTC")
features = ["age", "sex", "cp", "chol", "thalach"]
known = table[["patient", *features]].astype("float64").astype({"patient": "int64"})
before = known.assign(event_timestamp=at - pd.Timedelta(days=90), chol=1.0)
later = known.assign(event_timestamp=at + pd.Timedelta(days=1), chol=999.0)
pd.concat([before, known.assign(event_timestamp=at), later]).to_parquet(f"{folder}/patients.parquet", index=False)
table["event_timestamp"] = "2026-05-01T12:00:00Z"
table[["patient", "event_timestamp", "num"]].to_csv(f"{folder}/rows.csv", index=False)
table[["patient", "event_timestamp", "num", *features]].to_csv(f"{folder}/joined.csv", index=False)
"""
"""Of each patient a value that was superseded, the one that was known, and one that came to be known later."""


@dataclass
class Clinic(School):
    """The namespace. ``settings`` are the repository's feature_store.yaml."""

    settings: str = ""

    async def open(self) -> None:
        """Makes it all: namespace, operator, tables and registry."""
        await run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", "crds")
        await self.stage.open()
        await self.stage.install("crds.install=false", f"image.feast={images()['feast']}")
        await asyncio.to_thread(_tables, self.folder)
        for name in ("patients.parquet", "rows.csv", "joined.csv"):
            await self.stage.upload(name, (self.folder / name).read_bytes())
        self.settings = yaml.safe_dump(settings({"path": f"{self.data}/registry.db"}))
        (self.folder / "feature_store.yaml").write_text(self.settings)
        await asyncio.to_thread(_apply, self.data, self.folder)


def settings(registry: dict[str, Any]) -> dict[str, Any]:
    """A feature_store.yaml with this registry."""
    return {
        "project": "clinic",
        "provider": "local",
        "registry": registry,
        "offline_store": {"type": "dask"},
        "entity_key_serialization_version": 3,
    }


def _tables(folder: Path) -> None:
    (folder / "cleveland.csv").write_bytes(patients.table("cleveland"))
    subprocess.run([PYTHON, "-c", TABLES, folder, folder / "cleveland.csv"], check=True)


def _apply(data: str, folder: Path) -> None:
    environ = {**os.environ, "FEAST_S3_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"]}
    subprocess.run([PYTHON, Path(__file__).with_name("repository.py"), data, folder], check=True, env=environ)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def school(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Clinic]:
    """A namespace of this process's own; taken away at the end."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("no cluster: run these by `make test-feast`")
    async with KubernetesApi(Connection.load()) as api:
        stage = Stage(namespace=NAME, api=api, folder=NAME, release=f"perennial-{NAME}", system=f"{NAME}-system")
        made = Clinic(stage, patients.load(), tmp_path_factory.mktemp(NAME))
        try:
            await made.open()
            yield made
        finally:
            await made.close()
