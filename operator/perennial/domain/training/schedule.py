"""The times of ``spec.schedule``: each is answered by one run, and those that were missed by one run together.

The status holds up to when times have been answered. So a time that passed while the operator was down, while a run was
under way or while the training was suspended is still due afterwards, and many of them are due at once. A schedule that
is new or has changed begins now: times before that are none of its own.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from perennial.api.common import format_time
from perennial.api.run import Schedule, ScheduleStatus
from perennial.api.training import ModelTraining
from perennial.domain.conditions import condition, without
from perennial.domain.training.state import Draft, Said

CONDITION = "Scheduled"
_FIELDS = 5
_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""As Kubernetes' CronJob has them."""


class ScheduleInvalid(ValueError):
    """No times can be made of the schedule; the message names the field and what is wrong with it."""


def next_time(schedule: Schedule, after: datetime) -> datetime:
    """The schedule's first time later than ``after``, in UTC. Raises :class:`ScheduleInvalid`.

    Where the clock is put forward, a time that does not exist comes right after; where it is put back, a fixed time
    comes once, as Debian's cron has it.
    """
    try:
        zone = ZoneInfo(schedule.time_zone)
    except (KeyError, ValueError, OSError) as error:
        raise ScheduleInvalid(
            f"spec.schedule.timeZone: there is no time zone {schedule.time_zone!r}; write one like Europe/Berlin"
        ) from error
    expression = _NICKNAMES.get(schedule.cron, schedule.cron)
    if len(expression.split()) != _FIELDS:
        raise ScheduleInvalid(f"spec.schedule.cron: {schedule.cron!r} has not five fields; write it like 0 3 * * MON")
    try:
        for time in CronSim(expression, after.astimezone(UTC if schedule.time_zone == "UTC" else zone)):
            if time > after:
                return time.astimezone(UTC)
    except CronSimError as error:
        said = str(error).removeprefix("Bad ")
        raise ScheduleInvalid(
            f"spec.schedule.cron: {schedule.cron!r} cannot be read ({said}); write it like 0 3 * * MON"
        ) from error
    raise ScheduleInvalid(f"spec.schedule.cron: {schedule.cron!r} never comes")


def due(training: ModelTraining, now: datetime) -> str:
    """The first time that is to be answered, as text; empty where none is."""
    time = training.status.next_run
    if training.spec.schedule is None or time is None or time > now or training.status.schedule is None:
        return ""
    return format_time(time) if training.status.schedule.of == _named(training.spec.schedule) else ""


def look(draft: Draft) -> None:
    """Begins a new schedule, and says in the status when its next run is to be or why there is none."""
    schedule, status = draft.training.spec.schedule, draft.status
    if schedule is None:
        draft.set(schedule=None, next_run=None, conditions=without(status.conditions, CONDITION))
        return
    if status.schedule is None or status.schedule.of != _named(schedule):
        draft.set(schedule=ScheduleStatus(of=_named(schedule), answered=draft.now.replace(microsecond=0)))
    _tell(draft, schedule)


def answer(draft: Draft) -> None:
    """All times up to now have had their run, or will have none."""
    schedule, status = draft.training.spec.schedule, draft.status
    if schedule is not None and status.schedule is not None:
        answered = max(draft.now.replace(microsecond=0), status.schedule.answered)
        draft.set(schedule=status.schedule.model_copy(update={"answered": answered}))
        _tell(draft, schedule)


def _tell(draft: Draft, schedule: Schedule) -> None:
    status = draft.status
    if status.schedule is None:
        return
    generation = draft.training.metadata.generation
    try:
        time = next_time(schedule, status.schedule.answered)
    except ScheduleInvalid as error:
        said = condition(
            status.conditions, CONDITION, "False", "ScheduleInvalid", str(error), generation=generation, now=draft.now
        )
        draft.set(next_run=None, conditions=said)
        return
    told: Said = ("True", "NextRun", f"the next run is to start at {format_time(time)} ({_named(schedule)})")
    if draft.training.spec.suspend:
        told = ("False", "Suspended", f"spec.suspend is true; times since {format_time(time)} wait, for one run")
    said = condition(status.conditions, CONDITION, *told, generation=generation, now=draft.now)
    draft.set(next_run=time, conditions=said)
    if time > draft.now:
        draft.again((time - draft.now).total_seconds())


def _named(schedule: Schedule) -> str:
    return f"{schedule.cron} {schedule.time_zone}"
