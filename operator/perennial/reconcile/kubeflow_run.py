"""Kubeflow's part of a ModelTraining's snapshot: what is needed to make a run there, and how the run stands."""

from dataclasses import replace
from datetime import datetime

import msgspec
import yaml

from perennial.adapters.store import StoreSecretMissing, StoreUnavailable
from perennial.api.pipeline import OwnPipeline
from perennial.api.run import Run
from perennial.api.training import ModelTraining
from perennial.contracts.names import FILE_FAILURE, kubeflow_folder
from perennial.contracts.objects import sha256
from perennial.contracts.pipeline import lint
from perennial.contracts.result import RunOutcome
from perennial.domain.training import check, external
from perennial.domain.training.kubeflow import Checked, Side, observe, server_of, target
from perennial.domain.training.run import Ongoing
from perennial.domain.training.state import Following, Snapshot
from perennial.reconcile.controller import Context

LARGEST_PIPELINE = 4 * 1024 * 1024


async def checked(context: Context, training: ModelTraining) -> Checked | None:
    """What Kubeflow says, where a person asks for that and one is used."""
    if check.wanted(training) is None or training.spec.engine.type != "Kubeflow":
        return None
    where = target(training, training.spec.engine, context.settings.kubeflow)
    return Checked(False, *where) if isinstance(where, tuple) else await context.kubeflow.check(where.server)


async def before_launch(context: Context, snapshot: Snapshot) -> Snapshot:
    """With the entries of the store's Secret, which the run's pods are given."""
    spec = snapshot.spec
    if spec.engine.type != "Kubeflow":
        return snapshot
    side = Side(context.settings.kubeflow)
    try:
        keys = await context.store.keys(snapshot.training.metadata.namespace)
    except StoreUnavailable as error:
        reason = "StoreSecretMissing" if isinstance(error, StoreSecretMissing) else "StoreUnavailable"
        return replace(snapshot, kubeflow=side, store=(reason, str(error)))
    side = replace(side, keys=keys)
    if spec.pipeline is None:
        return replace(snapshot, kubeflow=side)
    try:
        return replace(snapshot, kubeflow=await _own(context, snapshot, spec.pipeline, side))
    except StoreUnavailable as error:
        return replace(snapshot, kubeflow=side, store=("StoreUnavailable", f"spec.pipeline.url: {error}"))


async def _own(context: Context, snapshot: Snapshot, given: OwnPipeline, side: Side) -> Side:
    """With the file of a pipeline of somebody's own, or why it is not run."""
    content = await context.store.find(snapshot.training.metadata.namespace, given.url, LARGEST_PIPELINE)
    if content is None:
        return replace(side, refusal=("SourceInvalid", f"spec.pipeline.url: there is nothing at {given.url}"))
    if (found := sha256(content)) != given.sha256:
        why = f"spec.pipeline.sha256: the file at {given.url} has {found}: it is another one"
        return replace(side, refusal=("TrainingFailed", why))
    try:
        findings = lint(list(yaml.safe_load_all(content)), engine="Kubeflow")
    except yaml.YAMLError as error:
        return replace(side, refusal=("TrainingFailed", f"spec.pipeline.url: {given.url} is no YAML: {error}"))
    if errors := [str(finding) for finding in findings if finding.level == "Error"]:
        return replace(side, refusal=("TrainingFailed", "spec.pipeline: " + "\n".join(errors)))
    return replace(side, own=content)


async def after_launch(context: Context, snapshot: Snapshot, run: Run, now: datetime) -> Snapshot:
    """With what Kubeflow tells of ``run``, and how it stands."""
    if run.kubeflow is None:
        return snapshot
    namespace = snapshot.training.metadata.namespace
    look = await context.kubeflow.look(server_of(run.kubeflow, namespace), run.kubeflow, run.job)
    snapshot = replace(snapshot, kubeflow=Side(context.settings.kubeflow, look=look))
    if look.run and look.run.state == "FAILED" and run.result is None:
        try:
            look = replace(look, failure=await _failure(context, snapshot, look.run.id))
            if look.failure is None and look.run:
                terminated = await context.kubeflow.terminated(server_of(run.kubeflow, namespace), look.run.id)
                look = replace(look, terminated=terminated)
        except StoreUnavailable as error:
            # Kubeflow says that it failed and not why: whether to try again depends on that.
            waiting = Ongoing(
                "StoreUnavailable", f"run {run.number} has failed, why cannot be read: {error}", "Running"
            )
            return replace(snapshot, following=Following(ending=waiting))
        snapshot = replace(snapshot, kubeflow=Side(context.settings.kubeflow, look=look))
    known = external.known(snapshot, run, now)
    ending = observe(known, look, snapshot.spec.engine, now) if known else Ongoing()
    return replace(snapshot, following=Following(ending=ending))


async def _failure(context: Context, snapshot: Snapshot, run: str) -> RunOutcome | None:
    """What the component that failed has left; None where it left nothing that can be read."""
    if snapshot.started is None:
        return None
    address = f"{kubeflow_folder(snapshot.started.request.output, run)}/{FILE_FAILURE}"
    data = await context.store.find(snapshot.training.metadata.namespace, address)
    try:
        return msgspec.json.decode(data, type=RunOutcome) if data is not None else None
    except msgspec.DecodeError:
        return None
