"""How a version goes that spec.retention no longer keeps, with its files.

It is put on the list in the status, then it is deleted, and once it is gone and no ModelDeployment uses it, a Job
deletes its files: the operator itself holds no credentials that could. The list entry goes last. So the operator may
end anywhere: no version's files are gone while it could be picked, and what is still to be done stands on the list.
"""

from datetime import timedelta

from perennial.api.common import API_VERSION
from perennial.api.evaluation import Retired
from perennial.api.version import ModelVersion
from perennial.domain.conditions import condition, without
from perennial.domain.plan import Delete, short_hash
from perennial.domain.retention import needed, surplus, used
from perennial.domain.training.state import Draft, Removal, Render, Said, running

CONDITION = "FilesRemoved"
AT_ONCE = 10
AGAIN = 10.0
AFTER_FAILURE = timedelta(hours=1)


def look(draft: Draft, render: Render) -> None:
    """Takes the retirement of each version on the list one step on, and puts others on it."""
    trouble: list[str] = []
    for entry in draft.status.retired:
        version = next((each for each in draft.snapshot.registry.versions if each.metadata.uid == entry.uid), None)
        if version is not None:
            _delete(draft, entry, version)
        else:
            _remove_files(draft, entry, render, trouble)
    _choose(draft)
    conditions = without(draft.status.conditions, CONDITION)
    if trouble:
        said: Said = ("False", "RemovalFailed", "; ".join(trouble))
        generation = draft.training.metadata.generation
        conditions = condition(draft.status.conditions, CONDITION, *said, generation=generation, now=draft.now)
    draft.set(conditions=conditions)
    if draft.status.retired:
        draft.again(AGAIN)


def _choose(draft: Draft) -> None:
    """Puts on the list what goes; not while a run is under way, for that may still read its champion."""
    wanted, registry = draft.training.spec.retention, draft.snapshot.registry
    if wanted is None or draft.status.retired or running(draft.status.runs) is not None:
        return
    chosen = surplus(registry.versions, registry.deployments, wanted.versions)[:AT_ONCE]
    draft.set(
        retired=[Retired(version=each.metadata.name, uid=each.metadata.uid, folder=folder(each)) for each in chosen]
    )
    if chosen:
        draft.again(0.0)


def folder(version: ModelVersion) -> str:
    """The address of the run's files, or nothing where the record's is not that of a run of this namespace."""
    record = version.spec.record
    address, slash, _ = record.result.uri.rpartition("/")
    mine = f"/{version.metadata.namespace}/{record.training}/{record.run}"
    safe = slash and address.endswith(mine) and ".." not in address.split("/")
    return address if safe else ""


def _delete(draft: Draft, entry: Retired, version: ModelVersion) -> None:
    if version.metadata.deletion_timestamp is not None:
        return
    registry = draft.snapshot.registry
    if draft.training.spec.retention is None or entry.version in needed(registry.versions, registry.deployments):
        _forget(draft, entry)
        return
    draft.steps.append(Delete(API_VERSION, ModelVersion.KIND, draft.training.metadata.namespace, entry.version))


def _remove_files(draft: Draft, entry: Retired, render: Render, trouble: list[str]) -> None:
    registry, namespace = draft.snapshot.registry, draft.training.metadata.namespace
    if not entry.folder:
        draft.event("FilesKept", f"{entry.version} is gone; its files are not under this namespace's folder, and stay")
        _forget(draft, entry)
        return
    if any(entry.version in used(each) for each in registry.deployments):
        return
    name = removal_name(draft, entry)
    job = next((each for each in registry.removals if each.job == name), None)
    if job is None:
        draft.steps += render.removal(draft.training, name, draft.snapshot.image, entry.folder)
    elif job.succeeded:
        draft.event("VersionRetired", f"{entry.version} and its files are gone: spec.retention keeps newer ones")
        draft.steps.append(Delete("batch/v1", "Job", namespace, name))
        _forget(draft, entry)
    elif job.failed_at is not None:
        trouble.append(
            f"the files of {entry.version} at {entry.folder} could not be deleted; see kubectl logs -n {namespace} "
            f"job/{name}; it is tried again an hour later, or once this Job is deleted"
        )
        _say_once(draft, job, trouble[-1])
        if draft.now - job.failed_at >= AFTER_FAILURE:
            draft.steps.append(Delete("batch/v1", "Job", namespace, name))


def _say_once(draft: Draft, job: Removal, message: str) -> None:
    known = any(each.type == CONDITION and job.job in each.message for each in draft.status.conditions)
    if not known:
        draft.event("RemovalFailed", message, warning=True)


def removal_name(draft: Draft, entry: Retired) -> str:
    """The Job that deletes the files of ``entry``."""
    metadata = draft.training.metadata
    return f"{metadata.name[:40].rstrip('-.')}-gone-{short_hash(metadata.uid, entry.uid)}"


def _forget(draft: Draft, entry: Retired) -> None:
    draft.set(retired=[each for each in draft.status.retired if each.uid != entry.uid])
