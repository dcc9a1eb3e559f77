"""Traffic by selectors alone: one Service, whose selector is the whole of the routing."""

from typing import Any

from perennial.api.deployment import ModelDeployment
from perennial.contracts.names import LABEL_DEPLOYMENT, LABEL_REVISION
from perennial.render.predictor import metadata

PORT = 80


def service(owner: ModelDeployment, revision: str | None) -> dict[str, Any]:
    """The Service of the pods of ``revision``; with None of all revisions, each by its number of ready pods."""
    selector = {LABEL_DEPLOYMENT: owner.metadata.name}
    if revision is not None:
        selector[LABEL_REVISION] = revision
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(owner, owner.metadata.name),
        "spec": {
            "type": "ClusterIP",
            "ports": [{"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP"}],
            "selector": selector,
        },
    }
