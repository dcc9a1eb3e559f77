"""The way back to the last good revision, for monitors and people.

A rollback is one mark: the bad version is quarantined, or, where the version served well before, its configuration is
held. That what serves is marked is what moves the traffic, so it does not matter who marked it, nor where the process
ended in between.
"""

from datetime import timedelta

from perennial.api.common import seconds
from perennial.api.deployment import Revision
from perennial.domain.rollout.quarantine import ROLLED_BACK, Quarantined
from perennial.domain.rollout.recreate import end_first, gone
from perennial.domain.rollout.state import HANDLED_LIMIT, REASON_LIMIT, ROLLBACK_STALLED, Asked, Draft, Finding
from perennial.domain.rollout.target import configuration_of, held_configuration, known_bad


def last_good(draft: Draft) -> Revision | None:
    """The last fully promoted revision of another version that may serve here."""
    return next(iter(_other_versions(draft)), None)


def _other_versions(draft: Draft) -> list[Revision]:
    version = draft.stable.version if draft.stable else ""
    return [each for each in _before(draft) if each.version != version and _recent(draft, each)]


def configuration_before(draft: Draft) -> Revision | None:
    """The revision before the stable one, where it is the same version with another configuration."""
    found = next((each for each in _before(draft) if _recent(draft, each)), None)
    if draft.stable is None or found is None or found.version != draft.stable.version:
        return None
    return found if configuration_of(found) != configuration_of(draft.stable) else None


def _before(draft: Draft) -> list[Revision]:
    """What served here fully before, newest first, and is not known to be bad."""
    found = []
    for each in draft.history:
        version = draft.snapshot.version(each.version)
        current = draft.stable is not None and each.revision == draft.stable.revision
        if version and version.spec.approval != "Rejected" and not current and not known_bad(draft, each):
            found.append(each)
    return found


def _recent(draft: Draft, revision: Revision) -> bool:
    days, served = draft.spec.rollback.max_age_days, revision.until or revision.since
    return days is None or served is None or draft.now - served <= timedelta(days=days)


def _nothing_left(draft: Draft) -> str:
    others = [each for each in _before(draft) if draft.stable and each.version != draft.stable.version]
    within = f" within the last {draft.spec.rollback.max_age_days} days" if others else ""
    older = f" ({others[0].version} is older: spec.rollback.maxAgeDays)" if others else ""
    return f"no earlier version was promoted here{within} that could replace it{older}"


def objection(draft: Draft, version: str) -> str | None:
    """Why ``version`` cannot be rolled back."""
    if draft.stable is None or draft.stable.version != version:
        serving = draft.stable.version if draft.stable else "no version"
        return f"{serving} serves, not {version}"
    if last_good(draft) is None:
        return f"{version} serves, and {_nothing_left(draft)}"
    return None


# --- actions of monitors ------------------------------------------------------------------------------------------


def handle_actions(draft: Draft) -> None:
    """Acknowledges each Rollback that a monitor asks for; one that names what serves marks the version."""
    for asked in sorted(draft.snapshot.asked, key=lambda each: each.action.since):
        action = asked.action
        if action.kind != "Rollback" or action.id in draft.handled_actions:
            continue
        refusal = _stale(draft, asked) or objection(draft, action.version)
        if refusal:
            draft.event("Warning", "RollbackRefused", f"DriftMonitor {asked.monitor} asked for a rollback: {refusal}")
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
                f"{text}{_nothing_left(draft)}; approve another version, or retrain",
            )
    return None


# --- the way back -------------------------------------------------------------------------------------------------


def roll_back(draft: Draft) -> None:
    """Where what serves is marked as bad, the last good revision takes over: at once if it is warm.

    It comes back as it was promoted, with its own image and configuration. Until it is ready the bad one serves.
    """
    bad = draft.stable
    if bad is None:
        return
    if bad.version in draft.quarantined:
        options, reason = _other_versions(draft), draft.quarantined[bad.version].reason
        if not options:
            draft.problem = Finding(
                "VersionQuarantined",
                f"{bad.version} is quarantined ({reason}) and still serves: {_nothing_left(draft)}; approve another "
                "version",
            )
    elif held := held_configuration(draft, bad):
        options, reason = [each for each in _before(draft) if _recent(draft, each)], held.reason
    else:
        return
    if options:
        _go_back(draft, bad, options, reason)


def _go_back(draft: Draft, bad: Revision, options: list[Revision], reason: str) -> None:
    """The newest good revision has ``progressDeadline`` to be as many pods as the bad one has.

    From then on one ready pod of any good revision is better than the bad one, and they are tried in turn.
    """
    since = draft.restoring_since or draft.now
    deadline = timedelta(seconds=seconds(draft.spec.rollout.progress_deadline))
    tried = int((draft.now - since) / deadline)
    enough = 1 if tried else max(1, min(draft.replicas, draft.snapshot.ready(bad)))
    good = next((each for each in (options if tried else options[:1]) if draft.snapshot.ready(each) >= enough), None)
    if good is None:
        draft.restoring_since = since
        draft.wakes.append(since + (tried + 1) * deadline)
        _await(draft, bad, options[tried % len(options)], late=tried > 0)
        return
    draft.standby, draft.restoring_since = None, None
    draft.serve(good)
    moved = f"from {bad.version} to {good.version}" if good.version != bad.version else "to the configuration before"
    pods = f" with {draft.snapshot.ready(good)} of {draft.replicas} pods ready" if tried else ""
    draft.event("Warning", "RolledBack", f"traffic moved {moved}{pods}; {bad.version}: {reason}")
    draft.outcomes["rollout"] = "RolledBack"


def _await(draft: Draft, bad: Revision, good: Revision, *, late: bool) -> None:
    """Where there is no room for both (Recreate) the bad one ends first."""
    if draft.rollout and draft.rollout.target.revision in {bad.revision, good.revision}:
        draft.rollout = None
    recreate = draft.spec.rollout.strategy == "Recreate"
    if recreate:
        end_first(draft, bad)
    if not recreate or gone(draft, bad):
        draft.restored_replicas = draft.replicas
    draft.restoring = good
    what = f"{bad.version} is quarantined" if good.version != bad.version else f"{bad.version}'s configuration is held"
    text = f"{what} and serves until {good.version} is ready"
    if recreate:
        text = f"{what} and ends before {good.version} starts"
    trouble = draft.snapshot.trouble(good)
    text = f"{text}: {trouble.message}" if trouble else text
    if late:
        within = f"no good version was ready within {draft.spec.rollout.progress_deadline}"
        text = f"{text}; {within}: make room for it, or approve another version, which then takes over once it is ready"
    draft.progress = Finding(ROLLBACK_STALLED if late else "RollingBack", text)
    if draft.snapshot.child(good) is None:
        draft.event("Warning", "RollingBack", text)
