"""A revision's pods: an apps/v1 Deployment, with the Secret that signs its feedback tokens."""

import json
from typing import Any

from perennial.api.common import seconds
from perennial.api.deployment import ModelDeployment, Revision
from perennial.api.predictor import Predictor
from perennial.api.version import Record
from perennial.contracts.names import (
    FILE_BASELINE,
    FILE_MODEL,
    FILE_SIGNATURE,
    GROUP,
    LABEL_DEPLOYMENT,
    LABEL_MANAGED_BY,
    LABEL_NAME,
    LABEL_REVISION,
    LABEL_VERSION,
    MANAGED_BY,
    PORT_METRICS,
    PORT_SERVE,
    STORE_READ_SECRET,
)
from perennial.domain.plan import short_hash

ANNOTATION_RENDERED = f"{GROUP}/template"
"""On a Deployment: the name of the rendering of its pod template, so that a newer operator restarts nothing by its own
rendering, and still puts right what somebody else changed."""

FETCH = "fetch"
PREDICTOR = "predictor"
KEY_ENTRY = "current"
SERVED_FILES = (FILE_MODEL, FILE_SIGNATURE, FILE_BASELINE)

_MODEL_DIR = "/model"
_KEYS_DIR = "/etc/perennial/feedback"
_USER = 65532
_GRACE_SECONDS = 30

Json = dict[str, Any]


def labels(owner: ModelDeployment) -> dict[str, str]:
    """What every child carries; the owner's own labels are never copied."""
    return {LABEL_MANAGED_BY: MANAGED_BY, LABEL_NAME: PREDICTOR, LABEL_DEPLOYMENT: owner.metadata.name}


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


def key_secret(owner: ModelDeployment) -> Json:
    """The Secret without its key: that is made where it is created."""
    return {
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata(owner, key_secret_name(owner)),
    }  # fmt: skip


def deployment(owner: ModelDeployment, revision: Revision, record: Record, replicas: int) -> Json:
    """The Deployment of ``revision`` with its annotation ``ANNOTATION_RENDERED``."""
    own = {LABEL_VERSION: revision.version, LABEL_REVISION: revision.revision}
    template = {
        "metadata": {
            "labels": {**labels(owner), **own},
            "annotations": {
                "prometheus.io/scrape": "true",
                "prometheus.io/port": str(PORT_METRICS),
                "prometheus.io/path": "/metrics",
            },
        },
        "spec": _pod(owner, revision, record),
    }  # fmt: skip
    meta = metadata(owner, child_name(owner, revision), **own)
    rendered = short_hash(json.dumps(template, sort_keys=True))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**meta, "annotations": {ANNOTATION_RENDERED: rendered}},
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": max(1, int(seconds(owner.spec.rollout.progress_deadline))),
            "selector": {"matchLabels": {LABEL_DEPLOYMENT: owner.metadata.name, LABEL_REVISION: revision.revision}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": template,
        },
    }


def _pod(owner: ModelDeployment, revision: Revision, record: Record) -> Json:
    predictor = Predictor.model_validate({**revision.predictor, "replicas": 1})
    common = {
        "image": revision.image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {
            "requests": {"cpu": predictor.resources.cpu, "memory": predictor.resources.memory},
            "limits": {"memory": predictor.resources.memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
    }  # fmt: skip
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [{**common, **_fetch(record)}],
        "containers": [{**common, **_predictor(owner, revision, record)}],
        "volumes": [
            {"name": "model", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            {
                "name": "feedback",
                "secret": {"secretName": key_secret_name(owner), "optional": True, "defaultMode": 0o440},
            },
        ],
    }  # fmt: skip


def _artifacts(record: Record) -> list[Json]:
    """The files that are served, by name and digest."""
    files = [(name, record.artifacts[name]) for name in SERVED_FILES if name in record.artifacts]
    served = [{"uri": each.uri, "sha256": each.sha256, "file": name} for name, each in files]
    return [
        {"name": "PERENNIAL_ARTIFACTS", "value": json.dumps(served)},
        {"name": "PERENNIAL_MODEL_DIR", "value": _MODEL_DIR},
    ]


def _fetch(record: Record) -> Json:
    """The init container: it alone has the store's credentials."""
    return {
        "name": FETCH,
        "command": ["python", "-m", "perennial_serving.fetch"],
        "env": _artifacts(record),
        "envFrom": [{"secretRef": {"name": STORE_READ_SECRET}}],
        "volumeMounts": [{"name": "model", "mountPath": _MODEL_DIR}, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }


def _predictor(owner: ModelDeployment, revision: Revision, record: Record) -> Json:
    named = {
        "PERENNIAL_MODEL": owner.spec.model,
        "PERENNIAL_VERSION": revision.version,
        "PERENNIAL_DEPLOYMENT": f"{owner.metadata.namespace}/{owner.metadata.name}",
        "PERENNIAL_FEEDBACK_KEYS": _KEYS_DIR,
    }
    return {
        "name": PREDICTOR,
        "command": ["python", "-m", "perennial_serving"],
        "env": [*_artifacts(record), *({"name": name, "value": value} for name, value in named.items())],
        "ports": [
            {"name": "http", "containerPort": PORT_SERVE},
            {"name": "metrics", "containerPort": PORT_METRICS},
        ],
        # A large model may take two minutes to load and warm up.
        "startupProbe": {**_probe("/readyz"), "periodSeconds": 1, "failureThreshold": 120},
        "readinessProbe": {**_probe("/readyz"), "periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 2},
        "livenessProbe": {**_probe("/healthz"), "periodSeconds": 10, "timeoutSeconds": 5},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "model", "mountPath": _MODEL_DIR, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir of the pod's own
            {"name": "feedback", "mountPath": _KEYS_DIR, "readOnly": True},
        ],
    }


def _probe(path: str) -> Json:
    return {"httpGet": {"path": path, "port": "metrics"}}
