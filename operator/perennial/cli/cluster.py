"""The cluster that the person's kubectl would talk to, and its refusals in plain words."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from kubernetes import client, config

from perennial.adapters.connection import Connection
from perennial.adapters.kubernetes import ApiError, KubernetesApi
from perennial.api.common import API_VERSION, Object
from perennial.api.deployment import ModelDeployment
from perennial.api.drift import DriftMonitor
from perennial.api.training import ModelTraining
from perennial.api.version import ModelVersion

MANAGER = "kubectl-perennial"
KINDS: tuple[type[Object], ...] = (ModelDeployment, ModelTraining, ModelVersion, DriftMonitor)
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

Json = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """Which cluster, as whom, and in which namespace (None: in all of them)."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    everywhere: bool = False


@dataclass(frozen=True)
class Cluster:
    """An open connection; ``namespace`` is the one to look in. ``lost`` is set when reading got no answer."""

    api: KubernetesApi
    namespace: str
    lost: asyncio.Event

    async def read(self, kind: type[Object], name: str) -> Json:
        """The object. Raises click.ClickException where there is none."""
        found = await self.api.get(API_VERSION, kind.KIND, self.namespace, name)
        if found is None:
            raise click.ClickException(f"there is no {kind.KIND} {name} in the namespace {self.namespace}")
        return found

    async def whoami(self) -> str:
        """The person's user name; empty where the API server does not tell it."""
        try:
            return await self.api.whoami()
        except ApiError as error:
            if error.status not in {403, 404}:
                raise
            return ""


def place(name: str, default: type[Object]) -> tuple[type[Object], str]:
    """Kind and name from ``heart``, ``md/heart`` or ``modeldeployments/heart``. Raises click.UsageError."""
    prefix, slash, rest = name.rpartition("/")
    if not slash:
        return default, name
    word = prefix.lower().removesuffix(".perennial.dev")
    for kind in KINDS:
        if word in {kind.SHORT, kind.KIND.lower(), kind.PLURAL}:
            return kind, rest
    raise click.UsageError(f"{prefix!r} is none of {', '.join(kind.SHORT for kind in KINDS)}")


@contextlib.asynccontextmanager
async def connect(target: Target) -> AsyncIterator[Cluster]:
    """Opens the connection; the API server's refusals leave it as click.ClickException."""
    try:
        connection, namespace = _load(target)
    except (config.ConfigException, OSError) as error:
        raise click.ClickException(f"no cluster: {error}") from error
    lost = asyncio.Event()

    def observe(_verb: str, _kind: str, status: int) -> None:
        if status == 0:
            lost.set()

    try:
        async with KubernetesApi(connection, observe, MANAGER) as api:
            yield Cluster(api, namespace, lost)
    except ApiError as error:
        raise click.ClickException(in_words(error, connection.host)) from error


def in_words(error: ApiError, host: str) -> str:
    """What the person can do about it."""
    match error.status:
        case 0:
            return f"{host} does not answer: {error.message}"
        case 401:
            return f"{host} does not know you: log in again"
        case 403:
            return f"not allowed: {error.message}"
        case 404 if not error.message or "could not find" in error.message or "page not found" in error.message:
            return "this cluster does not know Perennial's kinds: install its chart first"
    return error.message or str(error)


def _load(target: Target) -> tuple[Connection, str]:
    """The connection and the namespace, found as kubectl finds them."""
    configuration = client.Configuration()
    file = target.kubeconfig or os.environ.get("KUBECONFIG")
    if not file and not target.context and os.environ.get("KUBERNETES_SERVICE_HOST"):
        config.load_incluster_config(client_configuration=configuration)
        return Connection.of(configuration), target.namespace or _POD_NAMESPACE.read_text().strip()
    config.load_kube_config(file, target.context, client_configuration=configuration)
    contexts, active = config.list_kube_config_contexts(file)
    chosen = next((each for each in contexts if each["name"] == target.context), active)
    return Connection.of(configuration), target.namespace or chosen["context"].get("namespace") or "default"
