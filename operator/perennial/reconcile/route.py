"""What a Gateway made of our HTTPRoute."""

from typing import Any

from perennial.adapters.kubernetes import KubernetesApi
from perennial.api.deployment import ModelDeployment
from perennial.domain.rollout.state import Finding, RouteState
from perennial.reconcile.apply import ours
from perennial.render.children import labels, preview_name
from perennial.render.traffic import HTTP_ROUTE

API_MISSING = "GatewayApiMissing"
NOT_OURS = "RouteNotOurs"
UNUSABLE = frozenset({API_MISSING, NOT_OURS})
"""Reasons for which there can be no HTTPRoute of ours."""

_NEEDED = ("Accepted", "ResolvedRefs")
_MESSAGE_LIMIT = 1000

Json = dict[str, Any]


async def route_of(api: KubernetesApi, owner: ModelDeployment) -> RouteState | None:
    """The HTTPRoute of ``owner``; None where there is none, or none is asked for. Raises ApiError."""
    if owner.spec.traffic.provider != "Gateway":
        return None
    name, namespace = owner.metadata.name, owner.metadata.namespace
    raw = await api.get(*HTTP_ROUTE, namespace, name)
    if raw is None:
        return None if await api.serves(*HTTP_ROUTE, namespace) else RouteState(trouble=_MISSING)
    if not ours(raw, owner.metadata.uid, labels(owner)):
        text = f"the HTTPRoute {name} belongs to somebody else: delete it, or give the ModelDeployment another name"
        return RouteState(trouble=Finding(NOT_OURS, text))
    return state_of(raw, owner)


_MISSING = Finding(
    API_MISSING,
    "the cluster does not know gateway.networking.k8s.io/v1: install the Gateway API, or use traffic.provider Replicas",
)


def state_of(raw: Json, owner: ModelDeployment) -> RouteState:
    """What the HTTPRoute ``raw`` says, and what its parent says to its current generation."""
    parents = [
        each for each in (raw.get("status") or {}).get("parents") or () if _is_ours(each["parentRef"], owner)
    ]  # fmt: skip
    current = [_current(each, raw["metadata"].get("generation", 0)) for each in parents]
    accepted = any(all(found.get(name, {}).get("status") == "True" for name in _NEEDED) for found in current)
    refused = [found[name] for found in current for name in _NEEDED if found.get(name, {}).get("status") == "False"]
    trouble = None
    if refused and not accepted:
        trouble = Finding(refused[0].get("reason", ""), refused[0].get("message", "")[:_MESSAGE_LIMIT])
    preview = preview_name(owner)
    return RouteState(
        weight=_weight(raw, preview), preview=preview in _backends(raw), accepted=accepted, trouble=trouble
    )


def _is_ours(parent: Json, owner: ModelDeployment) -> bool:
    wanted, own = owner.spec.traffic.parent_ref, owner.metadata.namespace
    return wanted is not None and (
        (parent.get("name"), parent.get("namespace") or own, parent.get("sectionName"))
        == (wanted.name, wanted.namespace or own, wanted.section_name)
    )


def _current(parent: Json, generation: int) -> dict[str, Json]:
    """The conditions that are about this generation, by type."""
    return {
        each["type"]: each
        for each in parent.get("conditions") or ()
        if each.get("observedGeneration", 0) >= generation
    }  # fmt: skip


def _backends(raw: Json) -> set[str]:
    """The Services that requests may go to."""
    rules = raw["spec"].get("rules") or ()
    return {each["name"] for rule in rules for each in rule.get("backendRefs") or ()}


def _weight(raw: Json, preview: str) -> int:
    """Percent that the last rule sends to the preview Service."""
    rules = raw["spec"].get("rules") or [{}]
    weights: dict[str, int] = {each["name"]: each.get("weight", 1) for each in rules[-1].get("backendRefs") or ()}
    return round(100 * weights.get(preview, 0) / (sum(weights.values()) or 1))
