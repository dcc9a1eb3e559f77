"""What the operator does with Kubeflow Pipelines: it makes each run once, looks at all at once, and ends them.

All that is remembered here may be forgotten: names are deterministic, and what is there is listed before anything is
made.
"""

import asyncio
import base64
import hashlib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from perennial.adapters.access import Access, AccessError, Credentials
from perennial.adapters.kubeflow import Identity, KubeflowApi, KubeflowRefused, KubeflowTrouble
from perennial.adapters.kubernetes import ApiError, KubernetesApi
from perennial.api.kubeflow import KubeflowRun
from perennial.contracts.names import SECRET_KUBEFLOW
from perennial.domain.plan import Submit, Terminate
from perennial.domain.training.kubeflow import Checked, Look, SeenRun, Server, mismatch

FRESH_SECONDS = 5.0
"""All runs of a server are looked at together, at most this often."""
FORGOTTEN_SECONDS = 120.0
"""A run that nobody has asked for so long is looked at no more."""
SETTLE_SECONDS = 45.0
"""After a request whose answer is lost, so long is waited before it may be made again: it may still be carried out."""
CREDENTIALS_SECONDS = 30.0
WORKFLOWS_SECONDS = 60.0
FORBIDDEN_SECONDS = 600.0
CHECK_SECONDS = 20.0
VERSION_DIGITS = 16
_REMEMBERED = 10_000
_RUN_ID = "pipeline/runid"
WORKFLOW = ("argoproj.io/v1alpha1", "Workflow")

Json = dict[str, Any]


@dataclass
class _Poll:
    """What is known of a server's runs: ``wanted`` by id, when each was last asked for, ``since`` when it first was;
    ``asked`` at the last look.
    """

    wanted: dict[str, float] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    at: float = float("-inf")
    asked: frozenset[str] = frozenset()
    runs: dict[str, SeenRun] = field(default_factory=dict)
    workflows_at: float = float("-inf")
    workflows: frozenset[str] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Kubeflow:
    """The servers of Kubeflow Pipelines. ``access`` is the operator's own; ``namespace`` is where pods run of a server
    without namespaces, "" where that is not known.
    """

    def __init__(
        self, api: KubernetesApi, access: Access, namespace: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._kubernetes, self._namespace, self._clock = api, namespace, clock
        self._own = Credentials(access)
        self._session: aiohttp.ClientSession | None = None
        self._identities: dict[str, tuple[float, Identity]] = {}
        self._polls: dict[Server, _Poll] = {}
        self._ids: dict[tuple[Server, str, str], Any] = {}
        self._refused: dict[str, str] = {}
        self._uncertain: dict[str, float] = {}

    async def close(self) -> None:
        """Ends the connections."""
        if self._session is not None:
            await self._session.close()

    async def look(self, server: Server, known: KubeflowRun, name: str) -> Look:
        """What is there of the run ``name``."""
        if refused := self._refused.get(name):
            return Look(refused=refused)
        try:
            if known.id:
                return await self._polled(server, known.id)
            found = await self._api(server).runs_named(server.namespace, name)
        except KubeflowTrouble as error:
            return Look(trouble=(error.reason, error.message))
        except KubeflowRefused as error:
            return Look(trouble=("KubeflowRefused", str(error)))
        if found:
            self._note(server, found[0])
        twins = tuple(run.id for run in found[1:] if not run.ended)
        return Look(run=found[0] if found else None, twins=twins)

    async def check(self, server: Server) -> Checked:
        """Whether it answers, is what it is taken for, and lets us see what is there. Nothing is made."""
        self._identities.pop(server.secret_in, None)  # the Secret may have been mended a moment ago
        api, endpoint = self._api(server), server.endpoint
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                multi_user = await api.health()
                if multi_user is not None and (why := mismatch(server, multi_user=multi_user)):
                    return Checked(False, "KubeflowMultiUser", f"{endpoint}: {why}")
                await api.see(server.namespace)
        except KubeflowTrouble as error:
            return Checked(False, error.reason, error.message)
        except KubeflowRefused as error:
            return Checked(False, "KubeflowRefused", str(error))
        except TimeoutError:
            return Checked(False, "KubeflowUnavailable", f"{endpoint} did not answer within {CHECK_SECONDS:g} s")
        except ApiError as error:
            message = f"Secret {SECRET_KUBEFLOW} of namespace {server.secret_in} cannot be read: {error.message}"
            return Checked(False, "KubeflowUnauthorized", message)
        where = f" in namespace {server.namespace}" if server.namespace else ""
        return Checked(True, "KubeflowAnswers", f"{endpoint} answers, and shows its experiments{where}")

    async def submit(self, step: Submit) -> None:
        """Carries out the step. That Kubeflow does not take the run is remembered for :meth:`look`.

        Raises ApiError where it cannot be done now; the message says why.
        """
        if step.name in self._refused:
            return
        try:
            await self._submit(step)
        except KubeflowRefused as error:
            self._trim()
            self._refused[step.name] = str(error)
        except KubeflowTrouble as error:
            raise ApiError(422, error.reason, error.message) from error

    async def terminate(self, step: Terminate) -> None:
        """Carries out the step. Raises ApiError where it cannot be done now."""
        server: Server = step.server
        api = self._api(server)
        try:
            ids = step.ids
            if not ids:
                ids = tuple(run.id for run in await api.runs_named(server.namespace, step.name) if not run.ended)
            for each in ids:
                await api.terminate(each)
        except KubeflowTrouble as error:
            raise ApiError(422, error.reason, error.message) from error
        except KubeflowRefused as error:
            raise ApiError(422, "KubeflowRefused", str(error)) from error

    async def _submit(self, step: Submit) -> None:
        server: Server = step.server
        api = self._api(server)
        if await api.runs_named(server.namespace, step.name):
            return
        if (left := self._uncertain.get(step.name, 0.0) - self._clock()) > 0:
            message = (
                f"{server.endpoint}: whether the run was taken is not known: it is looked for again in {left:.0f} s"
            )
            raise KubeflowTrouble("KubeflowUnavailable", message)
        body = await self._body(api, step)
        try:
            await api.create_run(body)
        except KubeflowTrouble as error:
            self._ids.clear()  # what was made for it may be gone
            if error.uncertain:
                self._trim()
                self._uncertain[step.name] = self._clock() + SETTLE_SECONDS
            raise

    async def _body(self, api: KubeflowApi, step: Submit) -> Json:
        server: Server = step.server
        digest = hashlib.sha256(step.content.encode()).hexdigest()[:VERSION_DIGITS]
        of = f"Made by Perennial: {step.pipeline}"
        experiment = self._ids.get(key := (server, "experiment", step.experiment))
        if experiment is None:
            experiment = self._ids[key] = await api.experiment(server.namespace, step.experiment, of)
        version = self._ids.get(key := (server, step.pipeline, digest))
        if version is None:
            version = self._ids[key] = await api.pipeline_version(
                server.namespace, step.pipeline, digest, step.content, of
            )
        runtime: Json = {"parameters": step.parameters}
        if step.root:
            runtime["pipeline_root"] = step.root
        body: Json = {
            "display_name": step.name,
            "description": step.description,
            "experiment_id": experiment,
            "pipeline_version_reference": {"pipeline_id": version[0], "pipeline_version_id": version[1]},
            "runtime_config": runtime,
        }
        return {**body, "service_account": step.service_account} if step.service_account else body

    async def _polled(self, server: Server, run: str) -> Look:
        poll, now = self._polls.setdefault(server, _Poll()), self._clock()
        poll.wanted[run] = now
        poll.since.setdefault(run, now)
        if not self._fresh(poll, run):
            async with poll.lock:
                if not self._fresh(poll, run):
                    await self._refresh(server, poll)
        # A list from before the run was known says nothing of it.
        listed = poll.workflows if poll.workflows_at > poll.since[run] else None
        return Look(run=poll.runs.get(run), workflow=None if listed is None else run in listed)

    def _note(self, server: Server, run: SeenRun) -> None:
        """What was found by name is known until the next look at all: its id is asked about next."""
        poll = self._polls.setdefault(server, _Poll())
        poll.asked, poll.runs = poll.asked | {run.id}, {**poll.runs, run.id: run}

    def _fresh(self, poll: _Poll, run: str) -> bool:
        return self._clock() - poll.at < FRESH_SECONDS and run in poll.asked

    async def _refresh(self, server: Server, poll: _Poll) -> None:
        now = self._clock()
        poll.wanted = {run: at for run, at in poll.wanted.items() if now - at < FORGOTTEN_SECONDS}
        poll.since = {run: poll.since[run] for run in poll.wanted}
        if now - poll.at < FRESH_SECONDS:
            # Runs have begun since the last look: those alone are asked for, not all others with each of them.
            asked = frozenset(poll.wanted) - poll.asked
            found = await self._api(server).runs(server.namespace, sorted(asked))
            poll.asked, poll.runs = poll.asked | asked, {**poll.runs, **{run.id: run for run in found}}
            return
        asked = frozenset(poll.wanted)
        await self._workflows(server, poll)
        found = await self._api(server).runs(server.namespace, sorted(asked))
        poll.at, poll.asked, poll.runs = self._clock(), asked, {run.id: run for run in found}

    async def terminated(self, server: Server, run: str) -> bool:
        """Whether a run that failed was terminated: servers of 2.0 call both FAILED, and keep no history of it."""
        namespace = self._pods_of(server)
        if not namespace:
            return False
        try:
            found = await self._kubernetes.list(*WORKFLOW, namespace, labels=f"{_RUN_ID}={run}")
        except ApiError:
            return False
        return any(each.get("spec", {}).get("activeDeadlineSeconds") == 0 for each in found)

    def _pods_of(self, server: Server) -> str:
        """The namespace of the server's pods; "" where it is not known."""
        return server.namespace or ("" if server.secret_in else self._namespace)

    async def _workflows(self, server: Server, poll: _Poll) -> None:
        """Kubeflow never hears of a workflow that was deleted: the run stays RUNNING (kubeflow/pipelines#5722)."""
        now, namespace = self._clock(), self._pods_of(server)
        if not namespace or now - poll.workflows_at < WORKFLOWS_SECONDS:
            return
        try:
            found = await self._kubernetes.list(*WORKFLOW, namespace, labels=_RUN_ID, metadata_only=True)
        except ApiError as error:
            poll.workflows = None
            poll.workflows_at = now + (FORBIDDEN_SECONDS if error.status in {403, 404} else 0.0)
            return
        poll.workflows_at = now
        poll.workflows = frozenset(each["metadata"]["labels"][_RUN_ID] for each in found)

    def _api(self, server: Server) -> KubeflowApi:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=16))

        async def identity() -> Identity:
            return await self._identity(server.secret_in)

        return KubeflowApi(self._session, server.endpoint, identity)

    async def _identity(self, namespace: str) -> Identity:
        if not namespace:
            return Identity(self._own.headers(), self._own.tls())
        until, known = self._identities.get(namespace, (0.0, None))
        if known is None or self._clock() >= until:
            known = identity_of(await self._kubernetes.get("v1", "Secret", namespace, SECRET_KUBEFLOW), namespace)
            self._identities[namespace] = self._clock() + CREDENTIALS_SECONDS, known
        return known

    def _trim(self) -> None:
        for memory in (self._refused, self._uncertain):
            while len(memory) > _REMEMBERED:
                del memory[next(iter(memory))]


def identity_of(secret: Json | None, namespace: str) -> Identity:
    """What a namespace's Secret says. Raises AccessError, whose message never says what is in it."""
    data = {key: base64.b64decode(value) for key, value in ((secret or {}).get("data") or {}).items()}
    where = f"Secret {SECRET_KUBEFLOW} of namespace {namespace}"
    try:
        token, name, password, authority = (
            data[key].decode().strip() if key in data else "" for key in ("token", "username", "password", "ca.crt")
        )
    except UnicodeDecodeError:
        raise AccessError(f"{where} has an entry that is no text") from None
    if not (token + name + password).isprintable() or not token.isascii():
        raise AccessError(f"{where}: token, username and password must be one line each")
    if bool(name) != bool(password):
        raise AccessError(f"{where} has one of username and password without the other")
    headers: dict[str, str] = {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    elif name:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
    try:
        return Identity(headers, ssl.create_default_context(cadata=authority) if authority else True)
    except ssl.SSLError as error:
        raise AccessError(f"{where}: ca.crt cannot be used: {error.reason}") from None
