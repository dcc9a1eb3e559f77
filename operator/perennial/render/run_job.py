"""The Jobs of a run and of a poll of its data, and the ConfigMaps with what they are asked to do.

Restricted Pod Security, no token, one try.
"""

from collections.abc import Sequence
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
    OWN_PIPELINE,
    STORE_SECRET,
)
from perennial.contracts.request import FEAST_FOLDER, FEAST_STORE, SQL_URL, SqlSource
from perennial.domain.plan import Create, Step
from perennial.domain.training.request import REQUEST_KEY, Started, request_of
from perennial.domain.training.run import CONTAINER, FEAST_CONTAINER, OWN_CONTAINER
from perennial.render import restricted

REQUEST_FOLDER = "/etc/perennial"
TMP, OWN_TMP, FEAST_TMP, TMP_LIMIT = "tmp", "own-tmp", "feast-tmp", "2Gi"
FEATURES, FEATURES_FOLDER = "features", "/var/lib/perennial/features"
"""The volume by which the container that looks features up hands them to those after it."""
POLL = "poll"
"""Of a poll's Job and pod: the value of the label app.kubernetes.io/name."""
POLL_DEADLINE = 900
POLL_TTL = 3600
"""Seconds. The operator deletes the Job of a poll that it has looked at: this is for those that it never will."""
POLL_REQUESTS = {"cpu": "100m", "memory": "128Mi"}

Json = dict[str, Any]


def launch(training: ModelTraining, run: Run, begun: Started) -> tuple[Step, ...]:
    """ConfigMap, then Job: the pod waits for the ConfigMap, not the other way round."""
    return Create(config_map(training, run, begun)), Create(job(training, run, begun))


def launch_poll(training: ModelTraining, name: str, image: str, begun: Started) -> tuple[Step, ...]:
    """As :func:`launch`, of a poll of the data: what it is asked is a run's request, of which it reads the data."""
    labels = {LABEL_MANAGED_BY: MANAGED_BY, LABEL_NAME: POLL, LABEL_TRAINING: training.metadata.name}
    metadata = _metadata(training, name, labels)
    # It reads what a run would read: what is enough for that is enough for this.
    resources = {"requests": POLL_REQUESTS, "limits": {"memory": begun.spec.engine.resources.memory}}
    container = {
        **_container("perennial_components.poll", image, begun, resources),
        "envFrom": [{"secretRef": {"name": STORE_SECRET}}],  # it tells MLflow nothing
    }
    spec = {
        **_once(POLL_DEADLINE, _pod(name, labels, container, _feast(begun, resources))),
        "ttlSecondsAfterFinished": POLL_TTL,
    }
    return (
        Create(_config_map(metadata, begun), apart=POLL),
        Create({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}, apart=POLL),
    )


def config_map(training: ModelTraining, run: Run, begun: Started) -> Json:
    """The request and the definition behind it, one for all attempts."""
    return _config_map(_metadata(training, request_of(run.job), _labels(training, run)), begun)


def job(training: ModelTraining, run: Run, begun: Started) -> Json:
    """One pod, one try, bounded in time by ``spec.engine.deadline``."""
    engine, labels = begun.spec.engine, _labels(training, run)
    compute = {"cpu": engine.resources.cpu, "memory": engine.resources.memory}
    resources = {"requests": compute, "limits": {"memory": compute["memory"]}}
    container = _container("perennial_components.runner", run.image, begun, resources)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(training, run.job, labels),
        "spec": _once(
            max(1, int(seconds(engine.deadline))),
            _pod(request_of(run.job), labels, container, [*_feast(begun, resources), *_own(begun, resources)]),
        ),
    }


def _feast(begun: Started, resources: Json) -> list[Json]:
    """The container that looks features up, where the source is a Feast repository: it alone has the repository's
    Secret. A repository brings functions of its own, so that it shares no writable folder with those after it.
    """
    source = begun.request.feast
    if source is None:
        return []
    container = _container("perennial_components.feast", source.image, begun, resources)
    secret = {"name": source.secret, "key": source.key}
    environment = [
        *container["env"],
        {"name": FEAST_STORE, "valueFrom": {"secretKeyRef": secret}},
        *_database(source.sql),
    ]
    writable = {TMP: FEAST_TMP, FEATURES: FEATURES}
    mounts = [
        {"name": writable[each["name"]], "mountPath": each["mountPath"]} if each["name"] in writable else each
        for each in container["volumeMounts"]
    ]
    return [
        {
            **container,
            "name": FEAST_CONTAINER,
            "env": environment,
            "envFrom": [{"secretRef": {"name": STORE_SECRET}}],  # it tells MLflow nothing
            "volumeMounts": mounts,
        }
    ]


def _own(begun: Started, resources: Json) -> list[Json]:
    """The container that executes a pipeline of somebody's own, where the spec names one. It shares no writable folder
    with the one that measures after it: what it leaves there could be taken for our code.
    """
    own = begun.spec.pipeline
    if own is None:
        return []
    container = _container("perennial_components.runner", own.image or "", begun, resources)
    mounts = [{**each, "name": OWN_TMP} if each["name"] == TMP else each for each in container["volumeMounts"]]
    environment = [*container["env"], {"name": OWN_PIPELINE, "value": "1"}]
    return [{**container, "name": OWN_CONTAINER, "env": environment, "volumeMounts": mounts}]


def _config_map(metadata: Json, begun: Started) -> Json:
    """Immutable, so that what was asked stays what it was."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "immutable": True, "data": begun.data()}


def _once(deadline: int, template: Json) -> Json:
    return {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "activeDeadlineSeconds": deadline,
        "template": template,
    }


def _pod(request: str, labels: dict[str, str], container: Json, before: Sequence[Json] = ()) -> Json:
    """The pod's template; it reads the ConfigMap ``request``. The containers ``before`` come to their end first."""
    return {
        "metadata": {"labels": labels},
        "spec": {
            "restartPolicy": "Never",
            **restricted.pod(),
            "terminationGracePeriodSeconds": 10,
            **({"initContainers": list(before)} if before else {}),
            "containers": [container],
            "volumes": [
                {
                    "name": "request",
                    "configMap": {"name": request, "items": [{"key": REQUEST_KEY, "path": REQUEST_KEY}]},
                },
                *({"name": name, "emptyDir": {"sizeLimit": TMP_LIMIT}} for name in _folders(container, *before)),
            ],
        },
    }


def _folders(*containers: Json) -> list[str]:
    """The volumes that they mount, besides the request."""
    names = (mount["name"] for container in containers for mount in container["volumeMounts"])
    return [name for name in dict.fromkeys(names) if name != "request"]


def _secrets(begun: Started) -> list[str]:
    tracking = begun.spec.tracking
    return [STORE_SECRET, *([tracking.mlflow.secret] if tracking and tracking.mlflow.secret else [])]


def _database(sql: SqlSource | None) -> list[Json]:
    """The URL of the database that is read; it is in no object but the Secret."""
    if sql is None:
        return []
    return [{"name": SQL_URL, "valueFrom": {"secretKeyRef": {"name": sql.secret, "key": sql.key}}}]


def _features(begun: Started) -> tuple[list[Json], list[Json]]:
    """Where looked-up features are, for those that read them: environment and mounts."""
    if begun.request.feast is None:
        return [], []
    mount = {"name": FEATURES, "mountPath": FEATURES_FOLDER, "readOnly": True}
    return [{"name": FEAST_FOLDER, "value": FEATURES_FOLDER}], [mount]


def _container(module: str, image: str, begun: Started, resources: Json) -> Json:
    where, mounts = _features(begun)
    return {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", module],
        "env": [
            {"name": "PERENNIAL_REQUEST_FILE", "value": f"{REQUEST_FOLDER}/{REQUEST_KEY}"},
            # Nothing that lies in the working directory is a module.
            {"name": "PYTHONSAFEPATH", "value": "1"},
            {"name": "HOME", "value": "/tmp"},  # noqa: S108 - the pod's own empty volume
            *_database(begun.request.sql),
            *where,
        ],
        "envFrom": [{"secretRef": {"name": name}} for name in _secrets(begun)],
        "workingDir": "/tmp",  # noqa: S108 - the pod's own empty volume
        "resources": resources,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        **restricted.container(),
        "volumeMounts": [
            {"name": "request", "mountPath": REQUEST_FOLDER, "readOnly": True},
            {"name": TMP, "mountPath": "/tmp"},  # noqa: S108 - the pod's own empty volume
            *mounts,
        ],
    }


def _labels(training: ModelTraining, run: Run) -> dict[str, str]:
    return {
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_NAME: "run",
        LABEL_TRAINING: training.metadata.name,
        LABEL_RUN: str(run.number),
    }


def _metadata(training: ModelTraining, name: str, labels: dict[str, str]) -> Json:
    return {
        "name": name,
        "namespace": training.metadata.namespace,
        "labels": labels,
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
