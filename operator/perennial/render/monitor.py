"""The ConfigMaps of a DriftMonitor."""

from typing import Any

from perennial.api.common import API_VERSION
from perennial.api.drift import DriftMonitor
from perennial.contracts.names import LABEL_MANAGED_BY, MANAGED_BY
from perennial.domain.drift.learning import Learnt, Lesson, configmap_name, content
from perennial.domain.drift.window import Layout

Json = dict[str, Any]


def learnt_configmap(owner: DriftMonitor, lesson: Lesson, learnt: Learnt, layout: Layout) -> Json:
    """What was learnt in service."""
    return configmap(owner, configmap_name(owner.metadata.name), content(lesson, learnt, layout))


def configmap(owner: DriftMonitor, name: str, data: dict[str, str]) -> Json:
    """One that goes with its monitor."""
    reference = {
        "apiVersion": API_VERSION, "kind": owner.KIND, "name": owner.metadata.name, "uid": owner.metadata.uid,
        "controller": True, "blockOwnerDeletion": False,
    }  # fmt: skip
    metadata = {
        "name": name, "namespace": owner.metadata.namespace, "labels": {LABEL_MANAGED_BY: MANAGED_BY},
        "ownerReferences": [reference],
    }  # fmt: skip
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
