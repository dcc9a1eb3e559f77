"""Another attempt of a run that the cluster or the store has let down; a run that failed by itself is over.

An attempt is a new Job of the same run, with the same request: it writes over what the one before left in the store.
"""

from datetime import datetime, timedelta

from perennial.api.common import format_time, seconds
from perennial.api.run import Retry, Run
from perennial.domain.training.request import attempt_name
from perennial.domain.training.run import Ending, Failed, Lost
from perennial.domain.training.state import Draft, Trouble

LONGEST_BACKOFF = 600.0
INFRASTRUCTURE = frozenset({"Evicted", "StoreUnavailable", "DataUnavailable"})
"""Reasons of failures that may be gone the next time, with nothing done about them."""


def backoff(retry: Retry, attempt: int) -> float:
    """Seconds between the end of attempt ``attempt`` (from 1) and the beginning of the next."""
    # The exponent is bounded by spec.retry.limit.
    return min(LONGEST_BACKOFF, seconds(retry.backoff) * 2.0 ** (attempt - 1))


def again(draft: Draft, run: Run, ending: Ending) -> bool:
    """Plans another attempt of ``run`` where ``ending`` and ``spec.retry`` allow for one; whether it did."""
    retry = draft.training.spec.retry
    if run.attempt > retry.limit:
        return False
    match ending:
        case Failed(reason, message, at) if reason in INFRASTRUCTURE:
            _plan(draft, run, reason, message, at)
        case Lost(why, at, disrupted=True):
            _plan(draft, run, "RunLost", f"{why}, and there is no result in the store", at)
        case _:
            return False
    return True


def waits(draft: Draft, run: Run) -> bool:
    """Whether the next attempt of ``run`` has not come; the draft then says why and looks again in time."""
    if run.not_before is None or run.not_before <= draft.now:
        return False
    draft.trouble = Trouble(run.outcome, run.message, "Retrying")
    draft.again((run.not_before - draft.now).total_seconds())
    return True


def _plan(draft: Draft, run: Run, reason: str, message: str, at: datetime) -> None:
    retry, attempt = draft.training.spec.retry, run.attempt + 1
    wait = backoff(retry, run.attempt)
    begins = at.replace(microsecond=0) + timedelta(seconds=wait)
    told = f"attempt {run.attempt} of {retry.limit + 1}: {message[:3000]}; the next one at {format_time(begins)}"
    draft.set_run(
        run,
        attempt=attempt,
        job=attempt_name(run, attempt),
        kubeflow=None,
        launched=False,
        not_before=begins,
        outcome=reason,
        message=told,
        progress="",
    )
    draft.event("RunRetried", f"run {run.number}: {reason}: {told}", warning=True)
    draft.again(0.0)
