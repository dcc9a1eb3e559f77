"""The Job that deletes a retired version's files: with the namespace's own credentials, restricted, without a token."""

from typing import Any

from perennial.api.common import API_VERSION
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

USER = 65532
DEADLINE_SECONDS = 600
TRIES = 3

Json = dict[str, Any]


def removal(training: ModelTraining, name: str, image: str, folder: str) -> tuple[Step, ...]:
    """The Job ``name``, which deletes every object under ``folder`` and ends well when there is none."""
    metadata = training.metadata
    labels = {LABEL_MANAGED_BY: MANAGED_BY, LABEL_NAME: "removal", LABEL_REMOVES_FOR: metadata.name}
    owner = {
        "apiVersion": API_VERSION, "kind": training.KIND, "name": metadata.name, "uid": metadata.uid,
        "controller": True, "blockOwnerDeletion": False,
    }  # fmt: skip
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": metadata.namespace, "labels": labels, "ownerReferences": [owner]},
        "spec": {
            "backoffLimit": TRIES - 1,
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": _pod(image, folder)},
        },
    }
    return (Create(job, apart="removal"),)


def _pod(image: str, folder: str) -> Json:
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "removal",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["python", "-m", "perennial_components.remove"],
                "env": [{"name": ENV_REMOVED_FOLDER, "value": folder}],
                "envFrom": [{"secretRef": {"name": STORE_SECRET}}],
                "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }  # fmt: skip
