"""ModelTraining: reads only what its present state can need, so that an idle one costs three requests."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from perennial.adapters.store import StoreSecretMissing, StoreUnavailable
from perennial.api.common import API_VERSION
from perennial.api.deployment import ModelDeployment
from perennial.api.drift import DriftMonitor
from perennial.api.run import Run
from perennial.api.training import ModelTraining
from perennial.api.version import ModelVersion
from perennial.contracts.names import (
    FILE_PROGRESS,
    FILE_RESULT,
    FINALIZER_FILES,
    LABEL_NAME,
    LABEL_RUN,
    LABEL_TRAINING,
    kubeflow_folder,
)
from perennial.contracts.objects import DigestMismatch, sha256
from perennial.contracts.progress import Progress
from perennial.contracts.request import Artifact
from perennial.contracts.result import FILE_REQUEST
from perennial.domain.plan import Plan
from perennial.domain.training import decide as training
from perennial.domain.training import polling, progress
from perennial.domain.training.kubeflow import Side
from perennial.domain.training.request import Started, read_started, request_of
from perennial.domain.training.run import Lost, Ongoing, Reported, observe, observe_poll
from perennial.domain.training.state import (
    Beginning,
    Fetched,
    Following,
    Polling,
    Render,
    Snapshot,
    finished,
    running,
)
from perennial.domain.training.triggers import pending
from perennial.reconcile import kubeflow_run as kubeflow
from perennial.reconcile.controller import Context
from perennial.reconcile.registry import insists_on_approval, read_registry, readable
from perennial.render.kubeflow import submission
from perennial.render.removal_job import removal
from perennial.render.run_job import POLL, launch, launch_poll

RENDER = Render(run=launch, submission=submission, poll=launch_poll, removal=removal)
PROGRESS_EVERY = timedelta(seconds=10)
PROGRESS_PATIENCE = 3.0
PROGRESS_BYTES = 65536

Json = dict[str, Any]


class TrainingController:
    """Gathers and decides for ModelTrainings. Of a run under way it remembers when it last asked how far that is."""

    kind = ModelTraining

    def __init__(self) -> None:
        self._asked: dict[str, tuple[datetime, Progress | None]] = {}

    async def gather(self, context: Context, raw: Json, now: datetime) -> Snapshot:
        """Of the store it reads nothing but the root's address, how far a run is, and the result of one that ended."""
        mine = ModelTraining.parse(raw)
        settings = context.settings
        snapshot = Snapshot(training=mine, image=settings.components_image, feast_image=settings.feast_image)
        if mine.metadata.deletion_timestamp is not None:
            held = FINALIZER_FILES in mine.metadata.finalizers
            return replace(snapshot, registry=await read_registry(context, mine)) if held else snapshot
        if checked := await kubeflow.checked(context, mine):
            return replace(snapshot, kubeflow=Side(settings.kubeflow, checked=checked))
        namespace = mine.metadata.namespace
        monitors = readable(DriftMonitor, await _list(context, namespace, DriftMonitor.KIND))
        runs, polls = await _jobs(context, mine)
        snapshot = replace(
            snapshot,
            monitors=tuple(each for each in monitors if each.spec.training == mine.metadata.name),
            jobs=runs,
            polling=await _polling(context, mine, polls, now),
            latest=await _latest(context, mine),
            registry=await read_registry(context, mine),
        )
        run = running(mine.status.runs)
        asked = bool(pending(mine, snapshot.monitors, now))
        if run is None:
            self._asked.pop(mine.metadata.uid, None)
            return await _before_start(context, snapshot) if asked and not mine.spec.suspend else snapshot
        if asked and mine.spec.concurrency_policy == "Replace":
            snapshot = replace(snapshot, deployments=await _deployments(context, namespace))
        config_map = await context.api.get("v1", "ConfigMap", namespace, request_of(run.job))
        snapshot = replace(snapshot, started=read_started(config_map))
        if run.launched:
            return await self._progress(context, await _after_launch(context, snapshot, run, now), run, now)
        snapshot = await kubeflow.before_launch(context, snapshot)
        return await _before_launch(context, snapshot, run) if snapshot.started is None else snapshot

    async def _progress(self, context: Context, snapshot: Snapshot, run: Run, now: datetime) -> Snapshot:
        """With what the run says of itself. Whatever goes wrong there is nobody's trouble."""
        begun, following, uid = snapshot.started, snapshot.following, snapshot.training.metadata.uid
        if begun is None or not isinstance(following.ending, Ongoing) or following.ending.reason:
            return snapshot
        at, known = self._asked.get(uid, (None, None))
        if at is None or not timedelta() <= now - at < PROGRESS_EVERY:
            known = None
            with contextlib.suppress(StoreUnavailable, TimeoutError):
                folder = (
                    kubeflow_folder(begun.request.output, run.kubeflow.id) if run.kubeflow else begun.request.output
                )
                address = f"{folder}/{FILE_PROGRESS}"
                async with asyncio.timeout(PROGRESS_PATIENCE):
                    data = await context.store.find(snapshot.training.metadata.namespace, address, PROGRESS_BYTES)
                known = progress.read(data) if data is not None else None
            self._asked[uid] = now, known
        return replace(snapshot, following=replace(following, progress=known))

    def decide(self, snapshot: Snapshot, now: datetime) -> Plan:
        """See :func:`perennial.domain.training.decide.decide`."""
        return training.decide(snapshot, now, RENDER)


async def _polling(context: Context, mine: ModelTraining, jobs: tuple[str, ...], now: datetime) -> Polling:
    """The poll under way, or what is needed to start one that is due."""
    namespace, name = mine.metadata.namespace, mine.status.data.job
    if name:
        job = await context.api.get("batch/v1", "Job", namespace, name)
        pods = await context.api.list(
            "v1", "Pod", namespace, labels=f"{LABEL_TRAINING}={mine.metadata.name},{LABEL_NAME}={POLL}"
        )
        return Polling(jobs=jobs, ending=observe_poll(job, [pod for pod in pods if _made_by(pod, name)], now))
    if polling.wait(mine, now) != 0:
        return Polling(jobs=jobs)
    try:
        return Polling(jobs=jobs, root=await context.store.root(namespace))
    except StoreUnavailable as error:
        return Polling(jobs=jobs, store=_reason(error))


async def _before_start(context: Context, snapshot: Snapshot) -> Snapshot:
    mine, namespace = snapshot.training, snapshot.training.metadata.namespace
    others = readable(ModelTraining, await _list(context, namespace, ModelTraining.KIND))
    snapshot = replace(
        snapshot,
        deployments=await _deployments(context, namespace),
        beginning=Beginning(others=tuple(others), versions=await _versions(context, namespace)),
    )
    try:
        root = await context.store.root(namespace)
        first = mine.status.run_counter == 0
        highest = await context.store.highest_run(namespace, mine.metadata.name) if first else 0
    except StoreUnavailable as error:
        return replace(snapshot, store=_reason(error))
    return replace(snapshot, beginning=replace(snapshot.beginning, root=root, highest_run=highest))


async def _before_launch(context: Context, snapshot: Snapshot, run: Run) -> Snapshot:
    namespace = snapshot.training.metadata.namespace
    deployments = await _deployments(context, namespace)
    try:
        root = await context.store.root(namespace)
    except StoreUnavailable as error:
        return replace(snapshot, store=_reason(error))
    if run.reproduces:
        try:
            version, original = await _reproduced(context, namespace, run.reproduces)
        except StoreUnavailable as error:
            return replace(snapshot, store=_reason(error))
        return replace(snapshot, beginning=Beginning(root=root, reproduced=version, original=original))
    champion = await _champion(context, snapshot.training, deployments)
    insists = await insists_on_approval(context, namespace)
    beginning = Beginning(root=root, champion=champion, insists=insists)
    return replace(snapshot, deployments=deployments, beginning=beginning)


async def _reproduced(context: Context, namespace: str, name: str) -> tuple[ModelVersion | None, bytes | None]:
    """The version that is to be reproduced, and what its run was asked, where they are still there."""
    version = await _version(context, namespace, name)
    recorded = version.spec.record.artifacts.get(FILE_REQUEST) if version else None
    if recorded is None:
        return version, None
    try:
        return version, await context.store.read(namespace, Artifact(recorded.uri, recorded.sha256, recorded.size))
    except (FileNotFoundError, DigestMismatch):
        return version, None


async def _after_launch(context: Context, snapshot: Snapshot, run: Run, now: datetime) -> Snapshot:
    namespace, begun = snapshot.training.metadata.namespace, snapshot.started
    if run.kubeflow is not None:
        snapshot = await kubeflow.after_launch(context, snapshot, run, now)
        ending = snapshot.following.ending
    else:
        job = await context.api.get("batch/v1", "Job", namespace, run.job)
        ending = observe(job, await _pods(context, snapshot, run), snapshot.spec.engine, now)
        snapshot = replace(snapshot, following=Following(ending=ending))
    if begun is None or (run.result is None and not isinstance(ending, Reported | Lost)):
        return snapshot
    try:
        fetched = await _fetch(context, snapshot, run, begun)
    except StoreUnavailable as error:
        return replace(snapshot, store=_reason(error))
    if fetched.data is None:
        return replace(snapshot, following=Following(ending=ending, fetched=fetched))
    versions, insists = await _versions(context, namespace), await insists_on_approval(context, namespace)
    following = Following(ending=ending, fetched=fetched, versions=versions, insists=insists)
    return replace(snapshot, following=following)


async def _fetch(context: Context, snapshot: Snapshot, run: Run, begun: Started) -> Fetched:
    """The run's result.json: the recorded one, the one that the run names, or whatever is at its address."""
    namespace, address = snapshot.training.metadata.namespace, f"{begun.request.output}/{FILE_RESULT}"
    ending = snapshot.following.ending
    if run.result is not None:
        artifact = Artifact(run.result["uri"], run.result["sha256"], run.result.get("size", 0))
    elif isinstance(ending, Reported):
        artifact = ending.result
    else:
        data = await context.store.find(namespace, address)
        return Fetched() if data is None else Fetched(data, Artifact(address, sha256(data), len(data)))
    if artifact.uri != address:
        message = f"the run says that its result is at {artifact.uri}; it belongs at {address}"
        return Fetched(broken=("ResultMismatch", message))
    try:
        return Fetched(await context.store.read(namespace, artifact), artifact)
    except FileNotFoundError:
        return Fetched()
    except DigestMismatch as error:
        return Fetched(broken=("ResultMismatch", str(error)))


def _reason(error: StoreUnavailable) -> tuple[str, str]:
    return "StoreSecretMissing" if isinstance(error, StoreSecretMissing) else "StoreUnavailable", str(error)


async def _champion(
    context: Context, mine: ModelTraining, deployments: tuple[ModelDeployment, ...]
) -> ModelVersion | None:
    """The version in service: of the first ModelDeployment of the model, by name."""
    serving = [each for each in deployments if each.spec.model == mine.spec.model and each.status.stable]
    first = min(serving, key=lambda each: each.metadata.name, default=None)
    if first is None or first.status.stable is None:
        return None
    return await _version(context, mine.metadata.namespace, first.status.stable.version)


async def _latest(context: Context, mine: ModelTraining) -> ModelVersion | None:
    last = finished(mine.status.runs)
    return await _version(context, mine.metadata.namespace, last.version) if last and last.version else None


async def _version(context: Context, namespace: str, name: str) -> ModelVersion | None:
    raw = await context.api.get(API_VERSION, ModelVersion.KIND, namespace, name)
    return ModelVersion.parse(raw) if raw else None


async def _jobs(context: Context, mine: ModelTraining) -> tuple[tuple[tuple[int, str], ...], tuple[str, ...]]:
    """The training's Jobs: (number, name) of those of runs, and the names of those of polls."""
    found = await context.api.list(
        "batch/v1", "Job", mine.metadata.namespace, labels=f"{LABEL_TRAINING}={mine.metadata.name}", metadata_only=True
    )
    mine_alone = [each["metadata"] for each in found if _owned(each, mine.metadata.uid)]
    runs = [each for each in mine_alone if each["labels"].get(LABEL_NAME) != POLL]
    return (
        tuple((int(each["labels"].get(LABEL_RUN, "0")), each["name"]) for each in runs),
        tuple(each["name"] for each in mine_alone if each not in runs),
    )


async def _pods(context: Context, snapshot: Snapshot, run: Run) -> list[Json]:
    metadata = snapshot.training.metadata
    labels = f"{LABEL_TRAINING}={metadata.name},{LABEL_RUN}={run.number}"
    found = await context.api.list("v1", "Pod", metadata.namespace, labels=labels)
    return [pod for pod in found if _made_by(pod, run.job)]


def _made_by(pod: Json, job: str) -> bool:
    owners = pod["metadata"].get("ownerReferences", ())
    return any(owner["kind"] == "Job" and owner["name"] == job for owner in owners)


def _owned(raw: Json, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in raw["metadata"].get("ownerReferences", ()))


async def _deployments(context: Context, namespace: str) -> tuple[ModelDeployment, ...]:
    return tuple(ModelDeployment.parse(each) for each in await _list(context, namespace, ModelDeployment.KIND))


async def _versions(context: Context, namespace: str) -> tuple[ModelVersion, ...]:
    return tuple(ModelVersion.parse(each) for each in await _list(context, namespace, ModelVersion.KIND))


async def _list(context: Context, namespace: str, kind: str) -> list[Json]:
    return await context.api.list(API_VERSION, kind, namespace)
