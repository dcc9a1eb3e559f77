"""Which objects have to look again when something changes.

Our four kinds refer to each other by name: each object *listens* to topics and *tells* topics, both read from its JSON.
A change wakes the object itself and whoever listens to what it told before or tells now. Children (Jobs, Pods,
Deployments, Services, HTTPRoutes) wake the owner that their label names, and so does a ConfigMap with a pod overlay
that a person labels like that.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from perennial.adapters.kubernetes import KubernetesApi
from perennial.contracts.names import LABEL_DEPLOYMENT, LABEL_TRAINING
from perennial.reconcile.exported import AskedFor, Lines, exposition, of_deployment, of_monitor
from perennial.reconcile.queue import Key, Queue

Json = dict[str, Any]
Topic = tuple[str, str]

CHILDREN = (
    ("batch/v1", "Job", LABEL_TRAINING),
    ("v1", "Pod", LABEL_TRAINING),
    ("v1", "Pod", LABEL_DEPLOYMENT),
    ("v1", "Service", LABEL_DEPLOYMENT),
    ("v1", "ConfigMap", LABEL_DEPLOYMENT),
    ("apps/v1", "Deployment", LABEL_DEPLOYMENT),
    # Where the Gateway API is not installed, the watch asks again every half minute whether it is.
    ("gateway.networking.k8s.io/v1", "HTTPRoute", LABEL_DEPLOYMENT),
)
OWNERS = {LABEL_TRAINING: "ModelTraining", LABEL_DEPLOYMENT: "ModelDeployment"}
TOGETHER = 0.1
"""Seconds that a child's change waits for the next one: pods change in bursts."""


def key_of(raw: Json) -> Key:
    """(kind, namespace, name) of an object."""
    return raw["kind"], raw["metadata"].get("namespace", ""), raw["metadata"]["name"]


def listens(raw: Json) -> frozenset[Topic]:
    """The topics whose changes concern the object."""
    spec, name = raw.get("spec") or {}, raw["metadata"]["name"]
    match raw["kind"]:
        case "ModelTraining":
            model = spec.get("model", "")
            return frozenset({
                ("training of", model), ("version of", model), ("deployment of", model), ("monitor of training", name),
            })  # fmt: skip
        case "ModelVersion":
            return frozenset({("use of version", name)})
        case "ModelDeployment":
            return frozenset({("version of", spec.get("model", "")), ("monitor of deployment", name)})
        case "DriftMonitor":
            return frozenset({("deployment", spec.get("deployment", ""))})
    return frozenset()


def tells(raw: Json) -> frozenset[Topic]:
    """The topics that the object's changes are about."""
    spec, name = raw.get("spec") or {}, raw["metadata"]["name"]
    match raw["kind"]:
        case "ModelTraining":
            return frozenset({("training of", spec.get("model", ""))})
        case "ModelVersion":
            return frozenset({("version of", (spec.get("record") or {}).get("model", ""))})
        case "ModelDeployment":
            used = {("use of version", version) for version, _ in roles(raw)}
            history = {("use of version", each.get("version", "")) for each in _status(raw).get("history") or ()}
            return frozenset({("deployment", name), ("deployment of", spec.get("model", ""))} | used | history)
        case "DriftMonitor":
            return frozenset({
                ("monitor of deployment", spec.get("deployment", "")),
                ("monitor of training", spec.get("training", "")),
            })  # fmt: skip
    return frozenset()


def roles(raw: Json) -> tuple[tuple[str, str], ...]:
    """(version, role) for each version that a ModelDeployment has in use."""
    status = _status(raw)
    found = (
        ((status.get("stable") or {}).get("version"), "stable"),
        (((status.get("rollout") or {}).get("target") or {}).get("version"), "canary"),
        (((status.get("standby") or {}).get("revision") or {}).get("version"), "standby"),
    )
    return tuple((version, role) for version, role in found if version)


def _status(raw: Json) -> Json:
    return raw.get("status") or {}


class Index:
    """Our objects as far as wake-ups and metrics need them."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, Topic], set[Key]] = defaultdict(set)
        self._known: dict[Key, tuple[frozenset[Topic], frozenset[Topic]]] = {}
        self._roles: dict[Key, tuple[tuple[str, str], ...]] = {}
        self._exported: dict[Key, Lines] = {}
        self._asked: defaultdict[Key, AskedFor] = defaultdict(AskedFor)

    def keys(self) -> set[Key]:
        """All objects that are known."""
        return set(self._known)

    def roles(self) -> Iterator[tuple[str, str, str]]:
        """(namespace/name of the ModelDeployment, version, role)."""
        for (_, namespace, name), found in self._roles.items():
            for version, role in found:
                yield f"{namespace}/{name}", version, role

    def exposition(self) -> str:
        """The metrics of the monitors and deployments, as Prometheus reads them."""
        return exposition(self._exported.values())

    def seen(self, raw: Json) -> set[Key]:
        """Takes in an object that was added or changed; returns who has to look again, itself included."""
        key = key_of(raw)
        woken = self._forget(key)
        heard, told = listens(raw), tells(raw)
        self._known[key] = heard, told
        for topic in heard:
            self._listeners[key[1], topic].add(key)
        if key[0] == "ModelDeployment":
            self._roles[key] = roles(raw)
            self._exported[key] = of_deployment(raw)
        elif key[0] == "DriftMonitor":
            self._exported[key] = of_monitor(raw, self._asked[key])
        return woken | self._hearing(key, told) | {key}

    def gone(self, key: Key) -> set[Key]:
        """Takes in that an object is gone; returns who has to look again."""
        self._asked.pop(key, None)
        return self._forget(key) - {key}

    def _forget(self, key: Key) -> set[Key]:
        heard, told = self._known.pop(key, (frozenset(), frozenset()))
        woken = self._hearing(key, told)
        for topic in heard:
            audience = self._listeners[key[1], topic]
            audience.discard(key)
            if not audience:
                del self._listeners[key[1], topic]
        self._roles.pop(key, None)
        self._exported.pop(key, None)
        return woken

    def _hearing(self, key: Key, told: frozenset[Topic]) -> set[Key]:
        return {each for topic in told for each in self._listeners.get((key[1], topic), ())}


async def watch_children(api: KubernetesApi, queue: Queue, namespaces: tuple[str, ...]) -> None:
    """Wakes owners for ever; ``namespaces`` empty means the whole cluster."""
    async with asyncio.TaskGroup() as group:
        for namespace in namespaces or (None,):
            for api_version, kind, label in CHILDREN:
                group.create_task(_watch(api, queue, namespace, (api_version, kind, label)))


async def _watch(api: KubernetesApi, queue: Queue, namespace: str | None, child: tuple[str, str, str]) -> None:
    api_version, kind, label = child
    async for change in api.watch(api_version, kind, namespace, label):
        if change.type != "Synced":
            metadata = change.object["metadata"]
            queue.add((OWNERS[label], metadata["namespace"], metadata["labels"][label]), TOGETHER)
