"""What a judgement makes of the status: since when, for how many windows in a row, and what was before."""

from datetime import datetime, timedelta

from perennial.api.verdict import BaselineStatus, Chapter, MonitorStatus
from perennial.domain.drift.performance import told
from perennial.domain.drift.verdict import Judgement

FEATURES_SHOWN = 10
HISTORY_KEPT = 20


def follow(
    before: MonitorStatus, judgement: Judgement, version: str, *, end: datetime, length: timedelta, now: datetime
) -> MonitorStatus:
    """``before`` with the judgement of the window of ``length`` that ends at ``end``.

    ``consecutive`` counts windows that share no time: windows slide by a chunk, and one that overlaps the last counted
    one is no second opinion. Another verdict, or another version, begins to count again.
    """
    streak = {"since": before.since, "consecutive": before.consecutive, "counted_until": before.counted_until}
    if before.verdict != judgement.verdict or before.version != version or before.counted_until is None:
        streak = {"since": now, "consecutive": 1, "counted_until": end}
    elif end >= before.counted_until + length:
        streak = {"since": before.since, "consecutive": before.consecutive + 1, "counted_until": end}
    healthy = judgement.verdict == "Healthy"
    found = {
        "verdict": judgement.verdict,
        "cause": judgement.cause,
        "version": version,
        "window_end": end,
        "observations": judgement.observations,
        "worst": judgement.worst,
        "features": list(judgement.features[:FEATURES_SHOWN]),
        "performance": judgement.performance,
        "estimated": judgement.estimated,
        "signals": judgement.signals,
        "last_healthy": end if healthy else before.last_healthy,
        "history": _history(before, judgement.verdict, version, now),
    }
    return before.model_copy(update={**streak, **found})


def rebase(before: MonitorStatus, version: str, now: datetime) -> MonitorStatus:
    """``before`` as it is once ``version`` serves: what was found about another version says nothing about it, and is
    history.

    The actions stay: cooldown and budget are the monitor's, not a version's.
    """
    if before.version == version:
        return before
    return MonitorStatus(
        observed_generation=before.observed_generation,
        conditions=before.conditions,
        verdict="InsufficientData",
        since=now,
        version=version,
        actions=before.actions,
        observed=before.observed,
        last_action=before.last_action,
        history=_history(before, None, version, now),
        handled_request=before.handled_request,
    )


def _history(before: MonitorStatus, verdict: str | None, version: str, now: datetime) -> list[Chapter]:
    """With the chapter that ends now, where one does."""
    if before.verdict in {None, verdict} or before.since is None or (before.version != version and verdict is not None):
        return before.history
    measured = before.performance if before.performance and before.performance.value is not None else before.estimated
    figure = ""
    if measured and measured.value is not None:
        figure = f"{measured.metric} {told(measured.metric, measured.value)}"
    chapter = Chapter(
        version=before.version, since=before.since, until=now, verdict=before.verdict, cause=before.cause or "",
        worst=before.worst, performance=figure,
    )  # fmt: skip
    return [chapter, *before.history][:HISTORY_KEPT]


def based_on(status: MonitorStatus, baseline: BaselineStatus) -> MonitorStatus:
    """``status`` that says what windows are compared with."""
    return status.model_copy(update={"baseline": baseline})
