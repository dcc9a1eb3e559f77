"""A namespace with an operator, a trained model, and as many versions of it as tests need, good ones and bad ones."""

import asyncio
import copy
import hashlib
import itertools
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml

from hack.demo import patients
from hack.demo.patients import ROOT, Patient
from hack.demo.stage import Stage, images, run
from perennial.api.common import API_VERSION
from perennial.cli.deployment import headline, view
from perennial.contracts import objects
from tests.api.process import free_port
from tests.rollouts.client import Client
from tests.rollouts.killing import restart_at_once

Kind = Literal["good", "errors", "slow", "inverted", "shifted", "tampered"]
Json = dict[str, Any]
TRAINED = "heart"
PATIENCE = 240.0
"""Seconds for a state to come, on a machine that does everything at once."""
PROXY = """
import asyncio
async def pump(source, sink):
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    finally:
        sink.close()
async def join(reader, writer):
    far = await asyncio.open_connection("prometheus.infra.svc", 9090)
    await asyncio.gather(pump(reader, far[1]), pump(far[0], writer), return_exceptions=True)
async def main():
    async with await asyncio.start_server(join, port=9090) as server:
        await server.serve_forever()
asyncio.run(main())
"""
"""The way to Prometheus, which tests can cut for their own operator without taking it from everybody."""
_numbers = itertools.count(1)


@dataclass
class Ward:
    """The namespace. ``record`` is that of the version trained here; ``folder`` is a place for files."""

    stage: Stage
    everybody: list[Patient]
    folder: Path
    record: Json = field(default_factory=dict)
    models: dict[str, bytes] = field(default_factory=dict)

    async def open(self) -> None:
        """Makes it all: namespace, proxy, operator, and one training."""
        stage = self.stage
        await run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", "crds")
        await stage.open()
        await self.apply(*_proxy(images()["operator"]))
        await stage.install(
            "crds.install=false",
            "modelVersions.protect=false",
            f"prometheus.url=http://prometheus.{stage.namespace}.svc:9090",
        )
        await restart_at_once(stage)
        await stage.upload("cleveland.csv", patients.table("cleveland"))
        training = yaml.safe_load((ROOT / "examples/heart-disease/training.yaml").read_text())
        training["metadata"]["name"] = training["spec"]["model"] = TRAINED
        training["spec"]["data"]["source"]["uri"] = f"s3://data/{stage.folder}/*.csv"
        training["spec"]["tuning"] = {**training["spec"].get("tuning", {}), "trials": 2, "folds": 2}
        training["spec"]["engine"] = {"resources": {"cpu": "100m", "memory": "1Gi"}}
        await self.apply(training)
        trained = await self.until("ModelVersion", f"{TRAINED}-v1", bool)
        self.record = trained["spec"]["record"]
        self.models["good"] = await self._read("model.onnx")
        for kind in ("errors", "slow", "inverted", "shifted", "other"):
            self.models[kind] = await asyncio.to_thread(_variant, kind, self.models["good"])

    async def close(self) -> None:
        """Takes it all away."""
        await self.stage.uninstall()

    async def apply(self, *manifests: Json) -> None:
        """``kubectl apply`` in this namespace."""
        text = yaml.safe_dump_all(manifests).encode()
        await run("kubectl", "apply", "-n", self.stage.namespace, "-f", "-", feed=text)

    async def delete(self, *what: str) -> None:
        """``kubectl delete`` in this namespace."""
        await run("kubectl", "delete", "-n", self.stage.namespace, *what, "--ignore-not-found", "--wait")

    async def until(
        self,
        kind: str,
        name: str,
        wanted: Callable[[Json], bool],
        *,
        patience: float = PATIENCE,
        api_version: str = API_VERSION,
    ) -> Json:
        """The object as soon as it is as ``wanted``, by a watch. Raises AssertionError with its last state."""
        last: Json = {}
        watch = self.stage.api.watch(api_version, kind, self.stage.namespace, metadata_only=False)
        try:
            async with asyncio.timeout(patience):
                async for change in watch:
                    if change.type != "Applied" or change.object["metadata"]["name"] != name:
                        continue
                    last = change.object
                    if wanted(last):
                        return last
        except TimeoutError:
            raise AssertionError(f"not within {patience:g} s: {_account(last)}") from None
        raise AssertionError("a watch goes on for ever")

    @asynccontextmanager
    async def play(self, spec: Json) -> AsyncIterator["Play"]:
        """A ModelDeployment of its own model; it is gone afterwards."""
        play = Play(self, f"r{next(_numbers)}", copy.deepcopy(spec))
        try:
            yield play
        finally:
            for port in play.offered:
                await run("hack/cluster/forward", port, "stop")
            await self.delete("md,mv", "--selector", f"test={play.name}")

    async def cut_prometheus(self) -> None:
        """Takes the operator's way to Prometheus away."""
        await run("kubectl", "-n", self.stage.namespace, "scale", "deployment/prometheus", "--replicas=0")
        await self._proxies(0)

    async def join_prometheus(self) -> None:
        """Gives it back."""
        await run("kubectl", "-n", self.stage.namespace, "scale", "deployment/prometheus", "--replicas=1")
        await self._proxies(1)

    async def _proxies(self, count: int) -> None:
        await self.until(
            "Deployment", "prometheus", api_version="apps/v1",
            wanted=lambda raw: raw["status"].get("readyReplicas", 0) == count == raw["status"].get("replicas", 0),
        )  # fmt: skip

    async def _read(self, file: str) -> bytes:
        root, _, name = self.record["artifacts"][file]["uri"].rpartition("/")
        return await asyncio.to_thread(objects.read, f"{root}/{name}", os.environ)


@dataclass
class Play:
    """One ModelDeployment of the model ``name``, whose versions the test makes."""

    ward: Ward
    name: str
    spec: Json
    count: int = 0
    offered: list[str] = field(default_factory=list)

    @property
    def labels(self) -> dict[str, str]:
        return {"test": self.name}

    async def version(self, kind: Kind = "good") -> str:
        """Registers another version, approved; its name."""
        self.count += 1
        record = copy.deepcopy(self.ward.record)
        folder = f"s3://artifacts/{self.ward.stage.namespace}/{self.name}/{self.count}"
        # A good version that is no copy of the first one has another digest, as a retrained one would.
        content = self.ward.models["other" if kind == "tampered" or (kind == "good" and self.count > 1) else kind]
        written = b"something else" if kind == "tampered" else content
        await asyncio.to_thread(objects.write, f"{folder}/model.onnx", written, os.environ)
        record["artifacts"]["model.onnx"] = {
            "uri": f"{folder}/model.onnx", "sha256": hashlib.sha256(content).hexdigest(), "size": len(content),
        }  # fmt: skip
        record |= {"model": self.name, "number": self.count}
        name = f"{self.name}-v{self.count}"
        metadata = {"name": name, "labels": self.labels}
        spec = {"approval": "Approved", "record": record}
        await self.ward.apply({"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": metadata, "spec": spec})
        return name

    async def apply(self, **predictor: Any) -> None:
        """Applies the ModelDeployment; ``predictor`` changes its predictor."""
        self.spec = {**self.spec, "model": self.name, "predictor": {**self.spec.get("predictor", {}), **predictor}}
        metadata = {"name": self.name, "labels": self.labels}
        await self.ward.apply(
            {"apiVersion": API_VERSION, "kind": "ModelDeployment", "metadata": metadata, "spec": self.spec}
        )

    async def serving(self) -> str:
        """Version 1 serves; its name."""
        version = await self.version()
        await self.apply()
        await self.stable(version)
        return version

    async def until(self, wanted: Callable[[Json], bool], patience: float = PATIENCE) -> Json:
        """The status as soon as it is as ``wanted``."""
        found = await self.ward.until(
            "ModelDeployment", self.name, lambda raw: wanted(raw.get("status") or {}), patience=patience
        )
        return dict(found["status"])

    async def stable(self, version: str) -> Json:
        """The status once ``version`` has all requests and nothing is under way."""
        return await self.until(
            lambda status: (
                (status.get("stable") or {}).get("version") == version
                and not status.get("rollout")
                and status["readyReplicas"] > 0
            )
        )

    async def step(self, version: str, number: int = 0) -> Json:
        """The status once ``version`` is in this stage of its rollout."""
        return await self.until(
            lambda status: (
                (rollout := status.get("rollout") or {}).get("step", -1) >= number
                and rollout["target"]["version"] == version
            )
        )

    async def say(self, verb: str, *options: str) -> str:
        """``kubectl perennial VERB``; what it said. Raises StageError when it was refused."""
        return await run(
            "kubectl", "perennial", verb, self.name, "-n", self.ward.stage.namespace, "--timeout", "60", *options
        )

    async def client(
        self, *, preview: bool = False, rate: float = 20.0, connections: int = 6, headers: dict[str, str] | None = None
    ) -> Client:
        """Keep-alive clients of the model, through the Gateway where there is one, or of its preview Service."""
        gateway = self.spec.get("traffic", {}).get("provider") == "Gateway" and not preview
        if gateway:
            url, headers = os.environ["GATEWAY_URL"], {"Host": self.spec["traffic"]["hostnames"][0], **(headers or {})}
        else:
            service = f"{self.name}-preview" if preview else self.name
            url = await self._offer(service)
        return Client(url, self.name, self.ward.everybody, rate=rate, connections=connections, headers=headers or {})

    async def _offer(self, service: str) -> str:
        name, port = f"{self.ward.stage.namespace}-{service}", free_port()
        await run("hack/cluster/forward", name, str(port), f"{self.ward.stage.namespace}/{service}:80")
        self.offered.append(name)
        return f"http://127.0.0.1:{port}"

    async def pods(self) -> list[Json]:
        """The pods of the deployment."""
        return await self.ward.stage.api.list(
            "v1", "Pod", self.ward.stage.namespace, labels=f"perennial.dev/deployment={self.name}"
        )

    async def quarantined(self) -> dict[str, str]:
        """The versions that are kept out, with the reason."""
        found = await self.ward.stage.versions()
        key = f"quarantine.perennial.dev/{self.name}"
        marks = {each["metadata"]["name"]: each["metadata"].get("annotations", {}).get(key, "") for each in found}
        return {name: mark for name, mark in marks.items() if mark}


def _account(raw: Json) -> str:
    if raw.get("kind") != "ModelDeployment":
        return str(raw.get("status") or raw)[:3000]
    return f"{headline(view(raw, [], [], []), datetime.now(UTC))}\n{raw.get('status')}"[:4000]


def _variant(kind: str, model: bytes) -> bytes:
    command = [str(ROOT / part) for part in (".venvs/components/bin/python", "tests/rollouts/variants.py")] + [kind]
    return subprocess.run(command, input=model, check=True, capture_output=True).stdout


def _proxy(image: str) -> tuple[Json, Json]:
    labels = {"app": "prometheus"}
    container = {
        "name": "proxy", "image": image, "command": ["/opt/perennial/bin/python", "-c", PROXY],
        "readinessProbe": {"tcpSocket": {"port": 9090}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }  # fmt: skip
    pod = {
        "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False, "containers": [container],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
    }  # fmt: skip
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": "prometheus"}
    return (
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"port": 9090}]},
        },
    )
