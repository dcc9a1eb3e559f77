"""Kubeflow Pipelines' HTTP API (v2beta1), of servers from 2.0 on: what can be repeated is told from what cannot."""

import json
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import aiohttp
import msgspec

from perennial.adapters.access import AccessError
from perennial.domain.training.kubeflow import SeenRun, Task

API = "/apis/v2beta1"
TIMEOUT = aiohttp.ClientTimeout(total=20, sock_connect=5)
PAGE = 100
IDS_AT_ONCE = 100
"""Runs in one filtered list: their ids stay well below the 8 KiB that proxies let an address have."""
_SHOWN = 500
_NOT_FOUND, _EXISTS = 5, 6
_INVALID = (
    "Failed to validate workflow", "Failed to generate the ExecutionSpec", "InvalidInputError", "Invalid input error",
)  # fmt: skip
"""Of answers that say 500 and mean that the pipeline cannot be run; nothing was made then."""
_NEVER = datetime.fromisoformat("1970-01-02T00:00:00+00:00")

T = TypeVar("T")
Json = dict[str, Any]


class KubeflowTrouble(Exception):
    """No answer that says anything about what was asked: again later. ``uncertain``: it may have been done."""

    def __init__(self, reason: str, message: str, *, uncertain: bool = False) -> None:
        super().__init__(message)
        self.reason, self.message, self.uncertain = reason, message, uncertain


class KubeflowRefused(Exception):
    """The server understood and will not do it: asking again changes nothing."""


class _Absent(KubeflowTrouble):
    """There is no such thing."""


class _Exists(KubeflowTrouble):
    """It is there already."""


@dataclass(frozen=True)
class Identity:
    """Who asks: headers that are secret, and the TLS context that the server is known by."""

    headers: Mapping[str, str]
    tls: ssl.SSLContext | bool = True


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""
    error: str = ""
    error_message: str = ""


class _State(msgspec.Struct):
    state: str = ""


class _TaskDetail(msgspec.Struct):
    display_name: str = ""
    state: str = ""


class _Details(msgspec.Struct):
    task_details: list[_TaskDetail] | None = None


class _Run(msgspec.Struct):
    run_id: str
    display_name: str = ""
    state: str = ""
    created_at: datetime | None = None
    finished_at: datetime | None = None
    error: _Status | None = None
    state_history: list[_State] | None = None
    run_details: _Details | None = None


class _Runs(msgspec.Struct):
    runs: list[_Run] | None = None
    next_page_token: str = ""


class _Health(msgspec.Struct):
    multi_user: bool | None = None


class _Experiment(msgspec.Struct, rename={"id": "experiment_id"}):
    id: str


class _Experiments(msgspec.Struct, rename={"made": "experiments"}):
    made: list[_Experiment] | None = None


class _Pipeline(msgspec.Struct, rename={"id": "pipeline_id"}):
    id: str


class _Pipelines(msgspec.Struct, rename={"made": "pipelines"}):
    made: list[_Pipeline] | None = None


class _Version(msgspec.Struct, rename={"id": "pipeline_version_id"}):
    id: str


class _Versions(msgspec.Struct, rename={"made": "pipeline_versions"}):
    made: list[_Version] | None = None


_Made = _Experiment | _Pipeline | _Version


@dataclass(frozen=True)
class _Listing:
    """Where things of one kind are listed, and the name of the one that is wanted; ``what`` is the kind for people."""

    kind: type[_Experiments | _Pipelines | _Versions]
    path: str
    what: str
    name: str
    namespace: str = ""


class KubeflowApi:
    """The API at ``endpoint`` (a path prefix included). ``identity`` is asked before each request.

    Methods raise :class:`KubeflowTrouble` and :class:`KubeflowRefused`.
    """

    def __init__(
        self, session: aiohttp.ClientSession, endpoint: str, identity: Callable[[], Awaitable[Identity]]
    ) -> None:
        self._session, self._endpoint, self._identity = session, endpoint.rstrip("/"), identity

    async def runs(self, namespace: str, ids: Sequence[str]) -> list[SeenRun]:
        """Those of ``ids`` that there are."""
        found: list[SeenRun] = []
        for start in range(0, len(ids), IDS_AT_ONCE):
            some = list(ids[start : start + IDS_AT_ONCE])
            found += await self._runs(namespace, _predicate("run_id", "IN", string_values={"values": some}))
        return found

    async def runs_named(self, namespace: str, name: str) -> list[SeenRun]:
        """All runs with this display name, the oldest first."""
        found = await self._runs(namespace, _predicate("display_name", "EQUALS", string_value=name))
        return sorted(found, key=lambda run: (run.created_at, run.id))

    async def experiment(self, namespace: str, name: str, description: str) -> str:
        """The id of the experiment ``name``, which is made where it is not there."""
        body = {"display_name": name, "description": description, **_given(namespace=namespace)}
        page = _Listing(_Experiments, "/experiments", "experiment", name, namespace)
        return await self._once(page, lambda: self._ask(_Experiment, "POST", "/experiments", body=body))

    async def pipeline_version(
        self, namespace: str, name: str, version: str, content: str, description: str
    ) -> tuple[str, str]:
        """The ids of the pipeline ``name`` and of its ``version``; ``content`` (YAML) is uploaded where that is new."""
        body = {"display_name": name, "description": description, **_given(namespace=namespace)}
        page = _Listing(_Pipelines, "/pipelines", "pipeline", name, namespace)
        pipeline = await self._once(page, lambda: self._ask(_Pipeline, "POST", "/pipelines", body=body))

        def upload() -> Awaitable[_Version]:
            form = aiohttp.FormData()
            form.add_field("uploadfile", content, filename="pipeline.yaml", content_type="application/yaml")
            query = {"name": version, "pipelineid": pipeline}
            return self._ask(_Version, "POST", "/pipelines/upload_version", query, form=form)

        versions = _Listing(_Versions, f"/pipelines/{pipeline}/versions", "version", version)
        return pipeline, await self._once(versions, upload)

    async def _once(self, listing: "_Listing", make: Callable[[], Awaitable[_Made]]) -> str:
        """The id of what is listed by its name, or else of what ``make`` makes. Somebody else may make it meanwhile."""
        asked = {
            "namespace": listing.namespace,
            "filter": _predicate("display_name", "EQUALS", string_value=listing.name),
        }
        for _ in range(2):
            page = await self._ask(listing.kind, "GET", listing.path, asked)
            if page.made:
                return page.made[0].id
            try:
                return (await make()).id
            except _Exists:
                continue
        what = f"{listing.what} {listing.name} is there, and is not listed"
        raise KubeflowTrouble("KubeflowUnavailable", f"{self._endpoint}: {what}")

    async def create_run(self, body: Json) -> SeenRun:
        """Makes a run: ``body`` is a Run of the API. It is made again each time that it is asked for."""
        return _seen(await self._ask(_Run, "POST", "/runs", body=body))

    async def terminate(self, run: str) -> None:
        """Ends a run; that it has ended, or is not there, is success."""
        try:
            await self._ask(dict, "POST", f"/runs/{run}:terminate", body={})
        except (_Absent, KubeflowRefused):
            # A server says of a run that has ended, or is being terminated, that the input is invalid.
            return

    async def health(self) -> bool | None:
        """Asks whether the API is there; whether that has users, None where it does not say."""
        return (await self._ask(_Health, "GET", "/healthz")).multi_user

    async def see(self, namespace: str) -> None:
        """Asks for what is in ``namespace``: what we may not see, we may not add to either."""
        await self._ask(_Experiments, "GET", "/experiments", {"namespace": namespace, "page_size": "1"})

    async def _runs(self, namespace: str, filter_: str) -> list[SeenRun]:
        found: list[SeenRun] = []
        token = ""
        while True:
            asked = {"namespace": namespace, "filter": filter_, "page_size": str(PAGE), "page_token": token}
            page = await self._ask(_Runs, "GET", "/runs", asked)
            found += map(_seen, page.runs or ())
            token = page.next_page_token
            if not token:
                return found

    async def _ask(
        self, kind: type[T], method: str, path: str, query: Mapping[str, str] | None = None, *,
        body: Json | None = None, form: aiohttp.FormData | None = None,
    ) -> T:  # fmt: skip
        status, type_, content = await self._send(method, path, query, body, form)
        if status >= 300:
            self._fail(path, status, content)
        try:
            return msgspec.json.decode(content or b"{}", type=kind)
        except msgspec.MsgspecError as error:
            reason = "KubeflowUnauthorized" if "html" in type_ else "KubeflowUnavailable"
            what = "a page, as logins are" if "html" in type_ else f"what is no answer: {_text(content)}"
            raise KubeflowTrouble(
                reason, f"{self._endpoint}{API}{path} answered with {what}", uncertain=True
            ) from error

    async def _send(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Json | None, form: aiohttp.FormData | None
    ) -> tuple[int, str, bytes]:
        url = f"{self._endpoint}{API}{path}"
        try:
            who = await self._identity()
        except AccessError as error:
            raise KubeflowTrouble("KubeflowUnauthorized", f"{self._endpoint}: {error}") from error
        try:
            # A redirect would carry the credentials to where nobody said that they belong.
            async with self._session.request(
                method, url, params=_given(**(query or {})), json=body, data=form, headers=dict(who.headers),
                ssl=who.tls if url.startswith("https:") else True, allow_redirects=False, timeout=TIMEOUT,
            ) as answer:  # fmt: skip
                return answer.status, answer.content_type, await answer.read()
        except aiohttp.ClientConnectorError as error:
            message = f"{self._endpoint} cannot be reached: {_cause(error)}"
            raise KubeflowTrouble("KubeflowUnavailable", message) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            message = f"{self._endpoint} did not answer: {_cause(error)}"
            raise KubeflowTrouble("KubeflowUnavailable", message, uncertain=True) from error

    def _fail(self, path: str, status: int, content: bytes) -> None:
        try:
            said = msgspec.json.decode(content, type=_Status)
        except msgspec.MsgspecError:
            said = None
        words = (said.message or said.error or said.error_message) if said else ""
        message = f"{self._endpoint}{API}{path} answered {status}: {words[:_SHOWN] or _text(content)}"
        code = said.code if said else 0
        if status == 401:
            raise KubeflowTrouble("KubeflowUnauthorized", f"{message}: it does not take our credentials")
        if status == 403:
            raise KubeflowTrouble("KubeflowForbidden", message)
        if status == 409 or code == _EXISTS or (status == 500 and "already exist" in words):
            raise _Exists("KubeflowUnavailable", message)
        if status == 404 and code == _NOT_FOUND:
            raise _Absent("KubeflowNotFound", message)
        if status in {301, 302, 303, 307, 308}:
            raise KubeflowTrouble("KubeflowUnauthorized", f"{message}: it sends us elsewhere, to a login most often")
        if status == 404:
            raise KubeflowTrouble("KubeflowNotFound", f"{message}: is the path of the endpoint right?")
        if status in {408, 429}:
            raise KubeflowTrouble("KubeflowBusy", message)
        if status < 500 or any(each in words for each in _INVALID):
            raise KubeflowRefused(message)
        raise KubeflowTrouble("KubeflowUnavailable", message, uncertain=True)


def _predicate(key: str, operation: str, **value: Any) -> str:
    return json.dumps({"predicates": [{"key": key, "operation": operation, **value}]})


def _given(**values: str) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}


def _seen(run: _Run) -> SeenRun:
    states = [each.state for each in run.state_history or () if each.state]
    details = (run.run_details.task_details if run.run_details else None) or ()
    return SeenRun(
        id=run.run_id,
        name=run.display_name,
        state=run.state,
        created_at=run.created_at or _NEVER,
        finished_at=run.finished_at if run.finished_at and run.finished_at > _NEVER else None,
        error=(run.error.message or run.error.error) if run.error else "",
        states=tuple(states),
        tasks=tuple(Task(each.display_name, each.state) for each in details),
    )


def _text(content: bytes) -> str:
    return " ".join(content[:_SHOWN].decode(errors="replace").split())[:200] or "nothing"


def _cause(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text.split("\n", 1)[0][:_SHOWN]
