"""``kubectl perennial promote`` and its like: one annotation is written, and the operator's answer is waited for."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from perennial.adapters.kubernetes import ApiError
from perennial.api.common import API_VERSION, Object
from perennial.api.deployment import ModelDeployment
from perennial.api.training import ModelTraining
from perennial.api.version import ModelVersion
from perennial.cli.cluster import Cluster, Target, connect
from perennial.cli.deployment import View, headline, view
from perennial.cli.follow import sources
from perennial.cli.objects import Objects
from perennial.cli.resources import run_sentence, sentence
from perennial.contracts.names import ANNOTATION_REQUEST

Json = dict[str, Any]
_STUCK = frozenset({"Blocked"})
"""Phases of a ModelTraining whose operator is there and waits for something."""


def subject_of(verb: str, found: View) -> str:
    """The version that ``verb`` is about when the person names none. Raises click.ClickException."""
    status, name = found.deployment.status, found.deployment.metadata.name
    serving = f"{status.stable.version} serves" if status.stable else "nothing serves"
    if verb == "rollback":
        if status.stable is None:
            raise click.ClickException(f"nothing serves in {name}: there is nothing to go back from")
        return status.stable.version
    if verb in {"release", "retry"}:
        return _kept_out(verb, found, serving)
    if status.rollout is None:
        raise click.ClickException(f"no rollout of {name} is under way: {serving}")
    return status.rollout.target.version


def _kept_out(verb: str, found: View, serving: str) -> str:
    status, quarantined = found.deployment.status, sorted(found.quarantined or {})
    if status.held:
        return status.held.version
    if verb == "retry" and status.rollout:
        return status.rollout.target.version
    if len(quarantined) == 1:
        return quarantined[0]
    if quarantined:
        raise click.ClickException(f"several versions are quarantined: name one by --version: {', '.join(quarantined)}")
    raise click.ClickException(f"no version is held or quarantined in {found.deployment.metadata.name}: {serving}")


async def ask(target: Target, name: str, verb: str, version: str | None, patience: float) -> str:
    """Asks ``verb`` of the ModelDeployment ``name``; what came of it, in one sentence. Raises click.ClickException."""
    async with connect(target) as cluster:
        version = version or subject_of(verb, await _look(cluster, name))
        answered = await handled(cluster, ModelDeployment, name, f"{verb}/{version}", patience)
        now = await _look(cluster, name)
        seen = view(answered, [], [], [])
        return f"{verb} {version}: {headline(now if now.deployment.status.conditions else seen, datetime.now(UTC))}"


async def train(target: Target, name: str, patience: float, *, wait: bool) -> int | None:
    """Asks for a run of the ModelTraining ``name``; its number. ``wait`` is for the run's start, however long it takes:
    without it None comes back where another run has to end first. Raises click.ClickException.
    """
    async with connect(target) as cluster:
        raw = await cluster.read(ModelTraining, name)
        return await _run_for(cluster, raw, f"train/{raw['spec']['model']}", patience, wait=wait)


async def reproduce(target: Target, version: str, patience: float) -> tuple[str, int]:
    """Asks for a run that fits the ModelVersion ``version`` again; the ModelTraining and the run's number, once it has
    started. Raises click.ClickException.
    """
    async with connect(target) as cluster:
        record = (await cluster.read(ModelVersion, version))["spec"]["record"]
        raw = await cluster.read(ModelTraining, record["training"])
        number = await _run_for(cluster, raw, f"reproduce/{version}", patience, wait=True)
        return record["training"], number or 0


async def cancel(target: Target, name: str, patience: float) -> str:
    """Ends the run under way of the ModelTraining ``name``; what came of it. Raises click.ClickException."""
    async with connect(target) as cluster:
        raw = await cluster.read(ModelTraining, name)
        answered = await handled(cluster, ModelTraining, name, f"cancel/{raw['spec']['model']}", patience)
        # The next run may have started since.
        runs = (answered.get("status") or {}).get("runs") or ()
        return run_sentence(next((run for run in runs if run["phase"] == "Cancelled"), {}))


async def _run_for(cluster: Cluster, raw: Json, what: str, patience: float, *, wait: bool) -> int | None:
    name, newest = raw["metadata"]["name"], _newest(raw)
    busy = newest.get("phase") == "Running" and raw["spec"].get("concurrencyPolicy") != "Replace"
    if busy:
        click.echo(f"run {newest['number']} of {name} is under way: the next one starts when it has ended", err=True)
    if busy and not wait:
        await annotate(cluster, ModelTraining, name, what)
        return None
    answered = await handled(cluster, ModelTraining, name, what, None if busy else patience)
    return int(_newest(answered)["number"])


def _newest(raw: Json) -> Json:
    """The newest run of a ModelTraining; {} where it has none."""
    return next(iter((raw.get("status") or {}).get("runs") or ()), {})


async def _look(cluster: Cluster, name: str) -> View:
    raw = await cluster.read(ModelDeployment, name)
    objects = Objects(cluster, sources(ModelDeployment, name))
    await objects.read()
    return view(raw, *(objects.all(kind) for kind in ("Pod", "Deployment", ModelVersion.KIND)))


async def annotate(cluster: Cluster, kind: type[Object], name: str, what: str) -> str:
    """Writes the request, of a ModelTraining with the person's name; its id."""
    identity = str(uuid.uuid4())
    who = await cluster.whoami() if kind is ModelTraining else ""
    asked = "/".join(filter(None, (what, identity, who)))
    await cluster.api.annotate(API_VERSION, kind.KIND, cluster.namespace, name, {ANNOTATION_REQUEST: asked})
    return identity


async def handled(cluster: Cluster, kind: type[Object], name: str, what: str, patience: float | None) -> Json:
    """Writes the annotation and waits for the operator (None: for ever); the object as it stood then."""
    raw = await cluster.read(kind, name)
    identity = await annotate(cluster, kind, name, what)
    try:
        async with asyncio.timeout(patience):
            answered = await _answer(cluster, kind, name, identity)
    except TimeoutError as error:
        now = await cluster.read(kind, name)
        stands = f"The request stands until it is heard: {ANNOTATION_REQUEST}={what}/{identity}"
        raise click.ClickException(f"{unheard(kind, now, patience or 0)} {stands}") from error
    refusal = await _refusal(cluster, raw["metadata"]["uid"], what, identity)
    if refusal:
        raise click.ClickException(refusal)
    return answered


def unheard(kind: type[Object], raw: Json, patience: float) -> str:
    """Why a request was not answered in time; ``raw`` is the object as it stands."""
    if (raw.get("status") or {}).get("phase") in _STUCK:
        return f"it is not heard yet, for nothing can begin here: {sentence(kind, raw)}."
    return f"no operator answered within {patience:g} s: is it running?"


async def _answer(cluster: Cluster, kind: type[Object], name: str, identity: str) -> Json:
    """The object once the operator has handled the request ``identity``."""
    async for change in cluster.api.watch(API_VERSION, kind.KIND, cluster.namespace, metadata_only=False):
        if change.type == "Synced" or change.object["metadata"]["name"] != name:
            continue
        if change.type == "Deleted":
            raise click.ClickException(f"{kind.KIND} {name} was deleted before the request was heard")
        if (change.object.get("status") or {}).get("handledRequest") == identity:
            return change.object
        if identity not in (change.object["metadata"].get("annotations") or {}).get(ANNOTATION_REQUEST, ""):
            raise click.ClickException("somebody else's request took the place of this one before it was answered")
    raise AssertionError("a watch goes on for ever")


async def _refusal(cluster: Cluster, uid: str, what: str, identity: str) -> str:
    """Why the request was refused; empty when it was not. The operator writes the Event before it says handled.

    Read from the core group, where the same Events are: the cluster's own roles for people, view and edit, have that.
    """
    try:
        events = await cluster.api.list("v1", "Event", cluster.namespace)
    except ApiError as error:
        if error.status != 403:
            raise
        raise click.ClickException(
            f"the operator has heard {what}; whether it refused cannot be told, for you may not read Events here"
        ) from error
    mine: Callable[[Json], bool] = lambda event: (  # noqa: E731
        event.get("reason") == "RequestRefused"
        and (event.get("involvedObject") or {}).get("uid") == uid
        and identity in event.get("message", "")
    )
    found = next(filter(mine, events), None)
    return found["message"].replace(f"request {identity} was refused", "refused") if found else ""
