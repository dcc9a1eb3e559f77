"""Recreate: the old pods end before the new ones start, for where there is no room for both.

Nothing answers in between: the one strategy for which that is so. The status keeps the old revision as the stable one
until the new one is ready, so that it is what comes back if the new one fails.
"""

from perennial.api.deployment import Revision
from perennial.domain.rollout.end import promote
from perennial.domain.rollout.state import Draft, Finding
from perennial.domain.rollout.wait import await_pods


def recreate(draft: Draft, stable: Revision) -> None:
    """One move nearer to ``stable`` being replaced."""
    target = draft.under_way.target
    draft.standby = None
    end_first(draft, stable)
    if draft.snapshot.ready(target) >= draft.replicas:
        promote(draft)
    elif gone(draft, stable):
        await_pods(draft, draft.replicas)
    else:
        draft.progress = Finding("Recreating", f"{stable.version} ends before {target.version} starts")


def end_first(draft: Draft, revision: Revision) -> None:
    """``revision`` ends; the number of pods that an autoscaler found for it stands in the status before."""
    child = draft.snapshot.child(revision)
    told = draft.snapshot.deployment.status.size_before is not None
    if draft.spec.predictor.autoscaling:
        draft.size_before, draft.ending = draft.replicas, True
    draft.stopped = told or not draft.ending or child is None or child.replicas == 0


def gone(draft: Draft, revision: Revision) -> bool:
    """Whether no pod of ``revision`` is left but such as are on their way out."""
    child = draft.snapshot.child(revision)
    left = any(pod.revision == revision.revision for pod in draft.snapshot.pods)
    return not left and (child is None or child.observed == 0)
