"""What is read of the registry for a ModelTraining: the namespace's policy, and what retention is decided from."""

import contextlib
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import ValidationError

from perennial.api.common import API_VERSION, Object, parse_time
from perennial.api.deployment import ModelDeployment
from perennial.api.drift import DriftMonitor
from perennial.api.training import ModelTraining
from perennial.api.version import ModelVersion
from perennial.contracts.names import LABEL_APPROVAL, LABEL_REMOVES_FOR, MANUAL
from perennial.domain.training.state import Registry, Removal, running
from perennial.reconcile.controller import Context

Json = dict[str, Any]
Kind = TypeVar("Kind", bound=Object)


def readable(kind: type[Kind], found: Iterable[Json]) -> list[Kind]:
    """Those that can be read: one that an older definition let in must not keep the others of its namespace waiting."""
    made = []
    for raw in found:
        with contextlib.suppress(ValidationError):
            made.append(kind.parse(raw))
    return made


async def insists_on_approval(context: Context, namespace: str) -> bool:
    """Whether the namespace's label has every version wait for a person."""
    found = await _namespace(context, namespace)
    return (found.get("labels") or {}).get(LABEL_APPROVAL) == MANUAL


async def _namespace(context: Context, name: str) -> Json:
    """The namespace's metadata."""
    found = await context.api.get("v1", "Namespace", "", name)
    return dict(found["metadata"]) if found else {}


async def read_registry(context: Context, mine: ModelTraining) -> Registry:
    """Nothing where no version is on its way out and none is to be put on it: all are kept, or a run is under way."""
    if not mine.status.retired and (mine.spec.retention is None or running(mine.status.runs)):
        return Registry()
    namespace, model = mine.metadata.namespace, mine.spec.model
    # Not by label: a version that lost it would pass for gone, and its files would go.
    versions = [ModelVersion.parse(each) for each in await context.api.list(API_VERSION, ModelVersion.KIND, namespace)]
    found = await context.api.list(API_VERSION, ModelDeployment.KIND, namespace)
    deployments = [ModelDeployment.parse(each) for each in found]
    trainings = readable(ModelTraining, await context.api.list(API_VERSION, mine.KIND, namespace))
    jobs: list[Json] = []
    if mine.status.retired:
        selector = f"{LABEL_REMOVES_FOR}={mine.metadata.name}"
        jobs = await context.api.list("batch/v1", "Job", namespace, labels=selector)
    return Registry(
        versions=tuple(each for each in versions if each.spec.record.model == model),
        deployments=tuple(each for each in deployments if each.spec.model == model),
        removals=tuple(map(_removal, jobs)),
        trainings=tuple(each for each in trainings if each.spec.model == model),
        pinned=frozenset(filter(None, map(_pinned, await context.api.list(API_VERSION, DriftMonitor.KIND, namespace)))),
        ends=mine.metadata.deletion_timestamp is not None
        and "deletionTimestamp" in await _namespace(context, namespace),
    )


def _pinned(monitor: Json) -> str:
    """The version that a DriftMonitor compares with, also where the monitor cannot be read otherwise."""
    spec: Json = monitor.get("spec") or {}
    return str((spec.get("baseline") or {}).get("version") or "")


def _removal(job: Json) -> Removal:
    name = job["metadata"]["name"]
    for each in (job.get("status") or {}).get("conditions") or ():
        if each["status"] == "True" and each["type"] in {"Complete", "Failed"}:
            failed = each["type"] == "Failed"
            return Removal(
                name, succeeded=not failed, failed_at=parse_time(each["lastTransitionTime"]) if failed else None
            )
    return Removal(name)
