"""How a rollout ends: promoted, failed, or no longer wanted."""

from datetime import timedelta

from perennial.api.common import seconds
from perennial.api.deployment import Held, Standing, TrafficStatus
from perennial.domain.rollout.quarantine import Quarantined
from perennial.domain.rollout.state import REASON_LIMIT, Draft
from perennial.domain.rollout.target import configuration_of, known_bad


def promote(draft: Draft) -> None:
    """The new revision is the stable one from now on; the one before stands by, where there is room for both."""
    rollout, before = draft.under_way, draft.stable
    target, keep = rollout.target, seconds(draft.spec.standby.keep)
    draft.serve(target)
    _leave(draft)
    replaced = ""
    if before and keep and rollout.strategy != "Recreate" and not known_bad(draft, before):
        draft.standby = Standing(revision=before, until=draft.now + timedelta(seconds=keep))
        replaced = f"; {before.version} stands by for {draft.spec.standby.keep}"
    draft.event("Normal", "Promoted", f"{target.version} serves all requests{replaced}")
    draft.outcomes["rollout"] = "Promoted"


def fail(draft: Draft, cause: str, reason: str) -> None:
    """The rollout ends, stable keeps the traffic, and what was rolled out stays out until someone lets it in.

    A version that is stable already, with another configuration, is no bad version: the configuration alone is held.
    """
    target = draft.under_way.target
    version = target.version
    what, reason = version, reason[:REASON_LIMIT]
    if draft.stable and draft.stable.version == version:
        what = f"the new configuration of {version}"
        draft.hold(Held(version=version, reason=reason, since=draft.now, configuration=configuration_of(target)))
    else:
        draft.quarantine(version, Quarantined(reason, draft.now, cause))
        draft.held = Held(version=version, reason=reason, since=draft.now)
    _leave(draft)
    _failed(draft, what, reason)


def _failed(draft: Draft, what: str, reason: str) -> None:
    serving = draft.stable.version if draft.stable else "nothing"
    draft.event("Warning", "RolloutFailed", f"{what} was taken back, {serving} serves: {reason}")
    draft.outcomes["rollout"] = "Failed"


def cancel(draft: Draft) -> None:
    """The rollout ends because its target is no longer wanted; nothing is held against it.

    One that is marked by now has failed: the process ended between the mark and the status.
    """
    if draft.rollout is None:
        return
    draft.unwanted = draft.rollout.target
    _leave(draft)
    if mark := draft.quarantined.get(draft.unwanted.version):
        _failed(draft, draft.unwanted.version, mark.reason)
        return
    draft.event("Normal", "RolloutCancelled", f"the rollout of {draft.unwanted.version} ended: it is no longer wanted")
    draft.outcomes["rollout"] = "Cancelled"


def _leave(draft: Draft) -> None:
    draft.rollout, draft.traffic, draft.showing = None, TrafficStatus(), None
    draft.progress, draft.paused, draft.stopped, draft.ending = None, False, False, False
