"""How a run stands, read from its Job and its pod."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from perennial.api.common import parse_time
from perennial.api.run import Engine
from perennial.contracts.names import STORE_SECRET
from perennial.contracts.request import FEAST_STORE, SQL_URL, Artifact
from perennial.contracts.result import DataSeen, RunOutcome

CONTAINER = "run"
OWN_CONTAINER = "pipeline"
"""That executes a pipeline of somebody's own, before ours measures what it made."""
FEAST_CONTAINER = "feast"
"""That looks features up in a Feast repository, before any other reads them."""
NO_POD_AFTER = timedelta(seconds=60)
_PULL_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_START_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}

Json = dict[str, Any]


@dataclass(frozen=True)
class Ongoing:
    """Not at its end; ``reason`` and ``message`` say what keeps its pod from starting, if anything does. ``phase`` is
    what ``kubectl get`` shows then.
    """

    reason: str = ""
    message: str = ""
    phase: str = "Pending"


@dataclass(frozen=True)
class Reported:
    """It says that it succeeded, and where its result is. ``image`` is what the pod ran, by digest where known."""

    result: Artifact
    at: datetime
    image: str = ""


@dataclass(frozen=True)
class Failed:
    """It failed, for a cause that is known."""

    reason: str
    message: str
    at: datetime


@dataclass(frozen=True)
class Stopped:
    """Somebody ended it, and it was not us."""

    why: str
    at: datetime


@dataclass(frozen=True)
class Lost:
    """It ended, and its own account is lost: whether it succeeded only its files can tell.

    ``disrupted``: the pod was taken away, by its node's end most often; nobody deleted the Job.
    """

    why: str
    at: datetime
    disrupted: bool = False


@dataclass(frozen=True)
class Seen:
    """What a poll has found the data to be."""

    data: DataSeen
    at: datetime


@dataclass(frozen=True)
class Unseen:
    """Why a poll has not seen the data."""

    reason: str
    message: str


Ending = Ongoing | Reported | Failed | Stopped | Lost


def observe(job: Json | None, pods: Sequence[Json], engine: Engine, now: datetime) -> Ending:
    """How the run of ``job`` stands. ``pods`` are its pods; ``engine`` is what it was started with."""
    pod = max(pods, key=lambda each: str(each["metadata"].get("creationTimestamp", "")), default=None)
    terminated = _state(pod, "terminated") if pod else {}
    if pod and terminated:
        told = _told(pod, terminated, engine, now)
        if told is not None:
            return told
    if job is None:
        return Lost("its Job is gone", now)
    end = _condition(job, "Failed") or _condition(job, "Complete")
    if not end:
        return Ongoing(*_trouble(job, pod, engine, now))
    at = _time(end.get("lastTransitionTime"), now)
    if end.get("reason") == "DeadlineExceeded":
        message = f"the run took longer than spec.engine.deadline ({engine.deadline}): raise it, or search less"
        return Failed("DeadlineExceeded", message, at)
    if pod and (why := _evicted(pod)):
        return Failed("Evicted", f"the run's pod was put out: {why}", at)
    if terminated and terminated.get("exitCode"):
        return Failed("InternalError", f"the run ended with exit code {terminated['exitCode']} and no word why", at)
    return Lost("its pod left no account", at, disrupted=True)


def observe_poll(job: Json | None, pods: Sequence[Json], now: datetime) -> Seen | Unseen | None:
    """How the poll of ``job`` ended; None while it has not. ``pods`` are its pods."""
    terminated = next((state for pod in pods if (state := _state(pod, "terminated"))), {})
    message = terminated.get("message") or ""
    try:
        return Seen(msgspec.json.decode(message, type=DataSeen), _time(terminated.get("finishedAt"), now))
    except msgspec.DecodeError:
        pass
    if (outcome := _outcome(message)) and not outcome.succeeded:
        return Unseen(outcome.reason or "InternalError", outcome.message or "it does not say why")
    if job is None:
        return Unseen("PollLost", "its Job is gone, and what it has seen with it")
    end = _condition(job, "Failed") or _condition(job, "Complete")
    if not end:
        return None
    if terminated.get("reason") == "OOMKilled":
        return Unseen("OOMKilled", "it needed more memory than its limit")
    if end.get("reason") == "DeadlineExceeded":
        trouble = next((each for each in map(_waiting, pods) if each), "")
        return Unseen("DeadlineExceeded", "it took too long" + (f": {trouble}" if trouble else ""))
    return Unseen("PollLost", f"it ended without a word (exit code {terminated.get('exitCode', 'unknown')})")


def _waiting(pod: Json) -> str:
    waiting = _state(pod, "waiting")
    return str(waiting.get("message") or waiting.get("reason") or "")


def _evicted(pod: Json) -> str:
    """Why the pod was taken off its node, if it was: for want of something there, or as the node was drained."""
    status = pod.get("status", {})
    disrupted = _condition(pod, "DisruptionTarget")
    if disrupted:
        return f"{disrupted.get('reason', '')}: {disrupted.get('message', '')}"
    return str(status.get("message") or "its node says no more") if status.get("reason") == "Evicted" else ""


def _told(pod: Json, terminated: Json, engine: Engine, now: datetime) -> Ending | None:
    """What the ended container says of itself, if anything."""
    at = _time(terminated.get("finishedAt"), now)
    outcome = _outcome(terminated.get("message") or "")
    if outcome and outcome.succeeded and outcome.result:
        return Reported(outcome.result, at, _image(pod))
    if outcome and not outcome.succeeded:
        where = f"{outcome.component} failed: " if outcome.component else ""
        return Failed(outcome.reason or "InternalError", where + (outcome.message or "it does not say why"), at)
    if terminated.get("reason") == "OOMKilled":
        limit = engine.resources.memory
        message = f"the run needed more memory than its limit of {limit}: raise spec.engine.resources.memory"
        return Failed("OOMKilled", message, at)
    return None


def _outcome(message: str) -> RunOutcome | None:
    try:
        return msgspec.json.decode(message, type=RunOutcome)
    except msgspec.DecodeError:
        return None


def _trouble(job: Json, pod: Json | None, engine: Engine, now: datetime) -> tuple[str, str]:
    """Why the run's pod does not start: (reason, message), empty while all is well."""
    name = job["metadata"]["name"]
    if pod is None:
        if now - _time(job["metadata"].get("creationTimestamp"), now) < NO_POD_AFTER:
            return "", ""
        return "PodNotCreated", f"Job {name} has made no pod: kubectl describe job {name} says why"
    waiting = _state(pod, "waiting")
    reason, detail = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _PULL_REASONS:
        return "ImagePullFailed", f"the image of the run cannot be had: {detail or reason}"
    if reason in _START_REASONS and f'"{STORE_SECRET}"' in detail and "not found" in detail:
        return "StoreSecretMissing", f"create the Secret {STORE_SECRET} in this namespace: {detail}"
    if reason in _START_REASONS:
        for field, secret in _source_secrets(pod):
            if _is_about(detail, secret["name"]):
                message = f"{field}: the Secret {secret['name']} must have the entry {secret['key']}: {detail}"
                return "SourceSecretMissing", message
    if reason in _START_REASONS:
        return reason, f"the run's container cannot start: {detail}"
    scheduled = _condition(pod, "PodScheduled", "False")
    if scheduled and scheduled.get("reason") == "Unschedulable":
        wanted = f"cpu {engine.resources.cpu}, memory {engine.resources.memory}"
        message = f"no node takes the run's pod ({wanted} in spec.engine.resources): {scheduled.get('message', '')}"
        return "Unschedulable", message
    return "", ""


def _source_secrets(pod: Json) -> Iterator[tuple[str, Json]]:
    """The entries of Secrets by which the pod reads its source, each with the field that names it."""
    spec = pod.get("spec", {})
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        rows = "data.source.feast.entities" if container.get("name") == FEAST_CONTAINER else "data.source"
        fields = {SQL_URL: f"{rows}.sql", FEAST_STORE: "data.source.feast.storeSecret"}
        for each in container.get("env") or ():
            if each["name"] in fields:
                yield fields[each["name"]], each["valueFrom"]["secretKeyRef"]


def _is_about(detail: str, secret: str) -> bool:
    """Whether a kubelet's message is of this Secret, which is missing or lacks an entry."""
    return f'secret "{secret}" not found' in detail or (
        "couldn't find key" in detail and re.search(rf"Secret \S+/{re.escape(secret)}$", detail.strip()) is not None
    )


def _state(pod: Json, name: str) -> Json:
    """Of the container that says how the run stands: ours, unless one before it does not come to its end."""
    state: Json = _status(pod, "containerStatuses", CONTAINER).get("state") or {}
    for before in (OWN_CONTAINER, FEAST_CONTAINER):
        own = _status(pod, "initContainerStatuses", before).get("state") or {}
        if own.get("waiting") or (own.get("terminated") or {}).get("exitCode"):
            state = own
    return state.get(name) or {}


def _status(pod: Json, kind: str, container: str) -> Json:
    statuses = pod.get("status", {}).get(kind) or []
    return next((each for each in statuses if each.get("name") == container), {})


def _image(pod: Json) -> str:
    """What the container ran: the image's name, with its digest where the node knows it."""
    status = _status(pod, "containerStatuses", CONTAINER)
    image, digest = status.get("image", ""), str(status.get("imageID", "")).rpartition("@")[2]
    return f"{image}@{digest}"[:512] if image and digest.startswith("sha256:") and "@" in status["imageID"] else image


def _condition(raw: Json, type_: str, status: str = "True") -> Json | None:
    conditions = raw.get("status", {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == type_ and each["status"] == status), None)


def _time(text: str | None, otherwise: datetime) -> datetime:
    return parse_time(text) if text else otherwise.replace(microsecond=0)
