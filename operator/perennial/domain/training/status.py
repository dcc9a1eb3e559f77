"""A ModelTraining's conditions and phase, made anew from its runs at every decision.

``Ready``: the last run that ended made an approved version, or why not; or what keeps the next one from going on.
``Running``: whether a run is under way, and where spec.suspend keeps one from starting, what waits for it.
"""

from perennial.api.run import Run
from perennial.api.version import ModelVersion
from perennial.domain.conditions import condition
from perennial.domain.training import triggers
from perennial.domain.training.state import Draft, Said, finished, running

REGISTERED = "Registered"


def conclude(draft: Draft, latest: ModelVersion | None) -> None:
    """Completes the status. ``latest`` is the ModelVersion of the last run that ended, if it is there."""
    under_way, last = running(draft.status.runs), finished(draft.status.runs)
    generation = draft.training.metadata.generation
    ready = _ready(draft, under_way, last, latest)
    conditions = condition(draft.status.conditions, "Ready", *ready, generation=generation, now=draft.now)
    conditions = condition(conditions, "Running", *_running(draft, under_way), generation=generation, now=draft.now)
    draft.set(conditions=conditions, observed_generation=generation, phase=_phase(draft, under_way, last, ready))


def _ready(draft: Draft, under_way: Run | None, last: Run | None, latest: ModelVersion | None) -> Said:
    if draft.trouble:
        return "False", draft.trouble.reason, draft.trouble.message
    if last is None:
        return "Unknown", "Running" if under_way else "Pending", "no run has ended yet"
    if last.outcome != REGISTERED:
        return "False", last.outcome, f"run {last.number}: {last.message}"
    given = latest.spec.approval if latest and latest.metadata.name == last.version else "Approved"
    if given == "Pending":
        message = f"{last.version} ({last.score}) waits for a person: set spec.approval of ModelVersion {last.version}"
        return "False", "ApprovalPending", message
    if given == "Rejected":
        return "False", "VersionRejected", f"{last.version} was rejected by its spec.approval"
    return "True", REGISTERED, last.message


def _running(draft: Draft, under_way: Run | None) -> Said:
    if under_way is None and draft.training.spec.suspend:
        return "False", "Suspended", f"spec.suspend is true: no run starts{_waiting(draft)}"
    if under_way is None:
        return "False", "Idle", "no run is under way"
    trigger = under_way.trigger
    by = f" by {trigger.by}" if trigger.by else ""
    attempt = f", attempt {under_way.attempt}" if under_way.attempt > 1 else ""
    attempt += f", to reproduce {under_way.reproduces}" if under_way.reproduces else ""
    where = f"in Job {under_way.job}"
    if there := under_way.kubeflow:
        where = f"in Kubeflow as {under_way.job}" + (f": {there.url}" if there.url else "")
    return "True", trigger.type, f"run {under_way.number}{attempt}, triggered by {trigger.type}{by}, {where}"


def _waiting(draft: Draft) -> str:
    waiting = triggers.pending(draft.training, draft.snapshot.monitors, draft.now)
    named = {
        "the changed spec": waiting.spec,
        f"{len(waiting.actions)} actions of DriftMonitors": waiting.actions,
        "changed data": waiting.data,
        "the schedule": waiting.schedule,
        "the run that it ended": waiting.suspended,
    }
    what = ", ".join(name for name, there in named.items() if there)
    return f"; for its end wait: {what}" if what else ""


def _phase(draft: Draft, under_way: Run | None, last: Run | None, ready: Said) -> str:
    if draft.trouble:
        return draft.trouble.phase
    if under_way:
        return "Running" if under_way.launched else "Pending"
    if draft.training.spec.suspend:
        return "Suspended"
    if last is None:
        return "Pending"
    if last.phase == "Cancelled":
        return "Cancelled"
    return "Succeeded" if last.outcome == REGISTERED and ready[1] != "VersionRejected" else "Failed"
