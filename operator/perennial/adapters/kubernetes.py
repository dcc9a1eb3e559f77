"""The Kubernetes API as the operator uses it: few verbs, raw JSON, one way to write.

Objects are dictionaries as the API server holds them, with ``apiVersion`` and ``kind`` also in lists. Every write
passes :meth:`KubernetesApi._write`, so that a test can end the process after any single one.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Literal, Self, cast

import aiohttp

from perennial.adapters.connection import Connection

FIELD_MANAGER = "perennial"
PAGE = 500
WATCH_SECONDS = 290
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
_METADATA = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"
_MERGE_PATCH = "application/merge-patch+json"
# JSON is YAML: the API server takes an apply patch written either way under this name.
_APPLY_PATCH = "application/apply-patch+yaml"

Json = dict[str, Any]
Items = list[Json]

PLURALS = {
    ("v1", "ConfigMap"): "configmaps",
    ("v1", "Event"): "events",
    ("v1", "Namespace"): "namespaces",
    ("v1", "Pod"): "pods",
    ("v1", "Secret"): "secrets",
    ("v1", "Service"): "services",
    ("apps/v1", "Deployment"): "deployments",
    ("authentication.k8s.io/v1", "SelfSubjectReview"): "selfsubjectreviews",
    ("argoproj.io/v1alpha1", "Workflow"): "workflows",
    ("autoscaling/v2", "HorizontalPodAutoscaler"): "horizontalpodautoscalers",
    ("batch/v1", "Job"): "jobs",
    ("coordination.k8s.io/v1", "Lease"): "leases",
    ("events.k8s.io/v1", "Event"): "events",
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): "httproutes",
    ("perennial.dev/v1alpha1", "DriftMonitor"): "driftmonitors",
    ("perennial.dev/v1alpha1", "ModelDeployment"): "modeldeployments",
    ("perennial.dev/v1alpha1", "ModelTraining"): "modeltrainings",
    ("perennial.dev/v1alpha1", "ModelVersion"): "modelversions",
    ("policy/v1", "PodDisruptionBudget"): "poddisruptionbudgets",
}
"""Every kind that the operator or the plugin touches; each but Namespace and SelfSubjectReview is namespaced."""


class Conflict(Exception):
    """The object changed since it was read: read it again and decide anew."""


class ApiError(Exception):
    """The API server refused (``status`` is HTTP's) or could not be reached (``status`` 0)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{reason or 'HTTP'} {status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Change:
    """What a watch saw. ``Synced`` (with an empty object) follows each complete list.

    The object of a ``Deleted`` that was missed while the watch was broken has namespace, name, uid and labels alone.
    """

    type: Literal["Applied", "Deleted", "Synced"]
    object: Json


@dataclass(frozen=True)
class _Call:
    """One HTTP request, under the name that metrics give it."""

    verb: str
    kind: str
    method: str
    path: str
    params: dict[str, str] | None = None
    body: bytes | None = None
    accept: str = "application/json"
    content_type: str = "application/json"
    limits: aiohttp.ClientTimeout = _TIMEOUT


def path_of(api_version: str, kind: str, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
    """URL path of a collection, an object or its subresource. Raises KeyError for a kind not in PLURALS."""
    root = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
    parts = [root, f"namespaces/{namespace}" if namespace else "", PLURALS[api_version, kind], name, subresource]
    return "/".join(filter(None, parts))


class KubernetesApi:
    """One connection pool to the API server; use it as an async context manager.

    ``observe(verb, kind, status)`` is called after every request (status 0: no answer).
    Methods raise :class:`ApiError`, and writes that carry a resourceVersion :class:`Conflict`.
    """

    def __init__(
        self,
        connection: Connection,
        observe: Callable[[str, str, int], None] | None = None,
        manager: str = FIELD_MANAGER,
    ) -> None:
        self._connection = connection
        self._manager = manager
        self._observe = observe or (lambda _verb, _kind, _status: None)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=64, ssl=self._connection.tls or True)
        self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._session:
            await self._session.close()

    # Reading

    async def get(self, api_version: str, kind: str, namespace: str, name: str) -> Json | None:
        """The object, or None when there is none."""
        try:
            return await self._json(_Call("get", kind, "GET", path_of(api_version, kind, namespace, name)))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def serves(self, api_version: str, kind: str, namespace: str) -> bool:
        """Whether the cluster knows the kind."""
        try:
            await self._json(_Call("list", kind, "GET", path_of(api_version, kind, namespace), {"limit": "1"}))
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def list(
        self, api_version: str, kind: str, namespace: str | None, *, labels: str = "", metadata_only: bool = False
    ) -> list[Json]:
        """All objects of a namespace (None: of the cluster) that match the label selector."""
        items, _ = await self._list(api_version, kind, namespace, labels, metadata_only)
        return items

    async def _list(
        self, api_version: str, kind: str, namespace: str | None, labels: str, metadata_only: bool
    ) -> tuple[Items, str]:
        params = {"limit": str(PAGE)} | ({"labelSelector": labels} if labels else {})
        path = path_of(api_version, kind, namespace)
        accept = _METADATA.format("List") if metadata_only else "application/json"
        items: Items = []
        while True:
            try:
                page = await self._json(_Call("list", kind, "GET", path, params=params, accept=accept))
            except ApiError as error:
                if error.status != 410 or "continue" not in params:
                    raise
                items, params = [], {key: value for key, value in params.items() if key != "continue"}
                continue
            items += [{**item, "apiVersion": api_version, "kind": kind} for item in page.get("items") or []]
            if not (token := page["metadata"].get("continue")):
                return items, page["metadata"]["resourceVersion"]
            params["continue"] = token

    async def watch(
        self, api_version: str, kind: str, namespace: str | None, labels: str = "", *, metadata_only: bool = True
    ) -> AsyncIterator[Change]:
        """Every object that is there, then every change, for ever: list, watch, and again when the API server wants it.

        Deletions that happened between a broken watch and the next list are reported too. Failures are retried with
        a growing pause of up to 30 s; nothing is raised but cancellation.
        """
        known: dict[tuple[str, str], Json] = {}
        version, failures = "", 0
        while True:
            try:
                if not version:
                    items, version = await self._list(api_version, kind, namespace, labels, metadata_only)
                    for change in _differences(known, items):
                        yield change
                    yield Change("Synced", {})
                async for event in self._stream(api_version, kind, namespace, labels, version, metadata_only):
                    version = event["object"]["metadata"]["resourceVersion"]
                    failures = 0
                    if event["type"] != "BOOKMARK":
                        raw = {**event["object"], "apiVersion": api_version, "kind": kind}
                        yield _remember(known, event["type"], raw)
                await asyncio.sleep(0.2)  # a proxy that ends every stream at once must not make this a busy loop
            except ApiError as error:
                failures += 1
                if error.status not in {0, 429}:
                    version = ""
                if error.status != 410:
                    await asyncio.sleep(min(30.0, 0.5 * 2 ** min(failures, 6)) * random.uniform(0.5, 1))  # noqa: S311

    async def _stream(
        self, api_version: str, kind: str, namespace: str | None, labels: str, version: str, metadata_only: bool
    ) -> AsyncIterator[Json]:
        seconds = int(WATCH_SECONDS * random.uniform(0.8, 1))  # noqa: S311 - spreads the reconnections
        params = {
            "watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds),
        } | ({"labelSelector": labels} if labels else {})  # fmt: skip
        limits = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=seconds + 15)
        accept = _METADATA.format("") if metadata_only else "application/json"
        path = path_of(api_version, kind, namespace)
        async with self._request(_Call("watch", kind, "GET", path, params, accept=accept, limits=limits)) as response:
            async for line in _lines(response.content):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise ApiError(status.get("code", 500), status.get("reason", ""), status.get("message", ""))
                yield event

    # Writing

    async def apply(self, manifest: Json) -> Json:
        """Server-side apply under our field manager; fields of other managers that we set become ours."""
        params = {"force": "true", "fieldValidation": "Strict"}
        return await self._write("apply", "PATCH", manifest, manifest, params=params, content_type=_APPLY_PATCH)

    async def try_create(self, manifest: Json) -> None:
        """Has the API server check what :meth:`create` would write. Raises ApiError where it refuses."""
        params = {"fieldManager": self._manager, "fieldValidation": "Strict", "dryRun": "All"}
        path = path_of(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["namespace"])
        await self._json(_Call("dry-run", manifest["kind"], "POST", path, params, body=json.dumps(manifest).encode()))

    async def create(self, manifest: Json) -> bool:
        """Whether it was created: False when an object of that name exists."""
        try:
            await self._write("create", "POST", manifest, manifest)
        except ApiError as error:
            if error.status == 409 and error.reason == "AlreadyExists":
                return False
            raise
        return True

    async def whoami(self) -> str:
        """The user name that the API server knows us by."""
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        review = {**kind, "metadata": {"namespace": ""}}
        answer = await self._write("create", "POST", review, review)
        return str(answer["status"]["userInfo"]["username"])

    async def replace(self, raw: Json) -> Json:
        """The whole object as given, with its resourceVersion."""
        return await self._write("update", "PUT", raw, raw)

    async def delete(self, api_version: str, kind: str, namespace: str, name: str, *, uid: str = "") -> None:
        """Deletes in the background; that there is none is fine. Raises Conflict where it is not the object ``uid``."""
        target = {"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace, "name": name}}
        try:
            only = {"preconditions": {"uid": uid}} if uid else {}
            await self._write("delete", "DELETE", target, {"propagationPolicy": "Background", **only})
        except ApiError as error:
            if error.status != 404:
                raise

    async def annotate(
        self, api_version: str, kind: str, namespace: str, name: str, annotations: dict[str, str | None]
    ) -> None:
        """Sets annotations, or removes those that are None. Raises ApiError 404 when there is no such object."""
        target = {"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace, "name": name}}
        patch = {"metadata": {"annotations": annotations}}
        await self._write("patch", "PATCH", target, patch, content_type=_MERGE_PATCH)

    async def set_finalizers(self, raw: Json, finalizers: tuple[str, ...]) -> Json:
        """The object with these finalizers; ``raw`` is as it was read."""
        version = raw["metadata"]["resourceVersion"]
        patch = {"metadata": {"finalizers": [*finalizers], "resourceVersion": version}}
        return await self._write("patch", "PATCH", raw, patch, content_type=_MERGE_PATCH)

    async def put_status(self, raw: Json, status: Json) -> Json:
        """The object with this status; ``raw`` is as it was read."""
        return await self._write("update", "PUT", raw, {**raw, "status": status}, subresource="status")

    async def _write(
        self,
        verb: str,
        method: str,
        target: Json,
        body: Json,
        *,
        params: dict[str, str] | None = None,
        content_type: str = "application/json",
        subresource: str = "",
    ) -> Json:
        """The one way by which anything is written; ``target`` names the object."""
        metadata = target["metadata"]
        name = "" if verb == "create" else metadata["name"]
        path = path_of(target["apiVersion"], target["kind"], metadata["namespace"], name, subresource)
        params = {"fieldManager": self._manager, **(params or {})} if verb != "delete" else {}
        data = json.dumps(body).encode()
        try:
            return await self._json(
                _Call(verb, target["kind"], method, path, params, body=data, content_type=content_type)
            )
        except ApiError as error:
            if error.status == 409 and error.reason == "Conflict":
                raise Conflict(error.message) from error
            raise

    # Requests

    async def _json(self, call: _Call) -> Json:
        async with self._request(call) as response:
            return cast("Json", await response.json())

    @contextlib.asynccontextmanager
    async def _request(self, call: _Call) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("use KubernetesApi as an async context manager")
        headers = {**self._connection.headers(), "Accept": call.accept}
        if call.body is not None:
            headers["Content-Type"] = call.content_type
        status = 0
        try:
            async with self._session.request(
                call.method, self._connection.host + call.path, params=call.params, data=call.body, headers=headers,
                timeout=call.limits, server_hostname=self._connection.server_name, proxy=self._connection.proxy,
            ) as response:  # fmt: skip
                status = response.status
                if status >= 400:
                    raise _refusal(status, await response.text())
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(0, "Unreachable", str(error) or type(error).__name__) from error
        finally:
            self._observe(call.verb, call.kind, status)


def _refusal(status: int, text: str) -> ApiError:
    try:
        answer = json.loads(text)
        return ApiError(status, answer.get("reason", ""), answer.get("message", text[:500]))
    except (ValueError, AttributeError):
        return ApiError(status, "", text[:500])


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines of any length; the reader's own iteration stops at 64 KiB ones."""
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line


def _place(raw: Json) -> tuple[str, str]:
    return raw["metadata"].get("namespace", ""), raw["metadata"]["name"]


def _summary(raw: Json) -> Json:
    metadata = {key: raw["metadata"][key] for key in ("namespace", "name", "uid", "labels") if key in raw["metadata"]}
    return {"apiVersion": raw["apiVersion"], "kind": raw["kind"], "metadata": metadata}


def _remember(known: dict[tuple[str, str], Json], type_: str, raw: Json) -> Change:
    if type_ == "DELETED":
        known.pop(_place(raw), None)
        return Change("Deleted", raw)
    known[_place(raw)] = _summary(raw)
    return Change("Applied", raw)


def _differences(known: dict[tuple[str, str], Json], items: list[Json]) -> list[Change]:
    """Brings ``known`` up to a fresh list: what has vanished from it was deleted."""
    present = {_place(raw) for raw in items}
    gone = [known.pop(place) for place in list(known) if place not in present]
    return [Change("Deleted", raw) for raw in gone] + [_remember(known, "ADDED", raw) for raw in items]
