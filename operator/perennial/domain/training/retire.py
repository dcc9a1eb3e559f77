"""How a version goes that spec.retention no longer keeps, with its files.

It is put on the list in the status, then it is deleted, and once it is gone and no ModelDeployment uses it, a Job
deletes its files: the operator itself holds no credentials that could. The list entry goes last. So the operator may
end anywhere: no version's files are gone while it could be picked, and what is still to be done stands on the list.

While there is a list the ModelTraining bears a finalizer: where it is deleted meanwhile, the files of the versions that
it has deleted go first.
"""

from datetime import datetime, timedelta

from perennial.api.common import API_VERSION
from perennial.api.evaluation import Retired
from perennial.api.version import ModelVersion
from perennial.contracts.names import FINALIZER_FILES
from perennial.domain.conditions import condition, without
from perennial.domain.plan import Delete, Finalizer, Plan, short_hash
from perennial.domain.retention import needed, surplus, used
from perennial.domain.training.rivals import taken_by
from perennial.domain.training.state import Draft, Removal, Render, Said, Snapshot, running

CONDITION = "FilesRemoved"
AT_ONCE = 10
AGAIN = 10.0
AFTER_FAILURE = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(minutes=10)
"""A ModelTraining that is deleted is held so long for its versions' files; then they stay."""
_APART = "retire"


def look(draft: Draft, render: Render) -> None:
    """Takes the retirement of each version on the list one step on, and puts others on it."""
    trouble: list[str] = []
    for entry in draft.status.retired:
        version = _version(draft, entry)
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
    _hold(draft)
    if draft.status.retired:
        draft.again(AGAIN)


def leave(snapshot: Snapshot, now: datetime, render: Render) -> Plan:
    """What is still to be done for a ModelTraining that is being deleted: the versions that it has deleted lose their
    files, the others on its list stay. Where that fails, takes too long, or the namespace goes too, the files stay.
    """
    draft, metadata = Draft.of(snapshot, now), snapshot.training.metadata
    if FINALIZER_FILES not in metadata.finalizers or metadata.deletion_timestamp is None:
        return Plan()
    late = snapshot.registry.ends or now - metadata.deletion_timestamp >= GIVE_UP_AFTER
    for entry in draft.status.retired:
        version, job = _version(draft, entry), _removal(draft, entry)
        if version is not None and version.metadata.deletion_timestamp is None:
            _forget(draft, entry)
        elif late or (job and job.failed_at):
            why = "the ModelTraining is deleted, and they could not be in time"
            draft.event("FilesKept", f"the files of {entry.version} at {entry.folder} stay: {why}", warning=True)
            _forget(draft, entry)
        elif version is None:
            _remove_files(draft, entry, render, [])
    if not draft.status.retired:
        return Plan(steps=(*draft.steps, Finalizer(FINALIZER_FILES, there=False)), events=tuple(draft.events))
    draft.again(AGAIN)
    return draft.plan()


def _version(draft: Draft, entry: Retired) -> ModelVersion | None:
    return next((each for each in draft.snapshot.registry.versions if each.metadata.uid == entry.uid), None)


def _removal(draft: Draft, entry: Retired) -> Removal | None:
    name = removal_name(draft, entry)
    return next((each for each in draft.snapshot.registry.removals if each.job == name), None)


def _hold(draft: Draft) -> None:
    """The finalizer is there before anything goes, and until a list without anything is written."""
    wanted = bool(draft.status.retired or draft.training.status.retired)
    if wanted != (FINALIZER_FILES in draft.training.metadata.finalizers):
        draft.steps.append(Finalizer(FINALIZER_FILES, there=wanted, apart=_APART))


def _choose(draft: Draft) -> None:
    """Puts on the list what goes; not while a run is under way, for that may still read its champion, and not for a
    ModelTraining whose model belongs to another one. An entry whose files cannot be deleted holds up no other.
    """
    wanted, registry, listed = draft.training.spec.retention, draft.snapshot.registry, draft.status.retired
    if wanted is None or running(draft.status.runs) is not None or taken_by(draft.training, registry.trainings):
        return
    known = {each.uid for each in listed}
    found = surplus(registry.versions, registry.deployments, wanted.versions, registry.pinned)
    chosen = [each for each in found if each.metadata.uid not in known][: AT_ONCE - len(listed)]
    if chosen:
        added = [Retired(version=each.metadata.name, uid=each.metadata.uid, folder=folder(each)) for each in chosen]
        draft.set(retired=[*listed, *added])
        draft.again(0.0)


def folder(version: ModelVersion) -> str:
    """The address of the run's files, or nothing where the record's is not that of a run of this namespace."""
    record = version.spec.record
    address, slash, _ = record.result.uri.rpartition("/")
    mine = f"/{version.metadata.namespace}/{record.training}/{record.run}"
    safe = slash and address.endswith(mine) and ".." not in address.split("/")
    return address if safe else ""


def _delete(draft: Draft, entry: Retired, version: ModelVersion) -> None:
    run = running(draft.status.runs)
    if version.metadata.deletion_timestamp is not None or (run and run.reproduces == entry.version):
        return
    registry = draft.snapshot.registry
    held = needed(registry.versions, registry.deployments, registry.pinned)
    if draft.training.spec.retention is None or entry.version in held:
        _forget(draft, entry)
        return
    namespace = draft.training.metadata.namespace
    draft.steps.append(Delete(API_VERSION, ModelVersion.KIND, namespace, entry.version, apart=_APART))


def _remove_files(draft: Draft, entry: Retired, render: Render, trouble: list[str]) -> None:
    registry, namespace = draft.snapshot.registry, draft.training.metadata.namespace
    if not entry.folder:
        draft.event("FilesKept", f"{entry.version} is gone; its files are not under this namespace's folder, and stay")
        _forget(draft, entry)
        return
    if any(entry.version in used(each) for each in registry.deployments):
        return
    name, job = removal_name(draft, entry), _removal(draft, entry)
    if job is None:
        draft.steps += render.removal(draft.training, name, draft.snapshot.image, entry.folder)
    elif job.succeeded:
        draft.event("VersionRetired", f"{entry.version} and its files are gone: spec.retention keeps newer ones")
        draft.steps.append(Delete("batch/v1", "Job", namespace, name, apart=_APART))
        _forget(draft, entry)
    elif job.failed_at is not None:
        trouble.append(
            f"the files of {entry.version} at {entry.folder} could not be deleted; see kubectl logs -n {namespace} "
            f"job/{name}; it is tried again an hour later, or once this Job is deleted"
        )
        _say_once(draft, job, trouble[-1])
        if draft.now - job.failed_at >= AFTER_FAILURE:
            draft.steps.append(Delete("batch/v1", "Job", namespace, name, apart=_APART))


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
