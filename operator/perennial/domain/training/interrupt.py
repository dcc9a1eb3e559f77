"""What ends a run before its time: a request to cancel it, and what asks for another run where the policy says so.

A run whose result is recorded has ended: it is registered whatever comes. The Job goes before the status says so: a
process that ends in between finds the same cause, and does the same.
"""

from datetime import datetime

from perennial.api.run import Run
from perennial.domain.plan import Delete
from perennial.domain.training import external, polling, schedule, triggers
from perennial.domain.training.record import finish_time
from perennial.domain.training.request import request_of
from perennial.domain.training.state import Draft


def interrupted(draft: Draft, run: Run) -> bool:
    """Cancels ``run`` where something asks for it; drops what a run under way forbids. Whether it was cancelled."""
    if run.result is not None:
        return False
    training, monitors = draft.training, draft.snapshot.monitors
    if training.spec.suspend:
        _stop(draft, run, triggers.SUSPENDED, "spec.suspend is true; once it is false, a run begins anew")
        return True
    waiting = triggers.pending(training, monitors, draft.now)
    request = waiting.request
    if request and request.verb == triggers.CANCEL and not request.refusal:
        of = f" of {request.by}" if request.by else ""
        _stop(draft, run, "Cancelled", f"it was cancelled by request {request.id}{of}")
        draft.set(handled_request=request.id)
        return True
    if request and request.refusal:
        triggers.refuse(draft, request, request.refusal)
    policy = training.spec.concurrency_policy
    if policy == "Forbid":
        _drop(draft, run, waiting)
    if policy != "Replace":
        return False
    current = [asked for asked in waiting.actions if not triggers.stale(asked, draft.snapshot.deployments)]
    trigger = triggers.first(waiting, current)
    if trigger is None:
        return False
    _stop(draft, run, "Replaced", f"another run takes its place: {triggers.because(trigger, current)}")
    return True


def cancel(draft: Draft, run: Run, outcome: str, message: str, at: datetime) -> None:
    """Ends ``run`` as cancelled, in the status."""
    draft.set_run(
        run,
        phase="Cancelled",
        outcome=outcome,
        message=message,
        progress="",
        not_before=None,
        finished_at=finish_time(at),
    )
    draft.event("RunCancelled", f"run {run.number}: {message}", warning=True)
    draft.outcomes["run"] = outcome
    draft.again(0.0)


def _drop(draft: Draft, run: Run, waiting: triggers.Pending) -> None:
    why = f"for run {run.number} is under way and spec.concurrencyPolicy is Forbid"
    if waiting.schedule:
        schedule.answer(draft)
        draft.event("ScheduleSkipped", f"no run for {waiting.schedule}, {why}", warning=True)
    if waiting.data:
        polling.drop(draft)
        draft.event("DataSkipped", f"no run for the data with the SHA-256 {waiting.data}, {why}", warning=True)


def _stop(draft: Draft, run: Run, outcome: str, message: str) -> None:
    namespace = draft.training.metadata.namespace
    external.end(draft, run)
    draft.steps.append(Delete("v1", "ConfigMap", namespace, request_of(run.job)))
    jobs = {run.job, *(name for number, name in draft.snapshot.jobs if number == run.number)}
    draft.steps += [Delete("batch/v1", "Job", namespace, name) for name in sorted(jobs)]
    cancel(draft, run, outcome, message, draft.now)
