"""Decides about a ModelTraining: when a run starts, how it ends, what becomes of its result.

A run goes through these states, each written before the next is begun, so that the operator may end anywhere:
started (its number is taken and its triggers are answered) → launched (ConfigMap and Job are made) → reserved (it
ended well: its result, finish time and version number are recorded) → Succeeded (the ModelVersion is made), Failed or
Cancelled. Where the cluster has let it down it goes from launched back to started, with another attempt.

One run at a time. What changes or is asked meanwhile waits for its end, unless spec.concurrencyPolicy says otherwise: a
run is judged by the spec that it was started for, and a changed spec starts the next. A run that failed by itself is
not repeated until something new asks for one.
"""

from datetime import datetime, timedelta

from perennial.api.common import seconds
from perennial.api.run import Run, Trigger
from perennial.api.version import ModelVersion
from perennial.contracts.names import FINALIZER_RUN
from perennial.domain.plan import Delete, Plan
from perennial.domain.training import (
    attempts,
    check,
    external,
    polling,
    progress,
    reproduce,
    retire,
    schedule,
    triggers,
)
from perennial.domain.training.feast import unreadable
from perennial.domain.training.interrupt import cancel, interrupted
from perennial.domain.training.register import fail, register
from perennial.domain.training.request import Started, job_name, request_of, spec_hash, started
from perennial.domain.training.rivals import taken_by
from perennial.domain.training.run import Failed, Lost, Ongoing, Stopped
from perennial.domain.training.state import JOBS_KEPT, Draft, Render, Snapshot, Trouble, running
from perennial.domain.training.status import conclude

RUNNING_AGAIN = 10.0
STORE_AGAIN = 15.0
BLOCKED_AGAIN = 60.0


def decide(snapshot: Snapshot, now: datetime, render: Render) -> Plan:
    """What is to be done about the ModelTraining; ``render`` makes the manifests."""
    training = snapshot.training
    if training.metadata.deletion_timestamp is not None:
        leaving = FINALIZER_RUN in training.metadata.finalizers
        return external.let_go(training, now) if leaving else retire.leave(snapshot, now, render)
    draft = Draft.of(snapshot, now)
    if check.answer(draft):
        return draft.plan()
    check.forget(draft)
    latest = snapshot.latest
    schedule.look(draft)
    run = running(draft.status.runs)
    if run is None:
        _start(draft)
    elif interrupted(draft, run):
        pass
    elif not run.launched:
        _launch(draft, run, render)
    else:
        latest = _follow(draft, run) or latest
    _prune(draft)
    polling.look(draft, render)
    retire.look(draft, render)
    conclude(draft, latest)
    external.hold(draft)
    return draft.plan()


# --- starting -----------------------------------------------------------------------------------------------------


def _start(draft: Draft) -> None:
    """Starts a run where something asks for one and nothing stands against it; refuses what no longer holds."""
    snapshot = draft.snapshot
    waiting = triggers.pending(draft.training, snapshot.monitors, draft.now)
    if not waiting:
        return
    _refuse_request(draft, waiting.request)
    if draft.training.spec.suspend:
        return
    current = _refuse_actions(draft, waiting)
    trigger = triggers.first(waiting, current)
    reproduced = None if trigger else reproduce.wanted(draft, waiting.request)
    if trigger is None and reproduced is None:
        return
    draft.trouble = _obstacle(draft)
    if draft.trouble:
        draft.again(STORE_AGAIN if draft.trouble.reason.startswith("Store") else BLOCKED_AGAIN)
        return
    if trigger is not None:
        number = _add(draft, trigger)
        _answer(draft, waiting, current)
        draft.event("RunStarted", f"run {number} starts: {triggers.because(trigger, current)}")
    elif reproduced is not None and waiting.request is not None:
        number = _add(draft, triggers.asked_for(waiting.request), reproduced)
        draft.set(handled_request=waiting.request.id)
        draft.event("RunStarted", f"run {number} starts: it is to reproduce {reproduced.metadata.name}")


def _add(draft: Draft, trigger: Trigger, reproduced: ModelVersion | None = None) -> int:
    """Takes the next run's number, and puts the run into the status."""
    number = _next_number(draft)
    external.forget(draft)
    draft.add_run(
        Run(
            number=number,
            trigger=trigger,
            phase="Running",
            job=job_name(draft.training, number),
            image=reproduced.spec.record.image if reproduced else draft.snapshot.image,
            started_at=draft.now.replace(microsecond=0),
            reproduces=reproduced.metadata.name if reproduced else "",
        )
    )
    draft.again(0.0)
    return number


def _refuse_actions(draft: Draft, waiting: triggers.Pending) -> list[triggers.Asked]:
    """Acknowledges without a run what no longer holds; returns the actions that do hold."""
    current: list[triggers.Asked] = []
    refused: list[triggers.Asked] = []
    for asked in waiting.actions:
        if why := triggers.stale(asked, draft.snapshot.deployments):
            refused.append(asked)
            draft.event("ActionIgnored", f"no run for action {asked.action.id}: {why}")
        else:
            current.append(asked)
    if refused:
        draft.set(handled_actions=triggers.handled(draft.training, draft.snapshot.monitors, refused))
    return current


def _refuse_request(draft: Draft, request: triggers.Request | None) -> None:
    """Says at once to a person why nothing comes of the request, where nothing does."""
    if request is None:
        return
    why = request.refusal
    if not why and request.verb == triggers.CANCEL:
        why = "no run is under way"
    if not why and draft.training.spec.suspend:
        why = "spec.suspend is true; set it to false, and ask again"
    if why:
        triggers.refuse(draft, request, why)


def _answer(draft: Draft, waiting: triggers.Pending, current: list[triggers.Asked]) -> None:
    """Everything that waited is answered by the run that starts now, but a request to reproduce a version."""
    asked = waiting.request
    draft.set(
        spec_hash=spec_hash(draft.training.spec),
        handled_request=asked.id if asked and asked.verb == triggers.TRAIN else draft.status.handled_request,
        handled_actions=triggers.handled(draft.training, draft.snapshot.monitors, waiting.actions),
    )
    polling.answer(draft, anew=bool(waiting.spec))
    if waiting.schedule:
        schedule.answer(draft)
    for each in current:
        draft.event("ActionTaken", f"action {each.action.id} of DriftMonitor {each.monitor} is answered by this run")


def _obstacle(draft: Draft) -> Trouble | None:
    """What keeps a run from being started at all."""
    if taken := taken_by(draft.training, draft.snapshot.beginning.others):
        message = (
            f"model {draft.training.spec.model} belongs to the older ModelTraining {taken} of this namespace: "
            "delete one of the two, or give this one another model name"
        )
        return Trouble("ModelNameTaken", message)
    return Trouble(*draft.snapshot.store) if draft.snapshot.store else None


def _next_number(draft: Draft) -> int:
    """A run number that this training never had, not under this status, not before it was deleted or restored.

    A version's number never exceeds its run's where one training makes all, so the runs that left files in the store
    bound the version counter of a training whose status is new.
    """
    name, beginning = draft.training.metadata.name, draft.snapshot.beginning
    known = [each.spec.record.run for each in beginning.versions if each.spec.record.training == name]
    if draft.status.run_counter == 0:
        draft.set(version_counter=max(draft.status.version_counter, beginning.highest_run))
    return max([draft.status.run_counter, beginning.highest_run, *known]) + 1


# --- launching and following --------------------------------------------------------------------------------------


def _launch(draft: Draft, run: Run, render: Render) -> None:
    """Makes the run's ConfigMap and Job; a ConfigMap that stands already says what the run was started for."""
    snapshot = draft.snapshot
    if attempts.waits(draft, run):
        return
    if snapshot.started is None and snapshot.store:
        reason, message = snapshot.store
        draft.trouble = Trouble(reason, message, "Pending")
        draft.again(STORE_AGAIN)
        return
    begun = snapshot.started or _begun(draft, run)
    if begun is None:
        return
    if begun.spec.engine.type == "Kubeflow":
        target = external.prepare(draft, run, begun)
        if target is None:
            return
        draft.steps += render.submission(draft.training, run, begun, target, snapshot.kubeflow)
    else:
        draft.steps += render.run(draft.training, run, begun)
    trigger = run.trigger.model_copy(update={"id": begun.spec_hash}) if run.trigger.type == "Spec" else run.trigger
    draft.set_run(run, launched=True, trigger=trigger, not_before=None, outcome="")
    if not run.reproduces and begun.spec_hash != draft.status.spec_hash:
        polling.answer(draft, anew=True)
        draft.set(spec_hash=begun.spec_hash)
    draft.again(RUNNING_AGAIN)


def _begun(draft: Draft, run: Run) -> Started | None:
    """The run as it starts now; None where it has failed at that."""
    if run.reproduces:
        return reproduce.started(draft, run)
    beginning = draft.snapshot.beginning
    begun = started(
        draft.training,
        run,
        beginning.root,
        beginning.champion,
        draft.snapshot.feast_image,
        insists=beginning.insists,
    )
    if why := unreadable(begun.request):
        fail(draft, run, *why, draft.now)
        return None
    return begun


def _follow(draft: Draft, run: Run) -> ModelVersion | None:
    """Looks at the run's Job and result; returns the version that was made of it, if it was now."""
    snapshot = draft.snapshot
    ending, fetched = snapshot.following.ending, snapshot.following.fetched
    run = external.follow(draft, run)
    if run.result is None and isinstance(ending, Ongoing):
        draft.again(RUNNING_AGAIN)
        draft.trouble = Trouble(ending.reason, ending.message, ending.phase) if ending.reason else None
        told = external.progress(draft) or progress.told(snapshot.following.progress)
        draft.set_run(run, progress=told or run.progress)
        return None
    run = draft.set_run(run, progress="")
    if run.result is None and isinstance(ending, Stopped):
        cancel(draft, run, "Cancelled", ending.why, ending.at)
        return None
    if run.result is None and isinstance(ending, Failed):
        if not attempts.again(draft, run, ending):
            fail(draft, run, ending.reason, ending.message, ending.at)
        return None
    if snapshot.started is None:
        external.end(draft, run, apart=external.APART)
        at = ending.at if isinstance(ending, Lost) else draft.now
        fail(draft, run, "RunLost", f"its ConfigMap {request_of(run.job)}, which says what was asked for, is gone", at)
        return None
    if fetched is None:
        reason, message = snapshot.store or ("StoreUnavailable", "the run's result has not been read")
        draft.trouble = Trouble(reason, f"run {run.number} has ended, its result cannot be read: {message}", "Running")
        draft.again(STORE_AGAIN)
        return None
    if fetched.data is None and fetched.broken is None and run.result is None and attempts.again(draft, run, ending):
        return None
    if run.reproduces:
        reproduce.conclude(draft, run, snapshot.started, fetched)
        return None
    made = register(draft, run, snapshot.started, fetched)
    if made is not None:
        polling.learn(draft, made.spec.record.data.sha256)
    return made


def _prune(draft: Draft) -> None:
    """Deletes the Jobs of all but the newest runs, and those that are older than spec.engine.ttl.

    The ConfigMap goes first: a Job that is left shows that there is something to do. No run rests on it that one went.
    """
    namespace, jobs = draft.training.metadata.namespace, draft.snapshot.jobs
    kept = set(sorted({number for number, _ in jobs}, reverse=True)[:JOBS_KEPT]) - _expired(draft)
    for number, name in sorted(jobs, reverse=True):
        if number not in kept:
            draft.steps.append(Delete("v1", "ConfigMap", namespace, request_of(name), apart="prune"))
            draft.steps.append(Delete("batch/v1", "Job", namespace, name, apart="prune"))


def _expired(draft: Draft) -> set[int]:
    """The numbers of the runs that ended so long ago that their Jobs go."""
    ttl, expired = draft.training.spec.engine.ttl, set[int]()
    if ttl is None:
        return expired
    with_jobs = {number for number, _ in draft.snapshot.jobs}
    for run in draft.status.runs:
        if run.finished_at is None or run.number not in with_jobs:
            continue
        left = (run.finished_at + timedelta(seconds=seconds(ttl)) - draft.now).total_seconds()
        if left <= 0:
            expired.add(run.number)
        else:
            draft.again(left)
    return expired
