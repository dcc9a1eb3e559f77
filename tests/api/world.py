"""A namespace in which the operator is driven by hand: no workers, no sleeps, a clock that the test moves.

The test plays everybody else: the person with kubectl, the Job and Deployment controllers, the kubelet, Prometheus.
The operator's process can be ended after any single write, and a new one takes its place.
"""

import base64
import contextlib
import copy
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from perennial.adapters.kubernetes import Conflict, KubernetesApi
from perennial.adapters.prometheus import Prometheus, PrometheusUnavailable, Series
from perennial.adapters.store import Store
from perennial.api.common import API_VERSION
from perennial.contracts.names import STORE_READ_SECRET, STORE_ROOT, STORE_SECRET
from perennial.contracts.result import RunOutcome
from perennial.domain.training.kubeflow import Defaults
from perennial.reconcile.apply import Applier
from perennial.reconcile.controller import Context, Controller
from perennial.reconcile.kubeflow import Kubeflow
from perennial.reconcile.loop import Reconciler
from perennial.reconcile.resync import KINDS
from perennial.settings import Settings
from perennial.telemetry import Metrics
from tests.api.apiserver import ApiServer

Json = dict[str, Any]
Nature = Callable[["World"], Awaitable[None]]
Scenario = Callable[["World"], Awaitable[None]]
Controllers = Callable[[], dict[str, Controller[Any]]]

EPOCH = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
"""Near the API server's own clock, which sets creationTimestamp, and the same in every course of one test."""
CHILDREN = (
    ("batch/v1", "Job"), ("v1", "ConfigMap"), ("v1", "Secret"), ("v1", "Service"), ("apps/v1", "Deployment"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"), ("policy/v1", "PodDisruptionBudget"),
)  # fmt: skip
ROUNDS = 60


class Ended(BaseException):
    """The operator's process has ended. Not an Exception: no error handling of the operator's may catch it."""


class UserApi(KubernetesApi):
    """Everybody else's connection: it counts the writes that changed something."""

    def __init__(self, server: ApiServer) -> None:
        super().__init__(server.connection())
        self.changes = 0
        self._seen: set[str] = set()

    async def _write(self, verb: str, method: str, target: Json, body: Json, **more: Any) -> Json:
        answer = await super()._write(verb, method, target, body, **more)
        version = answer.get("metadata", {}).get("resourceVersion", "")
        self.changes += verb == "delete" or version not in self._seen
        self._seen.add(version)
        return answer


class OperatorApi(KubernetesApi):
    """The operator's connection: it counts, and the process ends after the ``end_after``-th write (0: never): the first
    of ``ends``, and in each new process the next of them.
    """

    def __init__(self, server: ApiServer, ends: range = range(0)) -> None:
        super().__init__(server.connection(), self._count)
        self.ends, self.end_after = ends, next(iter(ends), 0)
        self.writes: list[str] = []
        self.calls: Counter[str] = Counter()

    def _count(self, verb: str, _kind: str, _status: int) -> None:
        self.calls[verb] += 1

    async def _write(self, verb: str, method: str, target: Json, body: Json, **more: Any) -> Json:
        if self.end_after and len(self.writes) >= self.end_after:
            raise Ended
        answer = await super()._write(verb, method, target, body, **more)
        self.writes.append(
            f"{verb} {target['kind']}/{target['metadata']['name']} {more.get('subresource', '')}".strip()
        )
        if len(self.writes) == self.end_after:
            raise Ended
        return answer


class ScriptedPrometheus(Prometheus):
    """Answers by ``answer(expression)``; without one it is away."""

    def __init__(self) -> None:
        super().__init__("http://prometheus.test")
        self.answer: Callable[[str], list[Series]] | None = None

    async def query(self, expr: str, at: float) -> list[Series]:
        return self._ask_script(expr)

    async def query_range(self, expr: str, start: float, end: float, step: float) -> list[Series]:
        return self._ask_script(expr)

    def _ask_script(self, expr: str) -> list[Series]:
        if self.answer is None:
            raise PrometheusUnavailable("Prometheus is away")
        return self.answer(expr)


@dataclass
class World:
    """One namespace, one operator (replaced when it ends), one clock. ``user`` is everybody else's connection."""

    server: ApiServer
    user: UserApi
    operator: OperatorApi
    namespace: str
    folder: Path
    controllers: Controllers
    now: datetime = EPOCH
    prometheus: ScriptedPrometheus = field(default_factory=ScriptedPrometheus)
    metrics: Metrics = field(default_factory=Metrics)
    natures: list[Nature] = field(default_factory=list)
    children: tuple[tuple[str, str], ...] = CHILDREN
    """The kinds whose objects belong to the outcome, beside our own."""
    opened: list[Kubeflow] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    """After how many writes the operator has ended, each time that it has."""
    kubeflow: str = ""
    """Address of the operator's Kubeflow Pipelines."""
    requeue: float | None = None
    """Seconds to the earliest look that the last settling asked for."""

    def __post_init__(self) -> None:
        self._reconciler = self._start()

    @property
    def settings(self) -> Settings:
        """The operator's settings."""
        return Settings(
            components_image="localhost/perennial/components:test", serving_image="localhost/perennial/serving:test",
            prometheus_url="http://prometheus.test", namespaces=(self.namespace,), lease_namespace=self.namespace,
            identity="operator-of-the-test", kubeflow=Defaults(self.kubeflow, ui="http://ui.test"),
        )  # fmt: skip

    def _start(self) -> Reconciler:
        kubeflow = Kubeflow(self.operator, self.settings.kubeflow_access, clock=self._seconds)
        self.opened.append(kubeflow)
        context = Context(self.operator, self.prometheus, Store(self.operator), self.settings, kubeflow)
        applier = Applier(self.operator, kubeflow, "operator-of-the-test")
        return Reconciler(context, self.controllers(), applier, self.metrics, lambda: self.now)

    def _seconds(self) -> float:
        return self.now.timestamp()

    def use_kubeflow(self, url: str) -> None:
        """The operator's Kubeflow Pipelines is at ``url``."""
        self.kubeflow = url
        self._reconciler = self._start()

    def restart(self) -> None:
        """A new process in the place of the operator's: it knows what the cluster holds and nothing else."""
        operator = self.operator
        operator.end_after = next((each for each in operator.ends if each > len(operator.writes)), 0)
        self._reconciler = self._start()

    def advance(self, seconds: float) -> None:
        """Lets time pass, for the operator alone."""
        self.now += timedelta(seconds=seconds)

    # What people and the cluster do

    async def apply(self, manifest: Json) -> Json:
        """``kubectl apply`` of one object in this namespace (by another field manager than the operator's)."""
        made = {"apiVersion": API_VERSION, **copy.deepcopy(manifest)}
        made["metadata"] = {**made["metadata"], "namespace": self.namespace}
        current = await self.get(made["kind"], made["metadata"]["name"], made["apiVersion"])
        if current is None:
            assert await self.user.create(made)
        else:
            await self.user.replace({**current, **made, "metadata": {**current["metadata"], **made["metadata"]}})
        return await self.read(made["kind"], made["metadata"]["name"], made["apiVersion"])

    async def annotate(self, kind: str, name: str, annotations: dict[str, str | None]) -> None:
        """``kubectl annotate`` of one of our objects."""
        await self.user.annotate(API_VERSION, kind, self.namespace, name, annotations)

    async def delete(self, kind: str, name: str, api_version: str = API_VERSION) -> None:
        """``kubectl delete``; nothing that the object owns is collected: no controller of that kind runs here."""
        await self.user.delete(api_version, kind, self.namespace, name)

    async def get(self, kind: str, name: str, api_version: str = API_VERSION) -> Json | None:
        """The object, or None."""
        return await self.user.get(api_version, kind, self.namespace, name)

    async def read(self, kind: str, name: str, api_version: str = API_VERSION) -> Json:
        """The object, which must be there."""
        found = await self.get(kind, name, api_version)
        assert found is not None, f"{kind} {name} is not there"
        return found

    async def all(self, kind: str, api_version: str = API_VERSION) -> list[Json]:
        """All objects of a kind in this namespace."""
        return await self.user.list(api_version, kind, self.namespace)

    async def condition(self, kind: str, name: str, type_: str = "Ready") -> Json:
        """A condition of one of our objects; {} when it is not set."""
        conditions = (await self.read(kind, name)).get("status", {}).get("conditions", [])
        return next((each for each in conditions if each["type"] == type_), {})

    async def events(self) -> list[tuple[str, str]]:
        """(reason, message) of every Event in this namespace."""
        found = await self.user.list("events.k8s.io/v1", "Event", self.namespace)
        return [(each["reason"], each.get("note", "")) for each in found]

    def put(self, path: str, data: bytes) -> str:
        """Puts a file in the namespace's store, at ``<root>/<path>``; returns its address."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return f"file://{target}"

    # What the operator does

    async def reconcile(self, kind: str, name: str) -> None:
        """One look of the operator at one object; if its process ends there, a new one looks again."""
        try:
            result = await self._reconciler.reconcile((kind, self.namespace, name))
        except Ended:
            self.ends.append(len(self.operator.writes))
            self.restart()
            await self.reconcile(kind, name)
            return
        except Conflict:
            return
        if result.requeue is not None and not result.changed:
            self.requeue = min(self.requeue or result.requeue, result.requeue)

    async def settle(self) -> None:
        """Looks at every object, and lets the natures act, until nobody writes any more."""
        for _ in range(ROUNDS):
            before = len(self.operator.writes), self.user.changes
            self.requeue = None
            for kind in KINDS:
                for raw in await self.all(kind):
                    await self.reconcile(kind, raw["metadata"]["name"])
            for nature in self.natures:
                await nature(self)
            if (len(self.operator.writes), self.user.changes) == before:
                return
        raise AssertionError(f"it does not come to rest; the last writes: {self.operator.writes[-12:]}")


@contextlib.asynccontextmanager
async def make_world(
    server: ApiServer, folder: Path, namespace: str, controllers: Controllers, ends: range = range(0)
) -> AsyncIterator[World]:
    """A fresh namespace with the store's Secrets (its root is ``folder``) and an operator."""
    server.create_namespace(namespace)
    async with UserApi(server) as user, OperatorApi(server, ends) as operator:
        root = base64.b64encode(f"file://{folder}".encode()).decode()
        for name in (STORE_SECRET, STORE_READ_SECRET):
            metadata = {"name": name, "namespace": namespace}
            await user.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {STORE_ROOT: root}})
        world = World(server, user, operator, namespace, folder, controllers)
        yield world
        for kubeflow in world.opened:
            await kubeflow.close()


# Natures: what the rest of Kubernetes would do


def job_controller(outcome: Callable[[Json], RunOutcome | None]) -> Nature:
    """Ends each Job as ``outcome(job)`` says (None: it runs on), with a pod that says so in its termination message."""

    async def act(world: World) -> None:
        for job in await world.user.list("batch/v1", "Job", world.namespace):
            if (job.get("status") or {}).get("conditions"):
                continue
            pod = await _pod_of(world, job, job["metadata"]["name"], {"job-name": job["metadata"]["name"]})
            if (told := outcome(job)) is not None:
                await _end(world, job, pod, told)

    return act


async def _end(world: World, job: Json, pod: Json, told: RunOutcome) -> None:
    moment = world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    good = told.succeeded
    state = {
        "exitCode": 0 if good else 1, "reason": "Completed" if good else "Error", "finishedAt": moment,
        "startedAt": moment, "message": msgspec.json.encode(told).decode(),
    }  # fmt: skip
    containers = [
        {"name": each["name"], "image": each["image"], "imageID": "sha256:" + "ab" * 32, "ready": False,
         "restartCount": 0, "state": {"terminated": state}}
        for each in pod["spec"]["containers"]
    ]  # fmt: skip
    phase = "Succeeded" if good else "Failed"
    await world.user.put_status(pod, {"phase": phase, "containerStatuses": containers})
    ended = {"status": "True", "lastTransitionTime": moment, "lastProbeTime": moment}
    types = ("SuccessCriteriaMet", "Complete") if good else ("FailureTarget", "Failed")
    status = {
        "startTime": moment, "uncountedTerminatedPods": {}, "ready": 0, "terminating": 0,
        "conditions": [{"type": each, "reason": "" if good else "BackoffLimitExceeded", **ended} for each in types],
    } | ({"succeeded": 1, "completionTime": moment} if good else {"failed": 1})  # fmt: skip
    await world.user.put_status(job, status)


async def deployment_controller(world: World) -> None:
    """Brings each Deployment's pods to their number, all of them ready, and says so in its status."""
    for owner in await world.user.list("apps/v1", "Deployment", world.namespace):
        name, wanted = owner["metadata"]["name"], owner["spec"].get("replicas", 1)
        for number in range(wanted):
            await _pod_of(world, owner, f"{name}-{number}", {}, ready=True)
        for pod in await world.user.list("v1", "Pod", world.namespace):
            base, _, number = pod["metadata"]["name"].rpartition("-")
            if base == name and int(number) >= wanted:
                await world.user.delete("v1", "Pod", world.namespace, pod["metadata"]["name"])
        status = {
            "observedGeneration": owner["metadata"]["generation"], "replicas": wanted, "updatedReplicas": wanted,
            "readyReplicas": wanted, "availableReplicas": wanted,
        }  # fmt: skip
        status = {key: value for key, value in status.items() if value}
        if (owner.get("status") or {}) != status:
            await world.user.put_status(owner, status)
    await _collect(world)


async def _collect(world: World) -> None:
    """Deletes the pods of Deployments that are gone, as the garbage collector would."""
    owners = {each["metadata"]["uid"] for each in await world.user.list("apps/v1", "Deployment", world.namespace)}
    owners |= {each["metadata"]["uid"] for each in await world.user.list("batch/v1", "Job", world.namespace)}
    for pod in await world.user.list("v1", "Pod", world.namespace):
        references = pod["metadata"].get("ownerReferences", [])
        if references and references[0]["uid"] not in owners:
            await world.user.delete("v1", "Pod", world.namespace, pod["metadata"]["name"])


async def _pod_of(world: World, owner: Json, name: str, labels: dict[str, str], *, ready: bool = False) -> Json:
    found = await world.get("Pod", name, "v1")
    if found is not None:
        return found
    template = owner["spec"]["template"]
    reference = {
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": True,
    }  # fmt: skip
    metadata = {
        "name": name, "namespace": world.namespace, "ownerReferences": [reference],
        "labels": {**(template.get("metadata") or {}).get("labels", {}), **labels},
    }  # fmt: skip
    await world.user.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
    pod = await world.read("Pod", name, "v1")
    if not ready:
        return pod
    moment = world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": moment, "lastProbeTime": moment}
    return await world.user.put_status(pod, {"phase": "Running", "conditions": [condition]})


# Comparing two courses of events


async def outcome_of(world: World) -> list[str]:
    """Every object of the namespace as text, without what differs between two equal courses: times, uids, hashes."""
    kinds = (*((API_VERSION, kind) for kind in KINDS), *world.children)
    found = [each for api_version, kind in kinds for each in await world.user.list(api_version, kind, world.namespace)]
    return sorted(_normal(each, world) for each in found)


def _normal(raw: Json, world: World) -> str:
    kept = ("name", "labels", "annotations", "finalizers")
    made = {key: value for key, value in raw.items() if key != "metadata"}
    made["metadata"] = {key: raw["metadata"][key] for key in kept if key in raw["metadata"]}
    if raw["kind"] == "Secret":
        made["data"] = sorted(raw.get("data", {}))
    if raw["kind"] == "Service":
        made["spec"] = {key: raw["spec"].get(key) for key in ("selector", "ports", "type")}
    if raw["kind"] == "HTTPRoute":  # the Gateway's words, which count the writes
        made.pop("status", None)
    if raw["kind"] == "Job":  # the API server puts the Job's uid into both
        made["spec"] = {key: value for key, value in raw["spec"].items() if key != "selector"}
    text = json.dumps(made, sort_keys=True).replace(world.namespace, "NAMESPACE").replace(str(world.folder), "STORE")
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+(Z|\+00:00)", "TIME", text)
    return re.sub(r"(?<![0-9a-z])(?=[0-9a-f]*\d)[0-9a-f]{8,64}(?![0-9a-z])", "HASH", text)
