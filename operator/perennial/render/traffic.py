"""Who gets the requests: the Services, the HTTPRoute of a Gateway, and the setting that copies requests."""

import json
from typing import Any

from perennial.api.deployment import ModelDeployment, Revision
from perennial.contracts.names import MIRROR_FILE, PORT_GRPC
from perennial.domain.rollout.state import Weigh
from perennial.render.children import metadata, preview_name, selector, settings_name
from perennial.render.pod import predictor_of

HTTP_ROUTE = ("gateway.networking.k8s.io/v1", "HTTPRoute")
PORT = 80
PORT_TLS = 443

Json = dict[str, Any]


def service(owner: ModelDeployment, shown: Revision | None, revision: str | None) -> Json:
    """The main Service, of the pods of ``revision`` (None: of all, each by its number of ready pods).

    Its ports are those of ``shown``, the revision that callers see; None: those that the spec asks for.
    """
    return _service(owner, owner.metadata.name, shown, revision)


def preview(owner: ModelDeployment, shown: Revision | None, revision: str) -> Json:
    """The Service of the new version alone."""
    return _service(owner, preview_name(owner), shown, revision)


def _service(owner: ModelDeployment, name: str, shown: Revision | None, revision: str | None) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(owner, name),
        "spec": {"type": "ClusterIP", "ports": _ports(owner, shown), "selector": selector(owner, revision)},
    }


def _ports(owner: ModelDeployment, shown: Revision | None) -> list[Json]:
    predictor = predictor_of(shown) if shown else owner.spec.predictor
    if predictor.tls:
        ports = [{"name": "https", "port": PORT_TLS, "targetPort": "http", "protocol": "TCP", "appProtocol": "https"}]
    else:
        ports = [{"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP"}]
    if predictor.grpc:
        spoken = "https" if predictor.tls else "kubernetes.io/h2c"
        port = {"name": "grpc", "port": PORT_GRPC, "targetPort": "grpc", "protocol": "TCP", "appProtocol": spoken}
        ports.append(port)
    return ports


def route(owner: ModelDeployment, weigh: Weigh, stable: Revision | None, target: Revision | None) -> Json:
    """The HTTPRoute; what the Gateway writes about it in its status is not touched."""
    traffic = owner.spec.traffic
    new = {"kind": "Service", "name": preview_name(owner), "port": _ports(owner, target)[0]["port"]}
    old = {"kind": "Service", "name": owner.metadata.name, "port": _ports(owner, stable)[0]["port"]}
    shares = [{**old, "weight": 100 - weigh.weight}, {**new, "weight": weigh.weight}]
    rules: list[Json] = [{"backendRefs": shares if weigh.preview else [{**old, "weight": 100}]}]
    match = owner.spec.rollout.match
    if weigh.matched and match:
        headers = [{"type": "Exact", "name": each.name, "value": each.value} for each in match.headers]
        rules.insert(0, {"matches": [{"headers": headers}], "backendRefs": [{**new, "weight": 100}]})
    hostnames = {"hostnames": list(traffic.hostnames)} if traffic.hostnames else {}
    parents = [traffic.parent_ref.wire()] if traffic.parent_ref else []
    return {
        "apiVersion": HTTP_ROUTE[0],
        "kind": HTTP_ROUTE[1],
        "metadata": metadata(owner, owner.metadata.name),
        "spec": {"parentRefs": parents, **hostnames, "rules": rules},
    }


def settings(owner: ModelDeployment, share: int, version: str, target: Revision | None) -> Json:
    """The ConfigMap that the stable pods watch: they copy ``share`` percent of requests to the preview Service."""
    port = _ports(owner, target)[0]
    address = f"{port['name']}://{preview_name(owner)}.{owner.metadata.namespace}.svc"
    mirror = {"target": address, "share": share, "version": version, "revision": target.revision if target else ""}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(owner, settings_name(owner)),
        "data": {MIRROR_FILE: json.dumps(mirror)},
    }
