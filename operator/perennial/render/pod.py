"""The pod template of a revision: what fetches the model, what serves it, and what it is told.

What a revision does not ask for leaves no trace here: the template of one without options stays the same from one
operator version to the next.
"""

import json
from collections.abc import Mapping
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from perennial.api.common import seconds
from perennial.api.deployment import ModelDeployment, Revision
from perennial.api.predictor import Predictor, Requests, TopologySpread
from perennial.api.version import ArtifactRecord
from perennial.contracts.names import (
    FILE_BASELINE,
    FILE_SIGNATURE,
    LABEL_REVISION,
    LABEL_VERSION,
    PORT_GRPC,
    PORT_METRICS,
    PORT_SERVE,
    STORE_READ_SECRET,
    model_file,
)
from perennial.render import restricted
from perennial.render.children import PREDICTOR, key_secret_name, labels, selector, settings_name

FETCH = "fetch"

_MODEL_DIR = "/model"
_KEYS_DIR = "/etc/perennial/feedback"
_SETTINGS_DIR = "/etc/perennial/settings"
_TLS_DIR = "/etc/perennial/tls"
_BEARER_DIR = "/etc/perennial/bearer"
_GRACE_SECONDS = 45
"""To drain (5), to finish what was begun (11) and to let Prometheus come once more (20), and some."""
_SECRET_MODE = 0o440

Json = dict[str, Any]
Artifacts = Mapping[str, ArtifactRecord]
"""A version's files by name."""


def predictor_of(revision: Revision) -> Predictor:
    """The configuration that ``revision`` recorded; fields that came later have their defaults."""
    return Predictor.model_validate({**revision.predictor, "replicas": 1})


def template(owner: ModelDeployment, revision: Revision, artifacts: Artifacts) -> Json:
    """The pod template of ``revision``, without its overlay."""
    own = {LABEL_VERSION: revision.version, LABEL_REVISION: revision.revision}
    return {
        "metadata": {
            "labels": {**labels(owner), **own},
            "annotations": {
                "prometheus.io/scrape": "true",
                "prometheus.io/port": str(PORT_METRICS),
                "prometheus.io/path": "/metrics",
            },
        },
        "spec": _pod(owner, revision, artifacts),
    }  # fmt: skip


def _pod(owner: ModelDeployment, revision: Revision, artifacts: Artifacts) -> Json:
    predictor = predictor_of(revision)
    common = {
        "image": revision.image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {
            "requests": {"cpu": predictor.resources.cpu, "memory": predictor.resources.memory},
            "limits": {"memory": predictor.resources.memory},
        },
        **restricted.container(),
    }
    return {
        **restricted.pod(),
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "initContainers": [{**common, **_fetch(artifacts)}],
        "containers": [{**common, **_predictor(owner, revision, artifacts, predictor)}],
        "volumes": [
            {"name": "model", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            _secret("feedback", key_secret_name(owner), optional=True),
            {"name": "settings", "configMap": {"name": settings_name(owner), "optional": True}},
            *(_secret(name, secret) for name, secret, _ in _protection(predictor)),
        ],
        **_placement(owner, revision, predictor),
    }  # fmt: skip


def _secret(name: str, secret: str, *, optional: bool = False) -> Json:
    missing = {"optional": True} if optional else {}
    return {"name": name, "secret": {"secretName": secret, **missing, "defaultMode": _SECRET_MODE}}


def _protection(predictor: Predictor) -> list[tuple[str, str, str]]:
    """(volume, Secret, folder) of each Secret that protects the endpoint."""
    found = []
    if predictor.tls:
        found.append(("tls", predictor.tls.secret, _TLS_DIR))
    if predictor.bearer:
        found.append(("bearer", predictor.bearer.secret, _BEARER_DIR))
    return found


def _placement(owner: ModelDeployment, revision: Revision, predictor: Predictor) -> Json:
    """Where the pods may run."""
    placed: Json = {
        "nodeSelector": predictor.node_selector,
        "tolerations": [each.wire() for each in predictor.tolerations],
        "topologySpreadConstraints": [_spread(owner, revision, each) for each in predictor.topology_spread],
        "priorityClassName": predictor.priority_class_name,
        "imagePullSecrets": [{"name": each} for each in predictor.image_pull_secrets],
    }
    return {key: value for key, value in placed.items() if value}


def _spread(owner: ModelDeployment, revision: Revision, spread: TopologySpread) -> Json:
    return {
        "topologyKey": spread.topology_key,
        "maxSkew": spread.max_skew or 1,
        "whenUnsatisfiable": spread.when_unsatisfiable or "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector(owner, revision.revision)},
    }


def _variables(values: dict[str, str]) -> list[Json]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _served(artifacts: Artifacts) -> list[Json]:
    """The files that are served, by name and digest."""
    names = (model_file(artifacts), FILE_SIGNATURE, FILE_BASELINE)
    files = [(name, artifacts[name]) for name in names if name in artifacts]
    served = [{"uri": each.uri, "sha256": each.sha256, "file": name} for name, each in files]
    return _variables({"PERENNIAL_ARTIFACTS": json.dumps(served), "PERENNIAL_MODEL_DIR": _MODEL_DIR})


def _fetch(artifacts: Artifacts) -> Json:
    """The init container: it alone has the store's credentials."""
    return {
        "name": FETCH,
        "command": ["python", "-m", "perennial_serving.fetch"],
        "env": _served(artifacts),
        "envFrom": [{"secretRef": {"name": STORE_READ_SECRET}}],
        "volumeMounts": [{"name": "model", "mountPath": _MODEL_DIR}, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }


def _predictor(owner: ModelDeployment, revision: Revision, artifacts: Artifacts, predictor: Predictor) -> Json:
    named = {
        "PERENNIAL_MODEL": owner.spec.model,
        "PERENNIAL_VERSION": revision.version,
        "PERENNIAL_REVISION": revision.revision,
        "PERENNIAL_DEPLOYMENT": f"{owner.metadata.namespace}/{owner.metadata.name}",
        "PERENNIAL_FEEDBACK_KEYS": _KEYS_DIR,
        "PERENNIAL_WATCHED_DIR": _SETTINGS_DIR,
    }
    folders = [("feedback", _KEYS_DIR), ("settings", _SETTINGS_DIR)]
    folders += [(name, folder) for name, _, folder in _protection(predictor)]
    return {
        "name": PREDICTOR,
        "command": ["python", "-m", "perennial_serving"],
        "env": [*_served(artifacts), *_variables({**named, **_options(predictor)})],
        "ports": [
            {"name": "http", "containerPort": PORT_SERVE},
            {"name": "metrics", "containerPort": PORT_METRICS},
            *([{"name": "grpc", "containerPort": PORT_GRPC}] if predictor.grpc else []),
        ],
        # A large model may take two minutes to load and warm up.
        "startupProbe": {**_probe("/readyz"), "periodSeconds": 1, "failureThreshold": 120},
        "readinessProbe": {**_probe("/readyz"), "periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 2},
        "livenessProbe": {**_probe("/healthz"), "periodSeconds": 10, "timeoutSeconds": 5},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "model", "mountPath": _MODEL_DIR, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir of the pod's own
            *({"name": name, "mountPath": folder, "readOnly": True} for name, folder in folders),
        ],
    }


def _options(predictor: Predictor) -> dict[str, str]:
    """The environment of what was asked for beyond the defaults."""
    found: dict[str, str] = {}
    if predictor.grpc:
        found["PERENNIAL_GRPC_PORT"] = str(PORT_GRPC)
    if predictor.tls:
        found |= {"PERENNIAL_TLS_DIR": _TLS_DIR, "PERENNIAL_TLS_CLIENT_AUTH": predictor.tls.client_auth}
    if predictor.bearer:
        found["PERENNIAL_BEARER_DIR"] = _BEARER_DIR
    if predictor.tracing:
        found["PERENNIAL_TRACES_ENDPOINT"] = predictor.tracing.endpoint
        found["PERENNIAL_TRACES_SAMPLE"] = str(predictor.tracing.sample)
    limits, usual = _limits(predictor.requests), _limits(Requests())
    return found | {name: value for name, value in limits.items() if value != usual[name]}


def _limits(requests: Requests) -> dict[str, str]:
    """What one request may cost; the predictor's own defaults are those of the API."""
    return {
        "PERENNIAL_DEADLINE_SECONDS": str(seconds(requests.deadline)),
        "PERENNIAL_MAX_BODY_BYTES": str(max(1, int(parse_quantity(requests.max_body)))),
        "PERENNIAL_MAX_WAITING": str(requests.max_waiting),
        "PERENNIAL_ACCESS_LOG": str(requests.log).lower(),
    }


def _probe(path: str) -> Json:
    return {"httpGet": {"path": path, "port": "metrics"}}
