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
from perennial.contracts.names import CLAIMED, ENGINE, KUBEFLOW, PIPELINE
from perennial.contracts.request import SQL_URL
from perennial.domain.plan import Create, Step, Submit
from perennial.domain.training.kubeflow import Side, Target
from perennial.domain.training.request import REQUEST_KEY, Started
from perennial.render import own_pipeline
from perennial.render.run_job import config_map

MLFLOW_KEYS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "MLFLOW_CA")
_GIGABYTE = 10**9

Json = dict[str, Any]


def submission(training: ModelTraining, run: Run, begun: Started, target: Target, side: Side) -> tuple[Step, ...]:
    """The ConfigMap that says what the run was started for, and the run."""
    metadata = training.metadata
    return (
        Create(config_map(training, run, begun)),
        Submit(
            server=target.server,
            name=run.job,
            description=f"Run {run.number} of ModelTraining {metadata.namespace}/{metadata.name} ({metadata.uid})",
            experiment=target.experiment,
            pipeline=target.pipeline,
            content=pipeline(run.image, begun, target, side),
            parameters=_parameters(begun, target),
            root=target.pipeline_root,
            service_account=target.service_account,
        ),
    )


def pipeline(image: str, begun: Started, target: Target, side: Side) -> str:
    """The compiled pipeline (YAML, two documents: what is run, and what Kubernetes gives its pods)."""
    engine, secrets = begun.spec.engine, _secrets(begun, target, side.keys)
    name: pipelines.Name = "own" if begun.spec.pipeline else "kubeflow" if _spread(begun, target) else "tabular"
    ours = _parsed(name)
    executors = ours["deploymentSpec"]["executors"]
    given = {
        executor: _with(each, {"image": image, **_container(executor, engine, name)})
        for executor, each in executors.items()
    }
    ours = {**(ours if target.caching else _uncached(ours)), "deploymentSpec": {"executors": given}}
    platform = {name: _platform(name, engine, secrets) for name in given}
    if begun.spec.pipeline:
        documents = list(yaml.load_all(side.own, Loader=_Loader))
        ours, asked = own_pipeline.composed(ours, documents[0]), own_pipeline.platform_of(documents[1:])
        theirs = {name: each for name, each in ours["deploymentSpec"]["executors"].items() if name not in given}
        made = {name: _with(each, {"env": _environment(each)}) for name, each in theirs.items()}
        ours = {**ours, "deploymentSpec": {"executors": {**given, **made}}}
        for name, each in theirs.items():
            if "container" in each:
                wanted = asked.get(name, {})
                platform[name] = {**wanted, "secretAsEnv": [*secrets, *wanted.get("secretAsEnv", ())]}
    kubernetes = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": platform}}}}
    return yaml.dump_all((ours, kubernetes), Dumper=_Dumper, sort_keys=True)


def _with(executor: Json, container: Json) -> Json:
    """The executor with that in its container, where it has one: an importer has none."""
    return {"container": {**executor["container"], **container}} if "container" in executor else executor


def _environment(executor: Json) -> list[Json]:
    """Of a component of somebody else's: its own, and what ours among them go by."""
    return [*(executor.get("container") or {}).get("env", ()), {"name": ENGINE, "value": KUBEFLOW}]


def _uncached(document: Json) -> Json:
    """With no task that Kubeflow may take from its cache."""

    def plain(component: Json) -> Json:
        if "dag" not in component:
            return component
        tasks = {name: {**task, "cachingOptions": {}} for name, task in component["dag"]["tasks"].items()}
        return {**component, "dag": {**component["dag"], "tasks": tasks}}

    components = {name: plain(each) for name, each in document["components"].items()}
    return {**document, "components": components, "root": plain(document["root"])}


def _spread(begun: Started, target: Target) -> bool:
    """Whether it takes the pipeline that searches in many pods, and that Kubeflow's cache knows. A replay has nothing
    to search, and is to fit once more.
    """
    return begun.request.replay is None and (target.caching or _shares(begun) > 1)


def _shares(begun: Started) -> int:
    given = begun.spec.engine.kubeflow
    return given.shards if given and given.shards else 1


def _parameters(begun: Started, target: Target) -> Json:
    request = begun.data()[REQUEST_KEY]
    if begun.spec.pipeline:
        folder = f"{begun.request.output.rstrip('/')}/{CLAIMED}"
        theirs = msgspec.structs.replace(begun.request, output=folder, tracking=None)
        return {"request": request, own_pipeline.PARAMETER: msgspec.json.encode(theirs, order="deterministic").decode()}
    if not _spread(begun, target):
        return {"request": request}
    alike = msgspec.structs.replace(begun.request, run=0, output="")
    definition, shares = msgspec.json.encode(alike, order="deterministic").decode(), _shares(begun)
    return {"request": request, "definition": definition, "share_numbers": list(range(shares)), "shares": shares}


_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@lru_cache
def _parsed(name: pipelines.Name) -> Json:
    """What is cached is never changed: copies are made of what differs."""
    document: Json = yaml.load(pipelines.compiled(name), Loader=_Loader)  # noqa: S506 - the safe one, in C
    return document


def _settings(executor: str, engine: Engine) -> list[PodSettings]:
    component = pipelines.stands_for(executor.removeprefix("exec-"))
    given = engine.kubeflow.pods if engine.kubeflow else []
    return [each for each in given if each.components is None or component in each.components]


def _container(executor: str, engine: Engine, pipeline: pipelines.Name) -> Json:
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
        {"name": PIPELINE, "value": pipeline},
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
