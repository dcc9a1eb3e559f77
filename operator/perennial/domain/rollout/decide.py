"""The decision about a ModelDeployment: a chain of small steps over one draft, then the moves that make it true.

Moves come in an order that may be cut short anywhere: marks first (a version that is quarantined can no longer be
chosen), then the traffic (one write of a Service moves it), then pods that are wanted, and last the end of those that
are not. Whatever was not done is asked for again, for every move follows from the status and what is there.
"""

import re
from datetime import datetime

from perennial.domain.rollout.progress import roll_out
from perennial.domain.rollout.request import handle_request
from perennial.domain.rollout.rollback import handle_actions, roll_back
from perennial.domain.rollout.state import (
    Autoscale,
    Decision,
    Draft,
    Finding,
    Move,
    Protect,
    Remove,
    Run,
    Snapshot,
)
from perennial.domain.rollout.status import status_of
from perennial.domain.rollout.target import choose
from perennial.domain.rollout.traffic import traffic_moves

NAME = re.compile(r"[a-z]([-a-z0-9]{0,52}[a-z0-9])?")
"""Names for which a Service and a Secret can be made."""


def decide(snapshot: Snapshot, now: datetime) -> Decision:
    """What is to be done about the deployment at ``now`` (aware)."""
    draft = Draft.of(snapshot, now)
    if not NAME.fullmatch(draft.name):
        draft.problem = Finding(
            "NameInvalid",
            "a Service cannot have this name: make the ModelDeployment anew with at most 54 lower-case letters, digits "
            "and dashes, the first a letter",
        )
        return Decision(status=status_of(draft))
    handle_request(draft)
    handle_actions(draft)
    roll_back(draft)
    roll_out(draft, choose(draft))
    _end_standby(draft)
    return Decision(
        status=status_of(draft),
        moves=tuple(_moves(draft)),
        events=tuple(draft.events),
        requeue=_requeue(draft, now),
        outcomes=dict(draft.outcomes),
    )


def _end_standby(draft: Draft) -> None:
    if draft.standby is None:
        return
    if draft.now < draft.standby.until:
        draft.wakes.append(draft.standby.until)
        return
    version = draft.standby.revision.version
    draft.standby = None
    draft.event("Normal", "StandbyEnded", f"{version} no longer stands by")


def _moves(draft: Draft) -> list[Move]:
    scaled = draft.stable if draft.spec.predictor.autoscaling and not draft.stopped else None
    runs = _runs(draft)
    kept = {run.revision.revision for run in runs}
    return [
        *draft.marks,
        *traffic_moves(draft),
        Autoscale(scaled),
        Protect(draft.stable),
        *runs,
        *_removals(draft, kept),
    ]


def _removals(draft: Draft, wanted: set[str]) -> list[Remove]:
    """Where nothing is known to serve (the status may be lost), only what was on its way goes.

    What served stays until the status says who serves instead: a process that ends before that decides anew.
    """
    before = draft.snapshot.deployment.status.stable
    if draft.stable and (before is None or before.revision != draft.stable.revision):
        return []
    unwanted = draft.unwanted.revision if draft.unwanted else ""
    return [
        Remove(child.name)
        for child in draft.snapshot.children
        if child.revision not in wanted and (wanted or child.revision == unwanted)
    ]


def _runs(draft: Draft) -> list[Run]:
    """What runs; a standby of the stable's size could take over at any time."""
    runs = []
    if draft.stable:
        runs.append(Run(draft.stable, _stable_replicas(draft)))
    if draft.restoring and draft.restored_replicas:
        runs.append(Run(draft.restoring, draft.restored_replicas))
    if draft.rollout and draft.canary_replicas:
        runs.append(Run(draft.rollout.target, draft.canary_replicas))
    if draft.standby and all(draft.standby.revision.revision != run.revision.revision for run in runs):
        runs.append(Run(draft.standby.revision, draft.replicas))
    return runs


def _stable_replicas(draft: Draft) -> int | None:
    """An autoscaler sees to the number, once there is one: it leaves a Deployment of 0 pods alone."""
    if draft.stopped:
        return 0
    child = draft.snapshot.child(draft.stable)
    return None if draft.spec.predictor.autoscaling and child and child.replicas else draft.replicas


def _requeue(draft: Draft, now: datetime) -> float | None:
    """Seconds until the next moment that matters; events of the cluster wake the loop by themselves."""
    ahead = [wake for wake in draft.wakes if wake > draft.now]
    return max(1.0, (min(ahead) - now).total_seconds()) if ahead else None
