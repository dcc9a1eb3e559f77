"""Carries out the steps of a plan, in order; a step that is done already costs a read and no write."""

import base64
import hashlib
import json
import logging
import secrets
import time
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from perennial.adapters.kubernetes import ApiError, KubernetesApi
from perennial.contracts.names import GROUP, MANAGED_BY
from perennial.domain.plan import (
    Annotate,
    Apply,
    Create,
    CreateKey,
    Delete,
    Event,
    Finalizer,
    Step,
    Submit,
    Terminate,
)
from perennial.domain.refusal import NAME_TAKEN
from perennial.reconcile.kubeflow import Kubeflow

ANNOTATION_APPLIED = f"{GROUP}/applied"
"""On a child: a hash of what we last applied. With it a field that we no longer set is noticed without a write."""

KEY_BYTES = 32
REMEMBER_SECONDS = 3600.0
"""The API server keeps Events as long. Secrets may not be read, so that one exists is remembered as long too."""

_NOTE_BYTES = 1024
_WHOLE = frozenset({"selector", "matchLabels", "nodeSelector"})

Json = dict[str, Any]
log = logging.getLogger(__name__)


class Applier:
    """Carries out plans; it remembers what it cannot read."""

    def __init__(
        self, api: KubernetesApi, kubeflow: Kubeflow, reporter: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._kubeflow = kubeflow
        self._reporter = reporter
        self._clock = clock
        self._done: dict[tuple[str, ...], float] = {}

    async def step(self, raw: Json, step: Step) -> Json:
        """Carries out one step for the object ``raw``; returns it as it stands afterwards."""
        match step:
            case Apply():
                await self._apply(step, raw["metadata"]["uid"])
            case Create(manifest):
                await self._api.create(manifest)
            case CreateKey(manifest, entry):
                await self._create_key(raw, manifest, entry)
            case Delete():
                await self._delete(step)
            case Annotate():
                await self._annotate(step)
            case Finalizer(name, there):
                return await self._finalizer(raw, name, there=there)
            case Submit():
                await self._kubeflow.submit(step)
            case Terminate():
                await self._kubeflow.terminate(step)
        return raw

    async def event(self, raw: Json, event: Event, now: datetime) -> None:
        """Writes an Event about ``raw``. One that cannot be written is logged: nothing else waits for it."""
        manifest = event_manifest(raw, event, now, self._reporter)
        memory = (raw["metadata"]["namespace"], manifest["metadata"]["name"])
        if self._remembers(memory):
            return
        log.info("%s: %s", event.reason, event.message)
        try:
            await self._api.create(manifest)
        except ApiError as error:
            log.warning("the Event %s could not be written: %s", event.reason, error)
            return
        self._remember(memory)

    async def _apply(self, step: Apply, owner: str) -> None:
        marked = _marked(step)
        metadata = marked["metadata"]
        live = await self._api.get(marked["apiVersion"], marked["kind"], metadata["namespace"], metadata["name"])
        self._done.pop(_absence(metadata["namespace"], marked["kind"], metadata["name"]), None)
        if live is not None and not ours(live, owner, metadata["labels"]):
            raise ApiError(422, NAME_TAKEN, _taken(live))
        if live is not None and step.scaled:
            marked = _as_scaled(marked, live)
        if live is None or not holds(marked, live):
            await self._api.apply(marked)

    async def _create_key(self, raw: Json, manifest: Json, entry: str) -> None:
        memory = (raw["metadata"]["uid"], manifest["metadata"]["name"])
        if not self._remembers(memory):
            value = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
            await self._api.create({**manifest, "data": {**manifest.get("data", {}), entry: value}})
            self._remember(memory)

    async def _delete(self, step: Delete) -> None:
        memory = _absence(step.namespace, step.kind, step.name)
        if step.owner and self._remembers(memory):
            return
        live = await self._api.get(step.api_version, step.kind, step.namespace, step.name)
        ours = live is not None and (not step.owner or owned(live, step.owner))
        if live is not None and ours and "deletionTimestamp" not in live["metadata"]:
            uid = live["metadata"]["uid"]
            await self._api.delete(step.api_version, step.kind, step.namespace, step.name, uid=uid)
        elif step.owner and not ours:
            self._remember(memory)

    async def _annotate(self, step: Annotate) -> None:
        live = await self._api.get(step.api_version, step.kind, step.namespace, step.name)
        if live is None:
            return
        current = live["metadata"].get("annotations") or {}
        if any(current.get(key) != value for key, value in step.annotations.items()):
            await self._api.annotate(step.api_version, step.kind, step.namespace, step.name, step.annotations)

    async def _finalizer(self, raw: Json, name: str, *, there: bool) -> Json:
        found: list[str] = raw["metadata"].get("finalizers", [])
        if (name in found) == there:
            return raw
        others = tuple(each for each in found if each != name)
        return await self._api.set_finalizers(raw, (*others, name) if there else others)

    def _remembers(self, memory: tuple[str, ...]) -> bool:
        return self._clock() < self._done.get(memory, 0.0)

    def _remember(self, memory: tuple[str, ...]) -> None:
        now = self._clock()
        if len(self._done) > 10_000:
            self._done = {key: until for key, until in self._done.items() if until > now}
        self._done[memory] = now + REMEMBER_SECONDS


def thing_of(raw: Json, step: Step) -> str:
    """Kind and name of what ``step`` writes, for the object ``raw``."""
    match step:
        case Apply(manifest) | Create(manifest) | CreateKey(manifest):
            return f"{manifest['kind']} {manifest['metadata']['name']}"
        case Delete(_, kind, _, name) | Annotate(_, kind, _, name):
            return f"{kind} {name}"
        case Submit(name=name) | Terminate(name=name):
            return f"Kubeflow run {name}"
        case Finalizer():
            return f"{raw['kind']} {raw['metadata']['name']}"


def event_manifest(raw: Json, event: Event, now: datetime, reporter: str) -> Json:
    """An events.k8s.io/v1 Event whose name is made of the object as it was read and what is said.

    Said again before anything of the object changed (the process ended before the status was written), it is the same
    Event; said of the next rollout it is another one.
    """
    metadata = raw["metadata"]
    about = (metadata["uid"], metadata.get("resourceVersion", ""))
    said = "\x1f".join((*about, event.type, event.reason, event.message))
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:200]}.{hashlib.sha256(said.encode()).hexdigest()[:16]}",
            "namespace": metadata["namespace"],
        },
        "type": event.type,
        "reason": event.reason[:128],
        "note": event.message.encode()[:_NOTE_BYTES].decode(errors="ignore"),
        "action": "Reconcile",
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": f"{GROUP}/{MANAGED_BY}",
        "reportingInstance": reporter[:128],
        "regarding": {
            "apiVersion": raw["apiVersion"], "kind": raw["kind"], "namespace": metadata["namespace"],
            "name": metadata["name"], "uid": metadata["uid"],
        },
    }  # fmt: skip


def holds(wanted: Any, live: Any) -> bool:
    """Whether every field of ``wanted`` stands in ``live``; defaults that the API server added do not matter.

    A selector must be the very same: one more key selects less.
    """
    if isinstance(wanted, dict):
        if not isinstance(live, dict):
            return not wanted and live is None
        return all(
            value == live.get(key) if key in _WHOLE else holds(value, live.get(key)) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        found = live or []
        return isinstance(found, list) and len(wanted) == len(found) and all(map(holds, wanted, found))
    return wanted == live or (live is None and not wanted) or _same_quantity(wanted, live)


def _same_quantity(wanted: Any, live: Any) -> bool:
    """The API server writes quantities its own way: 0.5 becomes 500m, 1000m becomes 1."""
    if isinstance(wanted, bool) or isinstance(live, bool) or wanted is None or live is None:
        return False
    try:
        return bool(_number(wanted) == _number(live))
    except (ValueError, ArithmeticError):
        return False


def _number(quantity: Any) -> Decimal:
    return Decimal(parse_quantity(quantity))


def owned(raw: Json, uid: str) -> bool:
    """Whether ``raw`` belongs to the object ``uid``."""
    return any(each.get("uid") == uid for each in raw["metadata"].get("ownerReferences") or ())


def ours(raw: Json, uid: str, labels: Json) -> bool:
    """Whether ``raw`` may be written for the object ``uid``: it belongs to it, or is a child that we made with these
    labels and that a restore or an orphaning left to nobody.
    """
    metadata = raw["metadata"]
    return owned(raw, uid) or (
        not metadata.get("ownerReferences")
        and ANNOTATION_APPLIED in (metadata.get("annotations") or {})
        and labels.items() <= (metadata.get("labels") or {}).items()
    )


def _taken(live: Json) -> str:
    owner = next(iter(live["metadata"].get("ownerReferences") or ()), None)
    whose = f"belongs to {owner['kind']} {owner['name']}" if owner else "is not one that was made for this object"
    return f"it is there already, and {whose}: delete it, or give one of the two another name"


def _absence(namespace: str, kind: str, name: str) -> tuple[str, ...]:
    return "absent", namespace, kind, name


def _as_scaled(manifest: Json, live: Json) -> Json:
    """With the replicas that there are, provided that nobody scales it meanwhile; an autoscaler never starts from 0."""
    replicas = live["spec"].get("replicas") or manifest["spec"]["replicas"]
    metadata = {**manifest["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}
    return {**manifest, "metadata": metadata, "spec": {**manifest["spec"], "replicas": replicas}}


def _marked(step: Apply) -> Json:
    manifest = step.manifest
    hashed = manifest
    if step.scaled:
        hashed = {**manifest, "spec": {key: value for key, value in manifest["spec"].items() if key != "replicas"}}
    digest = hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()[:16]
    metadata = manifest["metadata"]
    annotations = {**(metadata.get("annotations") or {}), ANNOTATION_APPLIED: digest}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}
