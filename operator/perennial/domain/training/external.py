"""Runs that Kubeflow Pipelines runs: where one goes is written before it is made, and it is ended wherever ours ends.

While one lives, the ModelTraining bears a finalizer: deleted, it is not gone before its run was told to end.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from perennial.api.common import seconds
from perennial.api.kubeflow import KubeflowRun
from perennial.api.run import Run
from perennial.api.training import ModelTraining
from perennial.contracts.names import FINALIZER_RUN
from perennial.domain.plan import Delete, Event, Finalizer, Plan, Terminate
from perennial.domain.training import kubeflow
from perennial.domain.training.kubeflow import Target, recorded, server_of
from perennial.domain.training.register import fail
from perennial.domain.training.request import Started, request_of
from perennial.domain.training.run import Ongoing
from perennial.domain.training.state import Draft, Snapshot, Trouble, running

APART = "kubeflow"
CONFIGURED_AGAIN = 60.0
GIVE_UP_AFTER = timedelta(minutes=10)
"""A ModelTraining that is deleted is held so long by a run that cannot be told to end."""


def prepare(draft: Draft, run: Run, begun: Started) -> Target | None:
    """Where ``run`` is to be made now; None where it cannot be yet, or where that has to be written first."""
    found = kubeflow.target(draft.training, begun.spec.engine, draft.snapshot.kubeflow.defaults)
    if _late(draft, run, begun):
        return None
    if isinstance(found, tuple):
        draft.trouble = Trouble(*found)
        draft.again(CONFIGURED_AGAIN)
        return None
    if draft.snapshot.store:
        draft.trouble = Trouble(*draft.snapshot.store, "Pending")
        draft.again(CONFIGURED_AGAIN)
        return None
    if refusal := draft.snapshot.kubeflow.refusal:
        fail(draft, run, *refusal, draft.now)
        draft.again(0.0)
        return None
    if run.kubeflow is None:
        draft.set_run(run, kubeflow=recorded(found))
        draft.again(0.0)
        return None
    return replace(found, server=server_of(run.kubeflow, draft.training.metadata.namespace))


def _late(draft: Draft, run: Run, begun: Started) -> bool:
    """Whether the run could not be made within its deadline; it has failed then."""
    deadline = begun.spec.engine.deadline
    if draft.now - (run.not_before or run.started_at) <= timedelta(seconds=seconds(deadline)):
        return False
    said = next((each.message for each in draft.training.status.conditions if each.type == "Ready"), "")
    end(draft, run, apart=APART)
    message = f"it could not be given to Kubeflow within spec.engine.deadline ({deadline}): {said}"
    fail(draft, run, "DeadlineExceeded", message, draft.now)
    draft.again(0.0)
    return True


def follow(draft: Draft, run: Run) -> Run:
    """Records what was found of ``run``, and has ended what nobody waits for; returns the run as it is recorded."""
    look = draft.snapshot.kubeflow.look
    if run.kubeflow is None or look is None:
        return run
    run = draft.set_run(run, kubeflow=known(draft.snapshot, run, draft.now))
    if look.twins:
        server = server_of(run.kubeflow, draft.training.metadata.namespace) if run.kubeflow else None
        draft.steps.append(Terminate(server, run.job, look.twins, apart=APART))
    alive = look.run is not None and not look.run.ended
    if alive and not isinstance(draft.snapshot.following.ending, Ongoing):
        end(draft, run, apart=APART)
    return run


def known(snapshot: Snapshot, run: Run, now: datetime) -> KubeflowRun | None:
    """What is to be recorded of ``run``'s counterpart."""
    look = snapshot.kubeflow.look
    if run.kubeflow is None or look is None:
        return run.kubeflow
    found = kubeflow.target(snapshot.training, snapshot.spec.engine, snapshot.kubeflow.defaults)
    return kubeflow.follow(run.kubeflow, look, found.ui if isinstance(found, Target) else "", now)


def progress(draft: Draft) -> str:
    """How far the run is in Kubeflow; "" where that does not tell, or the run itself tells more."""
    look, told = draft.snapshot.kubeflow.look, draft.snapshot.following.progress
    if look is None or look.run is None:
        return ""
    if told and told.component in kubeflow.active(look.run):
        return ""
    return kubeflow.progress(look.run)


def end(draft: Draft, run: Run, apart: str = "") -> None:
    """Has Kubeflow end ``run``, if it was given to it. ``apart``: whatever becomes of that, the rest is done."""
    if run.kubeflow is not None:
        server = server_of(run.kubeflow, draft.training.metadata.namespace)
        draft.steps.append(Terminate(server, run.job, apart=apart))


def forget(draft: Draft) -> None:
    """Deletes what earlier runs in Kubeflow were asked: no Job of theirs is left to do it by."""
    for run in draft.status.runs:
        if run.kubeflow is not None and run.phase != "Running":
            namespace = draft.training.metadata.namespace
            draft.steps.append(Delete("v1", "ConfigMap", namespace, request_of(run.job), apart=APART))


def hold(draft: Draft) -> None:
    """The finalizer: there while a run is, or may be, in Kubeflow."""
    run = running(draft.status.runs)
    wanted, held = run is not None and run.kubeflow is not None, FINALIZER_RUN in draft.training.metadata.finalizers
    if wanted and not held:
        draft.steps.insert(0, Finalizer(FINALIZER_RUN, there=True))
    elif held and not wanted:
        draft.steps.append(Finalizer(FINALIZER_RUN, there=False))


def let_go(training: ModelTraining, now: datetime) -> Plan:
    """What is to be done about a ModelTraining that is being deleted: its run ends, then it goes."""
    metadata = training.metadata
    if FINALIZER_RUN not in metadata.finalizers or metadata.deletion_timestamp is None:
        return Plan()
    freed = Finalizer(FINALIZER_RUN, there=False)
    run = running(training.status.runs)
    if run is None or run.kubeflow is None:
        return Plan(steps=(freed,))
    server = server_of(run.kubeflow, metadata.namespace)
    if now - metadata.deletion_timestamp < GIVE_UP_AFTER:
        return Plan(steps=(Terminate(server, run.job), freed))
    message = f"its deletion goes on though run {run.job} could not be ended in Kubeflow at {server.endpoint}"
    event = Event("Warning", "RunLeftBehind", message)
    return Plan(steps=(Terminate(server, run.job, apart=APART), freed), events=(event,))
