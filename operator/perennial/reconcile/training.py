"""ModelTraining: reads only what its present state can need, so that an idle one costs three requests."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from perennial.adapters.store import StoreSecretMissing, StoreUnavailable
from perennial.api.common import API_VERSION
from perennial.api.deployment import ModelDeployment
from perennial.api.drift import DriftMonitor
from perennial.api.run import Run
from perennial.api.training import ModelTraining
from perennial.api.version import ModelVersion
from perennial.contracts.names import FILE_RESULT, LABEL_RUN, LABEL_TRAINING
from perennial.contracts.objects import DigestMismatch, sha256
from perennial.contracts.request import Artifact
from perennial.domain.plan import Plan
from perennial.domain.training import decide as training
from perennial.domain.training.request import Started, read_started
from perennial.domain.training.run import Lost, Reported, observe
from perennial.domain.training.state import Beginning, Fetched, Following, Snapshot, finished, running
from perennial.domain.training.triggers import pending
from perennial.reconcile.controller import Context
from perennial.render.run_job import launch

Json = dict[str, Any]


class TrainingController:
    """Gathers and decides for ModelTrainings."""

    kind = ModelTraining

    async def gather(self, context: Context, raw: Json, now: datetime) -> Snapshot:
        """Of the store it reads nothing but the root's address and, once, the result of a run that ended."""
        mine = ModelTraining.parse(raw)
        snapshot = Snapshot(training=mine, image=context.settings.components_image)
        if mine.metadata.deletion_timestamp is not None:
            return snapshot
        namespace = mine.metadata.namespace
        monitors = [DriftMonitor.parse(each) for each in await _list(context, namespace, DriftMonitor.KIND)]
        snapshot = replace(
            snapshot,
            monitors=tuple(each for each in monitors if each.spec.training == mine.metadata.name),
            jobs=await _jobs(context, mine),
            latest=await _latest(context, mine),
        )
        run = running(mine.status.runs)
        if run is None:
            return await _before_start(context, snapshot) if pending(mine, snapshot.monitors) else snapshot
        config_map = await context.api.get("v1", "ConfigMap", namespace, run.job)
        snapshot = replace(snapshot, started=read_started(config_map))
        if run.launched:
            return await _after_launch(context, snapshot, run, now)
        return await _before_launch(context, snapshot) if snapshot.started is None else snapshot

    def decide(self, snapshot: Snapshot, now: datetime) -> Plan:
        """See :func:`perennial.domain.training.decide.decide`."""
        return training.decide(snapshot, now, launch)


async def _before_start(context: Context, snapshot: Snapshot) -> Snapshot:
    mine, namespace = snapshot.training, snapshot.training.metadata.namespace
    others = [ModelTraining.parse(each) for each in await _list(context, namespace, ModelTraining.KIND)]
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


async def _before_launch(context: Context, snapshot: Snapshot) -> Snapshot:
    namespace = snapshot.training.metadata.namespace
    deployments = await _deployments(context, namespace)
    try:
        root = await context.store.root(namespace)
    except StoreUnavailable as error:
        return replace(snapshot, store=_reason(error))
    champion = await _champion(context, snapshot.training, deployments)
    return replace(snapshot, deployments=deployments, beginning=Beginning(root=root, champion=champion))


async def _after_launch(context: Context, snapshot: Snapshot, run: Run, now: datetime) -> Snapshot:
    namespace, begun = snapshot.training.metadata.namespace, snapshot.started
    engine = begun.spec.engine if begun else snapshot.training.spec.engine
    ending = observe(
        await context.api.get("batch/v1", "Job", namespace, run.job), await _pods(context, snapshot, run), engine, now
    )
    snapshot = replace(snapshot, following=Following(ending=ending))
    if begun is None or (run.result is None and not isinstance(ending, Reported | Lost)):
        return snapshot
    try:
        fetched = await _fetch(context, snapshot, run, begun)
    except StoreUnavailable as error:
        return replace(snapshot, store=_reason(error))
    versions = await _versions(context, namespace) if fetched.data is not None else ()
    return replace(snapshot, following=Following(ending=ending, fetched=fetched, versions=versions))


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


async def _jobs(context: Context, mine: ModelTraining) -> tuple[tuple[int, str], ...]:
    found = await context.api.list(
        "batch/v1", "Job", mine.metadata.namespace, labels=f"{LABEL_TRAINING}={mine.metadata.name}", metadata_only=True
    )
    return tuple(
        (int(each["metadata"]["labels"].get(LABEL_RUN, "0")), each["metadata"]["name"])
        for each in found
        if _owned(each, mine.metadata.uid)
    )


async def _pods(context: Context, snapshot: Snapshot, run: Run) -> list[Json]:
    metadata = snapshot.training.metadata
    labels = f"{LABEL_TRAINING}={metadata.name},{LABEL_RUN}={run.number}"
    found = await context.api.list("v1", "Pod", metadata.namespace, labels=labels)
    return [
        pod
        for pod in found
        if any(
            owner["kind"] == "Job" and owner["name"] == run.job for owner in pod["metadata"].get("ownerReferences", ())
        )
    ]


def _owned(raw: Json, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in raw["metadata"].get("ownerReferences", ()))


async def _deployments(context: Context, namespace: str) -> tuple[ModelDeployment, ...]:
    return tuple(ModelDeployment.parse(each) for each in await _list(context, namespace, ModelDeployment.KIND))


async def _versions(context: Context, namespace: str) -> tuple[ModelVersion, ...]:
    return tuple(ModelVersion.parse(each) for each in await _list(context, namespace, ModelVersion.KIND))


async def _list(context: Context, namespace: str, kind: str) -> list[Json]:
    return await context.api.list(API_VERSION, kind, namespace)
