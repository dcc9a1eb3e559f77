"""Decides about a ModelTraining: when a run starts, how it ends, what becomes of its result.

A run goes through these states, each written before the next is begun, so that the operator may end anywhere:
started (its number is taken and its triggers are answered) → launched (ConfigMap and Job are made) → reserved (it
ended well: its result, finish time and version number are recorded) → Succeeded (the ModelVersion is made) or Failed.

One run at a time. What changes or is asked meanwhile waits for its end: a run is judged by the spec that it was started
for, and a changed spec starts the next. A failed run is not repeated until something new asks for one.
"""

from datetime import datetime

from perennial.api.run import Run, Trigger
from perennial.api.training import ModelTraining
from perennial.api.version import ModelVersion
from perennial.domain.plan import Delete, Plan
from perennial.domain.training import triggers
from perennial.domain.training.register import fail, register
from perennial.domain.training.request import job_name, spec_hash, started
from perennial.domain.training.run import Failed, Lost, Ongoing
from perennial.domain.training.state import JOBS_KEPT, Draft, Launch, Snapshot, Trouble, running
from perennial.domain.training.status import conclude

RUNNING_AGAIN = 30.0
STORE_AGAIN = 15.0
BLOCKED_AGAIN = 60.0


def decide(snapshot: Snapshot, now: datetime, launch: Launch) -> Plan:
    """What is to be done about the ModelTraining; ``launch`` renders what a run is made of."""
    training = snapshot.training
    if training.metadata.deletion_timestamp is not None:
        return Plan()
    draft = Draft.of(snapshot, now)
    latest = snapshot.latest
    run = running(draft.status.runs)
    if run is None:
        _start(draft)
    elif not run.launched:
        _launch(draft, run, launch)
    else:
        latest = _follow(draft, run) or latest
    _prune(draft)
    conclude(draft, latest)
    return draft.plan()


# --- starting -----------------------------------------------------------------------------------------------------


def _start(draft: Draft) -> None:
    """Starts a run where something asks for one and nothing stands against it; refuses what no longer holds."""
    snapshot = draft.snapshot
    waiting = triggers.pending(draft.training, snapshot.monitors)
    if not waiting:
        return
    current = _refuse(draft, waiting)
    trigger = triggers.first(waiting, current)
    if trigger is None:
        return
    draft.trouble = _obstacle(draft)
    if draft.trouble:
        draft.requeue = STORE_AGAIN if draft.trouble.reason.startswith("Store") else BLOCKED_AGAIN
        return
    number = _next_number(draft)
    draft.add_run(
        Run(
            number=number,
            trigger=trigger,
            phase="Running",
            job=job_name(draft.training, number),
            image=snapshot.image,
            started_at=draft.now.replace(microsecond=0),
        )
    )
    _answer(draft, waiting, current)
    draft.event("RunStarted", f"run {number} starts: {_because(trigger, current)}")
    draft.requeue = 0.0


def _refuse(draft: Draft, waiting: triggers.Pending) -> list[triggers.Asked]:
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
    if waiting.refusal:
        draft.set(handled_request=waiting.request)
        draft.event("RequestRefused", f"request {waiting.request} was refused: {waiting.refusal}", warning=True)
    return current


def _answer(draft: Draft, waiting: triggers.Pending, current: list[triggers.Asked]) -> None:
    """Everything that waited is answered by the run that starts now."""
    draft.set(
        spec_hash=spec_hash(draft.training.spec),
        handled_request=waiting.request or draft.status.handled_request,
        handled_actions=triggers.handled(draft.training, draft.snapshot.monitors, waiting.actions),
    )
    for asked in current:
        draft.event("ActionTaken", f"action {asked.action.id} of DriftMonitor {asked.monitor} is answered by this run")


def _because(trigger: Trigger, current: list[triggers.Asked]) -> str:
    if trigger.type == "Spec":
        return "the spec is new or has changed"
    if trigger.type == "Request":
        return f"it was requested ({trigger.id})"
    return f"{trigger.by} asked for it: {current[0].action.reason or current[0].action.id}"


def _obstacle(draft: Draft) -> Trouble | None:
    """What keeps a run from being started at all."""
    if taken := _taken_by(draft.training, draft.snapshot.beginning.others):
        message = (
            f"model {draft.training.spec.model} belongs to the older ModelTraining {taken} of this namespace: "
            "delete one of the two, or give this one another model name"
        )
        return Trouble("ModelNameTaken", message)
    return Trouble(*draft.snapshot.store) if draft.snapshot.store else None


def _taken_by(training: ModelTraining, others: tuple[ModelTraining, ...]) -> str:
    def age(each: ModelTraining) -> tuple[str, str]:
        created = each.metadata.creation_timestamp
        return created.isoformat() if created else "", each.metadata.name

    rivals = [each for each in others if each.spec.model == training.spec.model and each.metadata.uid]
    oldest = min([training, *rivals], key=age)
    return "" if oldest.metadata.uid == training.metadata.uid else oldest.metadata.name


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


def _launch(draft: Draft, run: Run, launch: Launch) -> None:
    """Makes the run's ConfigMap and Job; a ConfigMap that stands already says what the run was started for."""
    snapshot = draft.snapshot
    if snapshot.started is None and snapshot.store:
        reason, message = snapshot.store
        draft.trouble = Trouble(reason, message, "Pending")
        draft.requeue = STORE_AGAIN
        return
    beginning = snapshot.beginning
    begun = snapshot.started or started(draft.training, run, beginning.root, beginning.champion)
    draft.steps += launch(draft.training, run, begun)
    trigger = run.trigger.model_copy(update={"id": begun.spec_hash}) if run.trigger.type == "Spec" else run.trigger
    draft.set_run(run, launched=True, trigger=trigger)
    draft.set(spec_hash=begun.spec_hash)
    draft.requeue = RUNNING_AGAIN


def _follow(draft: Draft, run: Run) -> ModelVersion | None:
    """Looks at the run's Job and result; returns the version that was made of it, if it was now."""
    snapshot = draft.snapshot
    ending, fetched = snapshot.following.ending, snapshot.following.fetched
    if run.result is None and isinstance(ending, Ongoing):
        draft.requeue = RUNNING_AGAIN
        draft.trouble = Trouble(ending.reason, ending.message, "Pending") if ending.reason else None
        return None
    if run.result is None and isinstance(ending, Failed):
        fail(draft, run, ending.reason, ending.message, ending.at)
        return None
    if snapshot.started is None:
        at = ending.at if isinstance(ending, Lost) else draft.now
        fail(draft, run, "RunLost", f"its ConfigMap {run.job}, which says what was asked for, is gone", at)
        return None
    if fetched is None:
        reason, message = snapshot.store or ("StoreUnavailable", "the run's result has not been read")
        draft.trouble = Trouble(reason, f"run {run.number} has ended, its result cannot be read: {message}", "Running")
        draft.requeue = STORE_AGAIN
        return None
    return register(draft, run, snapshot.started, fetched)


def _prune(draft: Draft) -> None:
    """Deletes all but the newest Jobs, the ConfigMap first: a Job that is left shows that there is something to do."""
    namespace = draft.training.metadata.namespace
    for _, name in sorted(draft.snapshot.jobs, reverse=True)[JOBS_KEPT:]:
        draft.steps.append(Delete("v1", "ConfigMap", namespace, name))
        draft.steps.append(Delete("batch/v1", "Job", namespace, name))
