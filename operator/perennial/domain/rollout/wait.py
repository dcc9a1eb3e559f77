"""What a stage needs before it begins: its pods ready, and a way for exactly its requests to reach them."""

from datetime import timedelta

from perennial.api.common import seconds
from perennial.domain.conditions import find
from perennial.domain.refusal import REASONS
from perennial.domain.rollout.end import fail
from perennial.domain.rollout.stages import Stage
from perennial.domain.rollout.state import Draft, Finding

ROUTE_PENDING = Finding("RouteNotAccepted", "the Gateway has not taken the HTTPRoute yet")


def await_pods(draft: Draft, wanted: int) -> bool:
    """Asks for ``wanted`` pods of the new version; whether they are ready. Not ready by the deadline is a failure.

    Where more are wanted than before (an autoscaler is at work), their time begins anew; not where the API server
    refuses them, for then they are wanted still. A person's pause stops it.
    """
    rollout = draft.under_way
    draft.canary_replicas = wanted
    ready, child = draft.snapshot.ready(rollout.target), draft.snapshot.child(rollout.target)
    if ready >= wanted:
        draft.update(waiting_since=None)
        return True
    same = child is None or child.replicas >= wanted or _refused(draft, wanted) is not None
    since = rollout.waiting_since if rollout.waiting_since and same else draft.now
    draft.update(waiting_since=since)
    deadline = since + timedelta(seconds=seconds(draft.spec.rollout.progress_deadline))
    late = draft.now >= deadline and not rollout.paused
    draft.progress = _unready(draft, late=late, ready=ready, wanted=wanted)
    if late and draft.stable:
        _give_up(draft, draft.progress, wanted)
    elif not late and not rollout.paused:
        draft.wakes.append(deadline)
    return False


def _unready(draft: Draft, *, late: bool, ready: int, wanted: int) -> Finding:
    target = draft.under_way.target
    trouble = draft.snapshot.trouble(target)
    refused = _refused(draft, wanted)
    if refused and not trouble:
        return refused
    if trouble:
        return Finding(trouble.reason, f"{target.version} is not ready: {trouble.message}")
    reason = "ProgressDeadlineExceeded" if late else "WaitingForPods"
    return Finding(reason, f"{target.version} is not ready: {ready} of {wanted} pods")


def _refused(draft: Draft, wanted: int) -> Finding | None:
    """What the API server said when it refused these pods, where that stands in the status before."""
    child = draft.snapshot.child(draft.under_way.target)
    before = find(draft.snapshot.deployment.status.conditions, "Progressing")
    missing = child is None or child.replicas < wanted
    return Finding(before.reason, before.message) if missing and before and before.reason in REASONS else None


def _give_up(draft: Draft, finding: Finding, wanted: int) -> None:
    within = f"not ready within {draft.spec.rollout.progress_deadline}"
    trouble = draft.snapshot.trouble(draft.under_way.target) or _refused(draft, wanted)
    fail(draft, finding.reason, f"{within}: {trouble.message}" if trouble else within)


def await_traffic(draft: Draft, stage: Stage) -> bool:
    """Whether the requests of ``stage``, and no others, can reach the new version; prepares what is missing."""
    if draft.gateway:
        return _await_route(draft, stage)
    return alone(draft) if stage.shared else True


def alone(draft: Draft) -> bool:
    """Whether nothing but stable and canary runs: a wide Service would send requests to the rest, too."""
    draft.standby = None
    mine = {each.revision for each in (draft.stable, draft.under_way.target) if each}
    others = {each.revision for each in draft.snapshot.children} | {each.revision for each in draft.snapshot.pods}
    if others <= mine:
        return True
    draft.progress = Finding("WaitingForOldPods", "the pods of former versions must be gone before requests are shared")
    return False


def _await_route(draft: Draft, stage: Stage) -> bool:
    """A Gateway is told the next weight only once it has taken the last one, and the stage begins once it has this."""
    route = draft.snapshot.route
    told = route is not None and (route.weight, route.preview) == (stage.weight, stage.routed)
    if route and route.accepted and told:
        return True
    if route and (route.accepted or told):
        draft.showing = stage
    return _routing(draft)


def await_route(draft: Draft) -> bool:
    """Whether the Gateway, if there is one, does what it was told."""
    route = draft.snapshot.route
    return not draft.gateway or (route is not None and route.accepted) or _routing(draft)


def _routing(draft: Draft) -> bool:
    """Says what the Gateway says; without a word from it, it has only not come to it yet."""
    route = draft.snapshot.route
    if route and route.trouble:
        block(draft, route.trouble)
    else:
        draft.progress = ROUTE_PENDING
    return False


def block(draft: Draft, finding: Finding) -> None:
    """Nothing goes on until what ``finding`` says is over."""
    draft.progress, draft.paused = finding, True
