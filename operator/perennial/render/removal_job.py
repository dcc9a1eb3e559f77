"""The Job that deletes a retired version's files: with the namespace's own credentials, restricted, without a token.

Nobody owns it: the files go whatever becomes of the ModelTraining.
"""

from typing import Any

from perennial.api.training import ModelTraining
from perennial.contracts.names import (
    ENV_REMOVED_FOLDER,
    LABEL_MANAGED_BY,
    LABEL_NAME,
    LABEL_REMOVES_FOR,
    MANAGED_BY,
    STORE_SECRET,
)
from perennial.domain.plan import Create, Step
from perennial.render import restricted

DEADLINE_SECONDS = 600
TRIES = 3
TTL = 86400
"""Seconds. The operator deletes a Job that has ended within hours: this is for those that it never will."""

Json = dict[str, Any]


def removal(training: ModelTraining, name: str, image: str, folder: str) -> tuple[Step, ...]:
    """The Job ``name``, which deletes every object under ``folder`` and ends well when there is none."""
    metadata = training.metadata
    labels = {LABEL_MANAGED_BY: MANAGED_BY, LABEL_NAME: "removal", LABEL_REMOVES_FOR: metadata.name}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": metadata.namespace, "labels": labels},
        "spec": {
            "backoffLimit": TRIES - 1,
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": TTL,
            "template": {"metadata": {"labels": labels}, "spec": _pod(image, folder)},
        },
    }
    return (Create(job, apart="removal"),)


def _pod(image: str, folder: str) -> Json:
    return {
        "restartPolicy": "Never",
        **restricted.pod(),
        "containers": [
            {
                "name": "removal",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["python", "-m", "perennial_components.remove"],
                "env": [{"name": ENV_REMOVED_FOLDER, "value": folder}],
                "envFrom": [{"secretRef": {"name": STORE_SECRET}}],
                "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}},
                **restricted.container(),
            }
        ],
    }
