"""A run as Kubeflow Pipelines gets it: the compiled pipeline with what its pods need, and the run's parameters.

Fields that servers from 2.0 on know are used alone: sizes as numbers, Secrets and claims by plain names.
"""

from functools import lru_cache
from typing import Any

import msgspec
import yaml
from kubernetes.utils.quantity import parse_quantity

from perennial.api.kubeflow import PodSettings
from perennial.api.run import Engine, Run
from perennial.api.training import ModelTraining
from perennial.contracts import pipelines
from perennial.contracts.names import ENGINE, KUBEFLOW
from perennial.contracts.request import SQL_URL
from perennial.domain.plan import Create, Step, Submit
from perennial.domain.training.kubeflow import Target
from perennial.domain.training.request import REQUEST_KEY, Started
from perennial.render.run_job import config_map

MLFLOW_KEYS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "MLFLOW_CA")
_GIGABYTE = 10**9

Json = dict[str, Any]


def submission(
    training: ModelTraining, run: Run, begun: Started, target: Target, keys: tuple[str, ...]
) -> tuple[Step, ...]:
    """The ConfigMap that says what the run was started for, and the run. ``keys`` are the store Secret's entries."""
    metadata = training.metadata
    return (
        Create(config_map(training, run, begun)),
        Submit(
            server=target.server,
            name=run.job,
            description=f"Run {run.number} of ModelTraining {metadata.namespace}/{metadata.name} ({metadata.uid})",
            experiment=target.experiment,
            pipeline=target.pipeline,
            content=pipeline(run.image, begun, target, keys),
            parameters=_parameters(begun, target),
            root=target.pipeline_root,
            service_account=target.service_account,
        ),
    )


def pipeline(image: str, begun: Started, target: Target, keys: tuple[str, ...]) -> str:
    """The compiled pipeline (YAML, two documents: what is run, and what Kubernetes gives its pods)."""
    document = _parsed("kubeflow" if _spread(begun, target) else "tabular")
    executors = {
        name: {"container": {**each["container"], "image": image, **_container(name, begun.spec.engine)}}
        for name, each in document["deploymentSpec"]["executors"].items()
    }
    tasks = document["root"]["dag"]["tasks"]
    if not target.caching:
        tasks = {name: {**task, "cachingOptions": {}} for name, task in tasks.items()}
    changed = {
        **document,
        "deploymentSpec": {"executors": executors},
        "root": {**document["root"], "dag": {**document["root"]["dag"], "tasks": tasks}},
    }
    secrets = _secrets(begun, target, keys)
    platform = {name: _platform(name, begun.spec.engine, secrets) for name in executors}
    kubernetes = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": platform}}}}
    return yaml.dump_all((changed, kubernetes), Dumper=_Dumper, sort_keys=True)


def _spread(begun: Started, target: Target) -> bool:
    """Whether it takes the pipeline that searches in many pods, and that Kubeflow's cache knows."""
    return target.caching or _shares(begun) > 1


def _shares(begun: Started) -> int:
    given = begun.spec.engine.kubeflow
    # A replay has nothing to search.
    return given.shards if given and given.shards and begun.request.replay is None else 1


def _parameters(begun: Started, target: Target) -> Json:
    request = begun.data()[REQUEST_KEY]
    if not _spread(begun, target):
        return {"request": request}
    alike = msgspec.structs.replace(begun.request, run=0, output="")
    definition, shares = msgspec.json.encode(alike, order="deterministic").decode(), _shares(begun)
    return {"request": request, "definition": definition, "share_numbers": list(range(shares)), "shares": shares}


_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@lru_cache
def _parsed(name: pipelines.Name) -> Json:
    """What is cached is never changed: copies are made of what differs."""
    document: Json = yaml.load(pipelines.compiled(name), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return document


def _settings(executor: str, engine: Engine) -> list[PodSettings]:
    component = pipelines.stands_for(executor.removeprefix("exec-"))
    given = engine.kubeflow.pods if engine.kubeflow else []
    return [each for each in given if each.components is None or component in each.components]


def _container(executor: str, engine: Engine) -> Json:
    """What the container of ``executor`` is given beside its program."""
    cpu, memory, accelerator = engine.resources.cpu, engine.resources.memory, None
    for each in _settings(executor, engine):
        cpu, memory, accelerator = each.cpu or cpu, each.memory or memory, each.accelerator or accelerator
    gigabytes = float(parse_quantity(memory)) / _GIGABYTE
    resources: Json = {
        "cpuRequest": float(parse_quantity(cpu)), "memoryRequest": gigabytes, "memoryLimit": gigabytes,
    }  # fmt: skip
    if accelerator:
        resources["accelerator"] = {"type": accelerator.type, "count": str(accelerator.count)}
    environment = [
        {"name": ENGINE, "value": KUBEFLOW},
        {"name": "HOME", "value": "/tmp"},  # noqa: S108 - the user of the image has no other folder
        {"name": "PYTHONSAFEPATH", "value": "1"},
    ]
    return {"env": environment, "resources": resources}


def _secrets(begun: Started, target: Target, keys: tuple[str, ...]) -> list[Json]:
    """The environment that all components have out of Secrets."""
    found = [_env(target.store_secret, {key: key for key in sorted(keys)})]
    if (sql := begun.request.sql) is not None:
        found.append(_env(sql.secret, {sql.key: SQL_URL}))
    tracking = begun.spec.tracking
    if tracking and tracking.mlflow.secret:
        found.append({**_env(tracking.mlflow.secret, {key: key for key in MLFLOW_KEYS}), "optional": True})
    return found


def _env(secret: str, entries: dict[str, str]) -> Json:
    return {
        "secretName": secret,
        "keyToEnv": [{"secretKey": key, "envVar": variable} for key, variable in entries.items()],
    }


def _platform(executor: str, engine: Engine, secrets: list[Json]) -> Json:
    found: Json = {"secretAsEnv": list(secrets)}
    for each in _settings(executor, engine):
        found["secretAsEnv"] += [_env(given.secret, {given.key: given.name}) for given in each.secret_env or ()]
        if each.volumes:
            found["pvcMount"] = [{"constant": volume.claim, "mountPath": volume.mount_path} for volume in each.volumes]
        if each.node_selector:
            found["nodeSelector"] = {"labels": dict(each.node_selector)}
        if each.tolerations:
            found["tolerations"] = [given.wire() for given in each.tolerations]
    return found
