"""What all children of a ModelDeployment have in common: their names, labels and owner."""

from typing import Any

from perennial.api.deployment import ModelDeployment, Revision
from perennial.contracts.names import GROUP, LABEL_DEPLOYMENT, LABEL_MANAGED_BY, LABEL_NAME, LABEL_REVISION, MANAGED_BY

Json = dict[str, Any]

PREDICTOR = "predictor"


def labels(owner: ModelDeployment) -> dict[str, str]:
    """What every child carries; the owner's own labels are never copied."""
    return {LABEL_MANAGED_BY: MANAGED_BY, LABEL_NAME: PREDICTOR, LABEL_DEPLOYMENT: owner.metadata.name}


def selector(owner: ModelDeployment, revision: str | None = None) -> dict[str, str]:
    """The labels by which the pods of ``revision`` (a hash; None: of all revisions) are found."""
    own = {LABEL_REVISION: revision} if revision is not None else {}
    return {LABEL_DEPLOYMENT: owner.metadata.name, **own}


def metadata(owner: ModelDeployment, name: str, **more: str) -> Json:
    """A child's metadata; ``more`` are further labels."""
    return {
        "name": name,
        "namespace": owner.metadata.namespace,
        "labels": {**labels(owner), **more},
        "ownerReferences": [
            {
                "apiVersion": f"{GROUP}/v1alpha1", "kind": owner.KIND, "name": owner.metadata.name,
                "uid": owner.metadata.uid, "controller": True, "blockOwnerDeletion": True,
            }
        ],
    }  # fmt: skip


def child_name(owner: ModelDeployment, revision: Revision) -> str:
    """The name of the Deployment that runs ``revision``."""
    return f"{owner.metadata.name[:40]}-{revision.revision}"


def key_secret_name(owner: ModelDeployment) -> str:
    """The name of the Secret with the feedback keys."""
    return f"{owner.metadata.name}-feedback"


def settings_name(owner: ModelDeployment) -> str:
    """The name of the ConfigMap with the settings that predictors watch."""
    return f"{owner.metadata.name}-settings"


def preview_name(owner: ModelDeployment) -> str:
    """The name of the Service of the new version alone."""
    return f"{owner.metadata.name}-preview"
