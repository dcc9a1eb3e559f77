"""What people and monitors ask for, and the way back to the last good version.

A rollback is one mark: the bad version is quarantined. That the stable version is quarantined is what moves traffic, so
it does not matter who marked it, nor where the process ended in between.
"""

from perennial.api.deployment import Revision
from perennial.contracts.names import ANNOTATION_REQUEST
from perennial.domain.rollout_canary import fail
from perennial.domain.rollout_quarantine import ROLLED_BACK, ROLLOUT_FAILED, Quarantined
from perennial.domain.rollout_state import HANDLED_LIMIT, REASON_LIMIT, Asked, Draft, Finding

_ID_LIMIT = 128
_HOW = "<verb>/<version>/<id> with one of release, rollback, abort, promote"


def last_good(draft: Draft) -> Revision | None:
    """The last fully promoted revision of another version that still exists and is not quarantined."""
    return next(
        (
            each
            for each in draft.history
            if draft.stable
            and each.version != draft.stable.version
            and each.version not in draft.quarantined
            and draft.snapshot.version(each.version)
        ),
        None,
    )


# --- requests of people -------------------------------------------------------------------------------------------


def handle_request(draft: Draft) -> None:
    """Does once what the request annotation asks, or refuses it with an Event."""
    value = draft.snapshot.deployment.metadata.annotations.get(ANNOTATION_REQUEST, "")
    verb, _, rest = value.partition("/")
    version, _, identity = rest.partition("/")
    identity = (identity or value)[:_ID_LIMIT]
    if not value or identity == draft.handled_request:
        return
    verbs = {"release": _release, "rollback": _rollback, "abort": _abort, "promote": _promote}
    if verb not in verbs or not version or identity == value[:_ID_LIMIT]:
        refusal: str | None = f"it reads {value[:200]!r}; write {_HOW}"
    else:
        refusal = verbs[verb](draft, version)
    draft.handled_request = identity
    if refusal:
        draft.event("Warning", "RequestRefused", f"request {identity} was refused: {refusal}")


def _release(draft: Draft, version: str) -> str | None:
    configuration_held = draft.held is not None and draft.held.configuration and draft.held.version == version
    if version not in draft.quarantined and not configuration_held:
        return f"{version} is not quarantined here"
    if version in draft.quarantined:
        draft.release(version)
    if configuration_held:
        draft.held = None
    draft.event("Normal", "Released", f"{version} was released from quarantine")
    return None


def _rollback(draft: Draft, version: str) -> str | None:
    refusal = _objection(draft, version)
    if refusal is None:
        draft.quarantine(version, Quarantined("rolled back by request", draft.now, ROLLED_BACK))
    return refusal


def _abort(draft: Draft, version: str) -> str | None:
    if draft.rollout is None or draft.rollout.target.version != version or draft.stable is None:
        return f"no rollout of {version} is under way"
    fail(draft, ROLLOUT_FAILED, "aborted by request")
    return None


def _promote(draft: Draft, version: str) -> str | None:
    if draft.rollout is None or draft.rollout.target.version != version:
        return f"no rollout of {version} is under way"
    draft.rollout = draft.rollout.model_copy(update={"promote": True})
    draft.event("Normal", "PromotionRequested", f"{version} takes over as soon as it is ready: its steps are skipped")
    return None


def _objection(draft: Draft, version: str) -> str | None:
    """Why ``version`` cannot be rolled back."""
    if draft.stable is None or draft.stable.version != version:
        serving = draft.stable.version if draft.stable else "no version"
        return f"{serving} serves, not {version}"
    if last_good(draft) is None:
        return f"no earlier version was promoted here that could replace {version}"
    return None


# --- actions of monitors ------------------------------------------------------------------------------------------


def handle_actions(draft: Draft) -> None:
    """Acknowledges each Rollback that a monitor asks for; one that names what serves marks the version."""
    for asked in sorted(draft.snapshot.asked, key=lambda each: each.action.since):
        action = asked.action
        if action.kind != "Rollback" or action.id in draft.handled_actions:
            continue
        objection = _stale(draft, asked) or _objection(draft, action.version)
        if objection:
            draft.event("Warning", "RollbackRefused", f"DriftMonitor {asked.monitor} asked for a rollback: {objection}")
        elif action.version not in draft.quarantined:
            reason = f"DriftMonitor {asked.monitor}: {action.reason or 'performance loss'}"[:REASON_LIMIT]
            draft.quarantine(action.version, Quarantined(reason, draft.now, ROLLED_BACK, action.id))
        draft.handled_actions = [action.id, *draft.handled_actions][:HANDLED_LIMIT]


def _stale(draft: Draft, asked: Asked) -> str | None:
    since = draft.stable.since if draft.stable else None
    if since and asked.action.since < since.replace(microsecond=0):
        return f"that was before {asked.action.version} last took over"
    return None


def impossible(draft: Draft) -> Finding | None:
    """The rollback of what serves now that was asked for and could not be done."""
    if draft.stable is None or draft.stable.version in draft.quarantined:
        return None
    for asked in draft.snapshot.asked:
        mine = asked.action.kind == "Rollback" and asked.action.version == draft.stable.version
        if mine and asked.action.id in draft.handled_actions and not _stale(draft, asked):
            text = (
                f"DriftMonitor {asked.monitor} asked to roll {draft.stable.version} back ({asked.action.reason}), but "
            )
            return Finding(
                "RollbackImpossible",
                text + "no earlier version was promoted here; approve another version, or retrain",
            )
    return None


# --- the way back -------------------------------------------------------------------------------------------------


def roll_back(draft: Draft) -> None:
    """Where the stable version is quarantined, the last good revision takes over: at once if it is warm.

    It comes back as it was promoted, with its own image and configuration. Until it is ready the bad one serves.
    """
    bad = draft.stable
    if bad is None or bad.version not in draft.quarantined:
        return
    good = last_good(draft)
    if good is None:
        draft.problem = Finding(
            "VersionQuarantined",
            f"{bad.version} is quarantined ({draft.quarantined[bad.version].reason}) and still serves: no earlier "
            "version was promoted here that could replace it; approve another version",
        )
        return
    draft.rollout = None
    if draft.snapshot.ready(good) < max(1, min(draft.replicas, draft.snapshot.ready(bad))):
        _await(draft, bad, good)
        return
    draft.standby = None
    draft.serve(good)
    reason = draft.quarantined[bad.version].reason
    draft.event("Warning", "RolledBack", f"traffic moved from {bad.version} to {good.version}; {bad.version}: {reason}")
    draft.outcomes["rollout"] = "RolledBack"


def _await(draft: Draft, bad: Revision, good: Revision) -> None:
    draft.restoring = good
    text = f"{bad.version} is quarantined and serves until {good.version} is ready"
    trouble = draft.snapshot.trouble(good)
    draft.progress = Finding("RollingBack", f"{text}: {trouble.message}" if trouble else text)
    if draft.snapshot.child(good) is None:
        draft.event("Warning", "RollingBack", text)
