"""How many pods of the stable version there are: the autoscaler, and what a drain of nodes may take of them."""

from typing import Any

from perennial.api.deployment import ModelDeployment, Revision
from perennial.api.predictor import Autoscaling
from perennial.render.children import PREDICTOR, child_name, metadata, selector

AUTOSCALER = ("autoscaling/v2", "HorizontalPodAutoscaler")
BUDGET = ("policy/v1", "PodDisruptionBudget")

Json = dict[str, Any]


def autoscaler(owner: ModelDeployment, revision: Revision, autoscaling: Autoscaling) -> Json:
    """Scales the Deployment of ``revision`` by its predictors' CPU alone: containers of an overlay do not count."""
    return {
        "apiVersion": AUTOSCALER[0],
        "kind": AUTOSCALER[1],
        "metadata": metadata(owner, owner.metadata.name),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": child_name(owner, revision)},
            "minReplicas": autoscaling.min,
            "maxReplicas": autoscaling.max,
            "metrics": [
                {
                    "type": "ContainerResource",
                    "containerResource": {
                        "name": "cpu",
                        "container": PREDICTOR,
                        "target": {"type": "Utilization", "averageUtilization": autoscaling.target_cpu},
                    },
                }
            ],
        },
    }


def budget(owner: ModelDeployment, revision: Revision) -> Json:
    """Covers the pods of ``revision``; a pod that is not ready may always be evicted, it serves nobody."""
    return {
        "apiVersion": BUDGET[0],
        "kind": BUDGET[1],
        "metadata": metadata(owner, owner.metadata.name),
        "spec": {
            "maxUnavailable": owner.spec.predictor.disruption_budget.max_unavailable,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector(owner, revision.revision)},
        },
    }
