"""The stage: the operator installed by its chart, a namespace with its store, and kubectl for the person in front."""

import asyncio
import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import obstore

from hack.demo.patients import ROOT
from perennial.adapters.kubernetes import KubernetesApi
from perennial.api.common import API_VERSION
from perennial.contracts import objects

SYSTEM = "perennial-system"
KUBEFLOW = "http://ml-pipeline.kubeflow.svc:8888"
"""What ``make kubeflow-node`` and Kubeflow's own manifests offer in the cluster."""


class StageError(RuntimeError):
    """A command of the set-up failed; the message is what it printed."""


async def run(*command: str, feed: bytes | None = None) -> str:
    """Runs a command from the top of the repository; raises :class:`StageError` with its output when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate(feed)
    if process.returncode:
        raise StageError(f"{' '.join(command)}\n{out.decode()}")
    return out.decode()


def images() -> dict[str, str]:
    """The references of the three images that ``make images`` built."""
    found: dict[str, str] = json.loads((ROOT / "build/images.json").read_text())
    return found


@dataclass
class Stage:
    """One namespace to play in. ``folder`` parts the object store between plays that run at the same time; with
    ``kubeflow`` the trainings that are applied run in Kubeflow Pipelines.
    """

    namespace: str
    api: KubernetesApi
    folder: str = "heart"
    release: str = "perennial"
    system: str = SYSTEM
    ports: dict[str, int] = field(default_factory=dict)
    kubeflow: bool = False

    async def install(self, *values: str) -> None:
        """Installs or upgrades the operator by its chart, for this namespace alone, and waits until it is ready."""
        built = images()
        settings = [f"image.{name}={built[name]}" for name in ("operator", "components", "serving")]
        settings += ["prometheus.url=http://prometheus.infra.svc:9090", "namespaces={" + self.namespace + "}", *values]
        if self.kubeflow:
            await run("hack/cluster/store-secrets", "kubeflow", self.namespace)
            settings += [f"kubeflow.endpoint={KUBEFLOW}", "kubeflow.tokenAudience="]
        flags = [part for setting in settings for part in ("--set", setting)]
        await run(
            "helm", "upgrade", "--install", self.release, "charts/perennial", "--namespace", self.system,
            "--create-namespace", "--take-ownership", *flags, "--wait", "--timeout", "3m",
        )  # fmt: skip

    async def uninstall(self) -> None:
        """Takes the play away, the operator with it: objects first, the operator, its namespace last."""
        await self._sweep()
        await run("helm", "uninstall", self.release, "--namespace", self.system, "--ignore-not-found", "--wait")
        await self._delete_namespaces(self.namespace, self.system)
        if self.kubeflow:
            secret = f"perennial-store-{self.namespace}"
            await run("kubectl", "-n", "kubeflow", "delete", "secret", secret, "--ignore-not-found")

    async def overwrite_artifact(self, training: str, number: int, file: str, content: bytes) -> None:
        """Tampers with what a run has left in the store."""
        await asyncio.to_thread(_put, f"s3://artifacts/{self.namespace}/{training}/{number}", file, content)

    async def open(self) -> None:
        """An empty namespace with the store's Secrets, and nothing left in the store from a play before."""
        await self._sweep()
        await self._delete_namespaces(self.namespace)
        await run("kubectl", "create", "namespace", self.namespace)
        await run("kubectl", "label", "namespace", self.namespace, "pod-security.kubernetes.io/enforce=restricted")
        await run("hack/cluster/store-secrets", self.namespace)
        for uri in (
            f"s3://data/{self.folder}",
            f"s3://data/{self.folder}-mislabelled",
            f"s3://artifacts/{self.namespace}",
        ):
            await asyncio.to_thread(_empty, uri)

    async def _sweep(self) -> None:
        """Our objects go before their namespace: the operator has finalizers to take off, and its Role goes with it."""
        for name in self.ports:
            await run("hack/cluster/forward", name, "stop")
        if "perennial.dev" in await run("kubectl", "get", "crd", "-o", "name"):
            await run("kubectl", "delete", "dm,md,mt,mv", "--all", "-n", self.namespace, "--timeout", "60s")

    async def _delete_namespaces(self, *names: str) -> None:
        await run("kubectl", "delete", "namespace", *names, "--ignore-not-found", "--wait", "--timeout", "120s")

    async def upload(self, name: str, content: bytes, *, folder: str | None = None) -> None:
        """Puts a table where the training reads."""
        await asyncio.to_thread(_put, f"s3://data/{folder or self.folder}", name, content)

    async def apply(self, overlay: str) -> str:
        """``kubectl apply -k``, as a person or Argo CD would; the answer says what changed."""
        manifests = await run("kubectl", "kustomize", overlay)
        manifests = manifests.replace("s3://data/heart/", f"s3://data/{self.folder}/")
        manifests = manifests.replace("s3://data/mislabelled/", f"s3://data/{self.folder}-mislabelled/")
        if self.kubeflow:
            manifests = manifests.replace("    type: Embedded\n", "    type: Kubeflow\n")
        return await run("kubectl", "apply", "--namespace", self.namespace, "-f", "-", feed=manifests.encode())

    async def offer(self, name: str, port: int, target: str) -> str:
        """Forwards a Service on 127.0.0.1 and returns its address."""
        await run("hack/cluster/forward", name, str(port), target)
        self.ports[name] = port
        return f"http://127.0.0.1:{port}"

    async def get(self, kind: str, name: str) -> dict[str, Any]:
        """An object of ours as the API server holds it; empty where there is none."""
        return await self.api.get(API_VERSION, kind, self.namespace, name) or {}

    async def versions(self) -> Sequence[dict[str, Any]]:
        """All ModelVersions here, by number."""
        found = await self.api.list(API_VERSION, "ModelVersion", self.namespace)
        return sorted(found, key=lambda each: int(each["spec"]["record"]["number"]))


def _put(uri: str, name: str, content: bytes) -> None:
    objects.write(f"{uri}/{name}", content, os.environ)


def _empty(uri: str) -> None:
    store, path = objects.open_store(uri, os.environ)
    for batch in obstore.list(store, prefix=path or None):
        obstore.delete(store, [entry["path"] for entry in batch])
