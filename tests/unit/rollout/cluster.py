"""A small cluster in memory: it keeps what steps write; tests decide which pods are ready and what a Gateway takes."""

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from perennial.api.deployment import ModelDeployment
from perennial.contracts.names import LABEL_REVISION, LABEL_VERSION, MIRROR_FILE
from perennial.domain.plan import Apply, CreateKey, Delete, Step
from perennial.domain.rollout.state import Child, Finding, Pod, RouteState
from perennial.reconcile.apply import holds
from perennial.reconcile.route import API_MISSING, state_of
from perennial.render.predictor import ANNOTATION_RENDERED

Json = dict[str, Any]


@dataclass
class Cluster:
    """The children of the ModelDeployment ``name``. ``ready`` are pods by Deployment, ``troubles`` are by version."""

    name: str
    objects: dict[tuple[str, str], Json] = field(default_factory=dict)
    ready: dict[str, int] = field(default_factory=dict)
    troubles: dict[str, Finding] = field(default_factory=dict)
    gateway: Literal["Takes", "Late", "Refuses", "Missing"] = "Takes"
    taken: Json | None = None
    """The HTTPRoute by which the Gateway sends requests: the one that it took last."""
    generation: int = 0

    # What steps do; each returns the number of writes

    def carry_out(self, step: Step) -> int:
        match step:
            case Apply(manifest, scaled):
                return self._apply(manifest, scaled=scaled)
            case CreateKey(manifest, _):
                known = self._key(manifest) in self.objects
                self.objects.setdefault(self._key(manifest), manifest)
                return int(not known)
            case Delete(_, kind, _, name):
                self.ready.pop(name, None)
                return int(self.objects.pop((kind, name), None) is not None)
        raise AssertionError(step)

    @staticmethod
    def _key(manifest: Json) -> tuple[str, str]:
        return manifest["kind"], manifest["metadata"]["name"]

    def _apply(self, manifest: Json, *, scaled: bool) -> int:
        key, name = self._key(manifest), manifest["metadata"]["name"]
        assert not (key[0] == "HTTPRoute" and self.gateway == "Missing"), "the API server does not know this kind"
        live = self.objects.get(key)
        if live and scaled and live["spec"]["replicas"]:
            manifest = {**manifest, "spec": {**manifest["spec"], "replicas": live["spec"]["replicas"]}}
        if live is not None and holds(manifest, live):
            return 0
        if live is not None and key[0] == "Deployment" and live["spec"]["template"] != manifest["spec"]["template"]:
            self.ready[name] = 0
        self.objects[key] = copy.deepcopy(manifest)
        if key[0] == "HTTPRoute":
            self.generation += 1
        return 1

    # What others do

    def start_pods(self, *only: str) -> None:
        """All pods that are wanted (of the versions ``only``) are ready."""
        for name, manifest in self.deployments.items():
            version = manifest["metadata"]["labels"][LABEL_VERSION]
            if (not only or version in only) and version not in self.troubles:
                self.ready[name] = manifest["spec"]["replicas"]

    def take_route(self) -> bool:
        """The Gateway catches up; whether anything changed."""
        route = self.objects.get(("HTTPRoute", self.name))
        if self.gateway in {"Late", "Refuses"} or route == self.taken:
            return False
        self.taken = copy.deepcopy(route)
        return True

    def scale(self, replicas: int) -> None:
        """The HorizontalPodAutoscaler sets the number of pods of what it scales."""
        autoscaler = self.objects.get(("HorizontalPodAutoscaler", self.name))
        if autoscaler is None:
            return
        spec = autoscaler["spec"]
        manifest = self.deployments.get(spec["scaleTargetRef"]["name"])
        if manifest and manifest["spec"]["replicas"]:
            manifest["spec"]["replicas"] = min(max(replicas, spec["minReplicas"]), spec["maxReplicas"])

    # What is there

    @property
    def deployments(self) -> dict[str, Json]:
        return {name: manifest for (kind, name), manifest in self.objects.items() if kind == "Deployment"}

    def children(self) -> Iterable[Child]:
        for name, manifest in self.deployments.items():
            replicas = manifest["spec"]["replicas"]
            yield Child(
                name=name, revision=revision_of(manifest), replicas=replicas, ready=self.ready_pods(name),
                observed=replicas, rendered=manifest["metadata"]["annotations"][ANNOTATION_RENDERED],
                template=manifest["spec"]["template"],
            )  # fmt: skip

    def pods(self) -> Iterable[Pod]:
        for name, manifest in self.deployments.items():
            trouble = self.troubles.get(manifest["metadata"]["labels"][LABEL_VERSION])
            if trouble and not self.ready.get(name) and manifest["spec"]["replicas"]:
                yield Pod(revision_of(manifest), ready=False, trouble=trouble)

    def ready_pods(self, name: str) -> int:
        replicas: int = self.deployments[name]["spec"]["replicas"]
        return min(self.ready.get(name, 0), replicas)

    def route_state(self, owner: ModelDeployment) -> RouteState | None:
        if owner.spec.traffic.provider != "Gateway":
            return None
        route = self.objects.get(("HTTPRoute", self.name))
        if self.gateway == "Missing":
            return RouteState(trouble=Finding(API_MISSING, "the cluster does not know the Gateway API"))
        if route is None:
            return None
        return state_of({**route, "metadata": {"generation": 1}, "status": {"parents": self._parents(route)}}, owner)

    def _parents(self, route: Json) -> list[Json]:
        refused = self.gateway == "Refuses"
        if not refused and route != self.taken:
            return []
        conditions = [
            {"type": "Accepted", "status": "False" if refused else "True", "observedGeneration": 1,
             "reason": "NotAllowedByListeners" if refused else "Accepted", "message": "no listener takes it"},
            {"type": "ResolvedRefs", "status": "True", "observedGeneration": 1, "reason": "ResolvedRefs"},
        ]  # fmt: skip
        return [{"parentRef": route["spec"]["parentRefs"][0], "conditions": conditions}]

    # Who answers

    def behind(self, service: str) -> dict[str, int]:
        """Ready pods by version that the Service selects."""
        found: dict[str, int] = {}
        selector = self.objects.get(("Service", service), {}).get("spec", {}).get("selector")
        for name, manifest in self.deployments.items():
            labels, ready = manifest["spec"]["template"]["metadata"]["labels"], self.ready_pods(name)
            if selector is not None and selector.items() <= labels.items() and ready:
                found[labels[LABEL_VERSION]] = found.get(labels[LABEL_VERSION], 0) + ready
        return found

    def weights(self) -> dict[str, int]:
        """Percent of the Gateway's requests by Service, as it knows them; headers count as nothing."""
        if self.taken is None:
            return {}
        return {each["name"]: each["weight"] for each in self.taken["spec"]["rules"][-1]["backendRefs"]}

    def matched(self) -> dict[str, int]:
        """Ready pods by version to which a request with the headers of the match goes."""
        rules = self.taken["spec"]["rules"] if self.taken else []
        return self.behind(rules[0]["backendRefs"][0]["name"]) if len(rules) > 1 else {}

    def mirrored(self) -> dict[str, Any]:
        settings = self.objects.get(("ConfigMap", f"{self.name}-settings"))
        found: dict[str, Any] = json.loads(settings["data"][MIRROR_FILE]) if settings else {}
        return found

    def scaled(self) -> set[str]:
        """The versions that the HorizontalPodAutoscaler and the PodDisruptionBudget are about."""
        autoscaler = self.objects.get(("HorizontalPodAutoscaler", self.name))
        name = autoscaler["spec"]["scaleTargetRef"]["name"] if autoscaler else ""
        return {self.deployments[name]["metadata"]["labels"][LABEL_VERSION]} if name in self.deployments else set()


def revision_of(manifest: Json) -> str:
    return str(manifest["metadata"]["labels"][LABEL_REVISION])
