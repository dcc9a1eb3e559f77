"""What the cluster itself says about predictor pods, as findings: the reason of a pod is the reason of its rollout."""

from collections.abc import Iterable
from typing import Any

from perennial.domain.rollout.state import Finding

_TEXT_LIMIT = 1000
_PATIENCE = frozenset({"PodInitializing", "ContainerCreating"})
_ARTIFACT_REASONS = (
    ("recorded", "ArtifactDigestMismatch"),
    ("nothing is at", "ArtifactMissing"),
    ("cannot be read", "ArtifactUnavailable"),
)
"""Part of a predictor's last words, and the reason that they are."""

Json = dict[str, Any]


def is_ready(pod: Json) -> bool:
    """Whether the pod's condition Ready is True."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in _conditions(pod))


def trouble_of_pod(pod: Json) -> Finding | None:
    """Why the pod is not ready, where it says so; None for one that is ready or simply not yet."""
    if is_ready(pod):
        return None
    status = pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    found = next(filter(None, map(_trouble_of_container, containers)), None)
    return found or _unscheduled(pod)


def _conditions(thing: Json) -> Iterable[Json]:
    return (thing.get("status") or {}).get("conditions") or ()


def _unscheduled(pod: Json) -> Finding | None:
    for each in _conditions(pod):
        if each["type"] == "PodScheduled" and each["status"] == "False":
            return Finding(each.get("reason") or "Unschedulable", each.get("message", "")[:_TEXT_LIMIT])
    return None


def _trouble_of_container(container: Json) -> Finding | None:
    state, last = container.get("state") or {}, container.get("lastState") or {}
    for ended in (state.get("terminated"), last.get("terminated")):
        if ended and (ended.get("exitCode") or ended.get("reason") == "OOMKilled") and not container.get("ready"):
            return _ended(container["name"], ended)
    waiting = state.get("waiting") or {}
    if waiting.get("reason") and waiting["reason"] not in _PATIENCE:
        text = waiting.get("message") or waiting["reason"]
        return Finding(waiting["reason"], f"container {container['name']}: {text}"[:_TEXT_LIMIT])
    return None


def _ended(name: str, ended: Json) -> Finding:
    if ended.get("reason") == "OOMKilled":
        return Finding("OOMKilled", f"container {name} needs more memory than spec.predictor.resources.memory gives it")
    message = (ended.get("message") or "").strip()
    for words, reason in _ARTIFACT_REASONS:
        if words in message:
            return Finding(reason, message[:_TEXT_LIMIT])
    reason = "FetchFailed" if name == "fetch" else "PredictorFailed"
    return Finding(reason, f"container {name} ended with {ended.get('exitCode')}: {message[-_TEXT_LIMIT:]}")


def trouble_of_deployment(deployment: Json) -> Finding | None:
    """Why no pods can be made at all, such as a quota or an admission policy."""
    for each in _conditions(deployment):
        if each["type"] == "ReplicaFailure" and each["status"] == "True":
            return Finding(each.get("reason") or "ReplicaFailure", each.get("message", "")[:_TEXT_LIMIT])
    return None
