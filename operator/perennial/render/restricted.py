"""What all pods that we make have in common: the restricted Pod Security Standard, and no service account's token."""

from typing import Any

USER = 65532

Json = dict[str, Any]


def pod() -> Json:
    """Fields of a pod's spec."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }  # fmt: skip


def container() -> Json:
    """Fields of a container."""
    return {
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }
    }  # fmt: skip
