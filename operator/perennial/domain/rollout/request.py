"""What people ask for by the request annotation: each verb is done once, or refused with the reason."""

from perennial.api.deployment import Held, RolloutStatus
from perennial.contracts.names import ANNOTATION_REQUEST
from perennial.domain.rollout.end import fail
from perennial.domain.rollout.measure import comparison, failing
from perennial.domain.rollout.progress import begin
from perennial.domain.rollout.quarantine import ROLLED_BACK, ROLLOUT_FAILED, Quarantined
from perennial.domain.rollout.rollback import configuration_before, objection
from perennial.domain.rollout.state import Draft
from perennial.domain.rollout.target import configuration_of

_ID_LIMIT = 128


def handle_request(draft: Draft) -> None:
    """Does once what the request annotation asks, or refuses it with an Event."""
    value = draft.snapshot.deployment.metadata.annotations.get(ANNOTATION_REQUEST, "")
    verb, _, rest = value.partition("/")
    version, _, identity = rest.partition("/")
    identity = (identity or value)[:_ID_LIMIT]
    if not value or identity == draft.handled_request:
        return
    if verb not in _VERBS or not version or identity == value[:_ID_LIMIT]:
        how = f"<verb>/<version>/<id> with one of {', '.join(_VERBS)}"
        refusal: str | None = f"it reads {value[:200]!r}; write {how}"
    else:
        refusal = _VERBS[verb](draft, version)
    draft.handled_request = identity
    if refusal:
        draft.event("Warning", "RequestRefused", f"request {identity} was refused: {refusal}")


# --- what is kept out, and the way back ---------------------------------------------------------------------------


def _release(draft: Draft, version: str) -> str | None:
    others = [each for each in draft.held_configurations if each.version != version]
    if version not in draft.quarantined and others == draft.held_configurations and not _released(draft, version):
        return f"{version} is not quarantined here"
    if version in draft.quarantined:
        draft.release(version)
    draft.held, draft.held_configurations = None, others
    draft.event("Normal", "Released", f"{version} was released from quarantine")
    return None


def _released(draft: Draft, version: str) -> bool:
    """Whether the mark is gone already: a process that ended before the status was written took it away."""
    held = draft.snapshot.deployment.status.held
    return held is not None and held.version == version and draft.snapshot.version(version) is not None


def _rollback(draft: Draft, version: str) -> str | None:
    """Back to what served before: where that is the same version, its configuration was the bad one."""
    if draft.stable and draft.stable.version == version and configuration_before(draft):
        hash_ = configuration_of(draft.stable)
        draft.hold(Held(version=version, reason="rolled back by request", since=draft.now, configuration=hash_))
        return None
    refusal = objection(draft, version)
    if refusal is None:
        draft.quarantine(version, Quarantined("rolled back by request", draft.now, ROLLED_BACK))
    return refusal


# --- what is under way --------------------------------------------------------------------------------------------


def _current(draft: Draft, version: str) -> RolloutStatus | None:
    return draft.rollout if draft.rollout and draft.rollout.target.version == version else None


def _abort(draft: Draft, version: str) -> str | None:
    if _current(draft, version) is None:
        return f"no rollout of {version} is under way"
    if draft.stable is None:
        return f"{version} is the first to serve here, there is nothing to go back to: name another version in the spec"
    fail(draft, ROLLOUT_FAILED, "aborted by request")
    return None


def _promote(draft: Draft, version: str) -> str | None:
    rollout, stages = _current(draft, version), draft.stages
    refusal = _not_to_promote(draft, version)
    if refusal or rollout is None:
        return refusal
    if draft.snapshot.analysis_problem:
        return draft.snapshot.analysis_problem.message
    if rollout.step < 0 or draft.snapshot.ready(rollout.target) < stages[min(rollout.step, len(stages) - 1)].pods:
        trouble = draft.snapshot.trouble(rollout.target)
        return f"{version} is not ready{f': {trouble.message}' if trouble else ''}"
    draft.update(past=rollout.step, paused=False, inconclusive=0)
    draft.event("Normal", "StepPromoted", f"{version} goes past step {rollout.step + 1} by request")
    return None


def _promote_full(draft: Draft, version: str) -> str | None:
    refusal = _not_to_promote(draft, version)
    if refusal is None:
        draft.update(promote=True, paused=False, inconclusive=0)
        text = f"{version} takes over as soon as it is ready: its steps are skipped"
        draft.event("Normal", "PromotionRequested", text)
    return refusal


def _not_to_promote(draft: Draft, version: str) -> str | None:
    """Missing data are for people to overrule; bad figures are not."""
    if _current(draft, version) is None:
        return f"no rollout of {version} is under way"
    if not draft.stages or draft.stable is None:
        return f"{version} takes over by itself once it is ready: it has no step to go past"
    bad = failing(draft)
    return f"{version} is bad: {', '.join(map(comparison, bad))}" if bad else None


def _pause(draft: Draft, version: str) -> str | None:
    if _current(draft, version) is None:
        return f"no rollout of {version} is under way"
    if not draft.stages or draft.stable is None:
        return f"the rollout of {version} has no steps to pause between"
    draft.update(paused=True)
    draft.event("Normal", "Paused", f"{version} stays where it is, by request")
    return None


def _resume(draft: Draft, version: str) -> str | None:
    rollout = _current(draft, version)
    if rollout is None:
        return f"no rollout of {version} is under way"
    if not rollout.paused and rollout.inconclusive <= draft.spec.rollout.analysis.inconclusive_limit:
        return f"{version} was not paused by a person, nor by inconclusive measurements; promote ends a pause step"
    draft.update(paused=False, inconclusive=0, waiting_since=None)
    draft.event("Normal", "Resumed", f"{version} goes on, by request")
    return None


def _retry(draft: Draft, version: str) -> str | None:
    rollout = _current(draft, version)
    if rollout:
        begin(draft, rollout.target, ", from the start, by request")
        return None
    refusal = _release(draft, version)
    return f"{version} is neither kept out nor on its way" if refusal else None


_VERBS = {
    "release": _release,
    "rollback": _rollback,
    "abort": _abort,
    "promote": _promote,
    "promote-full": _promote_full,
    "pause": _pause,
    "resume": _resume,
    "retry": _retry,
}
