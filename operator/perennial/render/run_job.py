"""The Job of a run, and the ConfigMap with what it is asked to do. Restricted Pod Security, no token, one try."""

from typing import Any

from perennial.api.common import API_VERSION, seconds
from perennial.api.run import Run
from perennial.api.training import ModelTraining
from perennial.contracts.names import (
    LABEL_MANAGED_BY,
    LABEL_NAME,
    LABEL_RUN,
    LABEL_TRAINING,
    MANAGED_BY,
    STORE_SECRET,
)
from perennial.domain.plan import Create, Step
from perennial.domain.training.request import REQUEST_KEY, Started
from perennial.domain.training.run import CONTAINER

USER = 65532
REQUEST_FOLDER = "/etc/perennial"
TMP_LIMIT = "2Gi"

Json = dict[str, Any]


def launch(training: ModelTraining, run: Run, begun: Started) -> tuple[Step, ...]:
    """ConfigMap, then Job: the pod waits for the ConfigMap, not the other way round."""
    return Create(config_map(training, run, begun)), Create(job(training, run, begun))


def config_map(training: ModelTraining, run: Run, begun: Started) -> Json:
    """The request and the definition behind it; immutable, so that what a run was asked stays what it was."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(training, run),
        "immutable": True,
        "data": begun.data(),
    }


def job(training: ModelTraining, run: Run, begun: Started) -> Json:
    """One pod, one try, bounded in time by ``spec.engine.deadline``."""
    engine = begun.spec.engine
    compute = {"cpu": engine.resources.cpu, "memory": engine.resources.memory}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(training, run),
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": max(1, int(seconds(engine.deadline))),
            "template": {
                "metadata": {"labels": _labels(training, run)},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 10,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": USER,
                        "runAsGroup": USER,
                        "fsGroup": USER,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [_container(run, begun, compute)],
                    "volumes": [
                        {
                            "name": "request",
                            "configMap": {"name": run.job, "items": [{"key": REQUEST_KEY, "path": REQUEST_KEY}]},
                        },
                        {"name": "tmp", "emptyDir": {"sizeLimit": TMP_LIMIT}},
                    ],
                },
            },
        },
    }


def _secrets(begun: Started) -> list[str]:
    tracking = begun.spec.tracking
    return [STORE_SECRET, *([tracking.mlflow.secret] if tracking and tracking.mlflow.secret else [])]


def _container(run: Run, begun: Started, compute: dict[str, str]) -> Json:
    return {
        "name": CONTAINER,
        "image": run.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "perennial_components.runner"],
        "env": [
            {"name": "PERENNIAL_REQUEST_FILE", "value": f"{REQUEST_FOLDER}/{REQUEST_KEY}"},
            {"name": "HOME", "value": "/tmp"},  # noqa: S108 - the pod's own empty volume
        ],
        "envFrom": [{"secretRef": {"name": name}} for name in _secrets(begun)],
        "workingDir": "/tmp",  # noqa: S108 - the pod's own empty volume
        "resources": {"requests": compute, "limits": {"memory": compute["memory"]}},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "request", "mountPath": REQUEST_FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own empty volume
        ],
    }


def _labels(training: ModelTraining, run: Run) -> dict[str, str]:
    return {
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_NAME: "run",
        LABEL_TRAINING: training.metadata.name,
        LABEL_RUN: str(run.number),
    }


def _metadata(training: ModelTraining, run: Run) -> Json:
    return {
        "name": run.job,
        "namespace": training.metadata.namespace,
        "labels": _labels(training, run),
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": training.KIND,
                "name": training.metadata.name,
                "uid": training.metadata.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
