"""The status of a ModelDeployment in words: conditions, phase, shares."""

from perennial.api.common import Condition
from perennial.api.deployment import DeploymentStatus
from perennial.contracts.names import LABEL_DEPLOYMENT, LABEL_REVISION
from perennial.domain.conditions import Truth, condition, find, without
from perennial.domain.rollout.rollback import impossible
from perennial.domain.rollout.state import ROLLBACK_STALLED, Draft, Finding
from perennial.domain.rollout.target import held_cause
from perennial.domain.rollout.traffic import traffic_status
from perennial.domain.rollout.wait import ROUTE_PENDING

NEEDS_A_PERSON = frozenset({
    "VersionNotFound", "VersionNotApproved", "VersionQuarantined", "NameInvalid", "OverlayMissing", "OverlayInvalid",
    "OverlayRefused",
})  # fmt: skip


def status_of(draft: Draft) -> DeploymentStatus:
    """The status to write."""
    metadata = draft.snapshot.deployment.metadata
    seen = draft.stable or (draft.rollout.target if draft.rollout else None)
    child, conditions = draft.snapshot.child(seen), _conditions(draft)
    told = find(conditions, "Progressing" if draft.rollout or draft.restoring else "Ready")
    scheme = "https" if seen and seen.predictor.get("tls") else "http"
    return DeploymentStatus(
        observed_generation=metadata.generation,
        conditions=conditions,
        phase=_phase(draft),
        reason=told.reason if told else "",
        stable=draft.stable,
        rollout=draft.rollout,
        standby=draft.standby,
        size_before=draft.size_before if draft.ending else None,
        restoring_since=draft.restoring_since if draft.restoring else None,
        history=draft.history,
        held=draft.held,
        held_configurations=draft.held_configurations,
        traffic=traffic_status(draft),
        replicas=child.observed if child else 0,
        ready_replicas=child.ready if child else 0,
        selector=_selector(draft),
        url=f"{scheme}://{metadata.name}.{metadata.namespace}.svc/v2/models/{draft.spec.model}/infer",
        handled_request=draft.handled_request,
        handled_actions=draft.handled_actions,
    )


def _selector(draft: Draft) -> str:
    """What an autoscaler counts: the stable pods."""
    if draft.stable is None:
        return ""
    return f"{LABEL_DEPLOYMENT}={draft.name},{LABEL_REVISION}={draft.stable.revision}"


def _phase(draft: Draft) -> str:
    if draft.rollout or draft.restoring:
        return "Paused" if draft.paused else "Progressing"
    if draft.stable is None:
        return "Pending"
    if draft.held:
        return "Holding"
    return "Healthy" if _degraded(draft) is None else "Degraded"


def _conditions(draft: Draft) -> list[Condition]:
    metadata = draft.snapshot.deployment.metadata
    found = list(draft.snapshot.deployment.status.conditions)

    def put(type_: str, status: Truth, finding: Finding) -> None:
        nonlocal found
        found = condition(
            found, type_, status, finding.reason, finding.message, generation=metadata.generation, now=draft.now
        )

    put("Ready", *_ready(draft))
    put("Progressing", *_progressing(draft))
    degraded = _degraded(draft)
    put("Degraded", "True" if degraded else "False", degraded or Finding("AsWanted", ""))
    for type_, finding in (("Reconciling", _reconciling(draft)), ("Stalled", _stalled(draft))):
        if finding:
            put(type_, "True", finding)
        else:
            found = without(found, type_)
    return found


def _ready(draft: Draft) -> tuple[Truth, Finding]:
    if draft.stable is None:
        return "False", draft.problem or draft.progress or _holding(draft) or Finding("Starting", "")
    version = draft.stable.version
    if draft.stopped:
        return "False", _recreating(draft)
    if draft.snapshot.ready(draft.stable) == 0:
        return "False", _not_ready(draft)
    if draft.restoring and draft.progress:
        return "True", draft.progress
    note = draft.problem or _holding(draft)
    if note:
        return "True", Finding(note.reason, f"{version} serves; {note.message}")
    return "True", Finding("Serving", f"{version} serves")


def _not_ready(draft: Draft) -> Finding:
    if draft.stable is None:
        return Finding("Starting", "")
    trouble = draft.snapshot.trouble(draft.stable)
    if trouble:
        return Finding(trouble.reason, f"no pod of {draft.stable.version} is ready: {trouble.message}")
    return Finding("NoReadyPods", f"no pod of {draft.stable.version} is ready")


def _recreating(draft: Draft) -> Finding:
    """Nothing serves, because the old one has to end first."""
    old = draft.stable.version if draft.stable else ""
    new = draft.restoring or (draft.rollout.target if draft.rollout else None)
    told = f": {draft.progress.message}" if draft.progress else ""
    return Finding("Recreating", f"{old} gives way to {new.version if new else 'nothing'}{told}")


def _holding(draft: Draft) -> Finding | None:
    """What is kept out, and how it gets in again."""
    if draft.held is None:
        return None
    version = draft.held.version
    what = f"the new configuration of {version}" if draft.held.configuration else version
    return Finding(
        "ConfigurationHeld" if draft.held.configuration else "VersionQuarantined",
        f"{what} is kept out since {draft.held.since:%Y-%m-%d %H:%M:%S}Z ({draft.held.reason}) until another version "
        f"is wanted or it is released: {draft.command('release', version)}",
    )


def _degraded(draft: Draft) -> Finding | None:
    if draft.restoring and draft.progress:
        return draft.progress
    if draft.stable is None:
        return _holding(draft) or _for_a_person(draft)
    if draft.snapshot.ready(draft.stable) == 0 and not draft.stopped:
        return _not_ready(draft)
    if draft.problem and draft.problem.reason == "VersionQuarantined":
        return draft.problem
    holding = _holding(draft)
    if holding:
        return Finding(held_cause(draft), f"{draft.stable.version} serves in its place: {holding.message}")
    return _for_a_person(draft) or impossible(draft) or _not_routed(draft)


def _not_routed(draft: Draft) -> Finding | None:
    """The Gateway says itself that it does not do what it was told."""
    route = draft.snapshot.route
    return route.trouble if draft.gateway and route and not route.accepted else None


def _progressing(draft: Draft) -> tuple[Truth, Finding]:
    if draft.rollout or draft.restoring:
        finding = draft.progress or Finding("Starting", "")
        return ("False" if draft.paused else "True"), finding
    route = draft.snapshot.route
    if draft.gateway and route and not route.accepted and not route.trouble:
        return "True", ROUTE_PENDING
    return "False", draft.problem or draft.snapshot.analysis_problem or _holding(draft) or Finding("Settled", "")


def _reconciling(draft: Draft) -> Finding | None:
    return (draft.progress or Finding("Starting", "")) if draft.rollout or draft.restoring else None


def _stalled(draft: Draft) -> Finding | None:
    if draft.progress and draft.progress.reason == ROLLBACK_STALLED:
        return draft.progress
    return _for_a_person(draft) or draft.snapshot.analysis_problem


def _for_a_person(draft: Draft) -> Finding | None:
    return draft.problem if draft.problem and draft.problem.reason in NEEDS_A_PERSON else None
