"""Which versions go, and that none loses its files while it could be picked, wherever the operator ends."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.api.common import format_time
from perennial.api.deployment import ModelDeployment
from perennial.api.run import Run, TrainingStatus
from perennial.api.training import ModelTraining
from perennial.api.version import ModelVersion
from perennial.contracts.names import FINALIZER_FILES, quarantine_annotation
from perennial.domain.plan import Create, Delete, Finalizer
from perennial.domain.retention import surplus
from perennial.domain.training import retire
from perennial.domain.training.state import Draft, Registry, Removal, Render, Snapshot
from perennial.render.removal_job import removal
from tests.unit.training.support import NOW, ROOT, a_deployment, a_training

Json = dict[str, Any]
RENDER = Render(run=lambda *_: (), submission=lambda *_: (), poll=lambda *_: (), removal=removal)
RUNNING = {"number": 7, "trigger": {"type": "Spec"}, "phase": "Running", "job": "j", "startedAt": format_time(NOW)}


def a_version(number: int, approval: str = "Approved", **metadata: Any) -> ModelVersion:
    """Version ``number`` of the model heart, made by run ``number``."""
    digest, output = "a" * 64, f"{ROOT}/cardio/heart/{number}"
    record = {
        "model": "heart", "number": number, "training": "heart", "run": number, "runUid": "u",
        "trigger": {"type": "Spec"}, "created": format_time(NOW), "algorithm": "Ridge", "parameters": {}, "seed": 1,
        "score": {"metric": "roc_auc", "value": 0.9, "text": "roc_auc 0.900"}, "metrics": {"roc_auc": 0.9},
        "data": {"source": "s3://d", "sha256": digest, "rows": 10, "testRows": 2, "columns": []},
        "split": {"test": 0.2, "seed": 1}, "artifacts": {},
        "result": {"uri": f"{output}/result.json", "sha256": digest},
    }  # fmt: skip
    return ModelVersion.parse({
        "metadata": {"name": f"heart-v{number}", "namespace": "cardio", "uid": f"v{number}", **metadata},
        "spec": {"record": record, "approval": approval},
    })  # fmt: skip


def revision(version: str) -> Json:
    return {"version": version, "revision": "r", "image": "i", "since": format_time(NOW)}


def gone(versions: list[ModelVersion], *deployments: ModelDeployment, keep: int = 2) -> list[str]:
    return [each.metadata.name for each in surplus(versions, deployments, keep)]


SIX = [a_version(number) for number in range(1, 7)]
TARGET = {"target": revision("heart-v1"), "startedAt": format_time(NOW), "stepSince": format_time(NOW)}


def test_the_newest_stay() -> None:
    assert gone(SIX) == ["heart-v1", "heart-v2", "heart-v3", "heart-v4"]
    assert gone(SIX[:2]) == []
    assert gone(SIX[:2], keep=9) == []


@pytest.mark.parametrize(
    "deployment",
    [
        a_deployment("heart-v1"),
        a_deployment("heart-v6", rollout=TARGET),
        a_deployment("heart-v6", standby={"revision": revision("heart-v1"), "until": format_time(NOW)}),
        a_deployment("heart-v6", held={"version": "heart-v1", "reason": "slow", "since": format_time(NOW)}),
        a_deployment("heart-v6", history=[revision("heart-v6"), revision("heart-v1")]),
        a_deployment("heart-v6").model_copy(
            update={"spec": a_deployment().spec.model_validate({"model": "heart", "version": {"name": "heart-v1"}})}
        ),
    ],
)
def test_what_a_deployment_uses_or_could_go_back_to_stays(deployment: ModelDeployment) -> None:
    assert gone(SIX, deployment) == ["heart-v2", "heart-v3", "heart-v4"]


def test_the_way_back_is_the_last_one_that_is_not_known_to_be_bad() -> None:
    bad = a_version(3, annotations={quarantine_annotation("heart"): "{}"})
    versions = [*SIX[:2], bad, a_version(4, "Rejected"), *SIX[4:]]
    history = [revision(f"heart-v{number}") for number in (6, 4, 3, 2, 1)]
    assert gone(versions, a_deployment("heart-v6", history=history)) == ["heart-v1", "heart-v3", "heart-v4"]


def test_what_waits_for_approval_stays_and_so_does_the_newest_that_could_be_rolled_out() -> None:
    mark = {quarantine_annotation("heart"): "{}"}
    versions = [
        a_version(1, "Pending"), a_version(2), a_version(3), a_version(4, annotations=mark), a_version(5, "Rejected"),
        a_version(6, "Rejected"), a_version(7, "Rejected"),
    ]  # fmt: skip
    assert gone(versions, a_deployment("")) == ["heart-v2", "heart-v5"]


def test_what_is_being_deleted_neither_counts_nor_goes() -> None:
    versions = [*SIX[:5], a_version(6, deletionTimestamp=format_time(NOW))]
    assert gone(versions) == ["heart-v1", "heart-v2", "heart-v3"]


@given(
    st.lists(st.sampled_from(["Approved", "Rejected", "Pending"]), max_size=8), st.integers(1, 5), st.integers(1, 5)
)  # fmt: skip
def test_who_keeps_more_deletes_less(approvals: list[str], keep: int, more: int) -> None:
    versions = [a_version(number, approval) for number, approval in enumerate(approvals, 1)]
    assert set(gone(versions, keep=keep + more)) <= set(gone(versions, keep=keep))
    left = {each.metadata.name for each in versions} - set(gone(versions, keep=keep))
    assert len(left) >= min(keep, len(versions))
    assert {each.metadata.name for each in versions if each.spec.approval == "Pending"} <= left


# --- how they go --------------------------------------------------------------------------------------------------


@dataclass
class World:
    """Versions, the folders with their files, and the Jobs that delete them."""

    training: ModelTraining = field(default_factory=lambda: a_training(retention={"versions": 2}))
    versions: dict[str, ModelVersion] = field(default_factory=lambda: {each.metadata.name: each for each in SIX})
    folders: set[str] = field(default_factory=lambda: {f"{ROOT}/cardio/heart/{number}" for number in range(1, 7)})
    jobs: dict[str, Json] = field(default_factory=dict)
    deployments: list[ModelDeployment] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    breaks: bool = False
    refuses: bool = False
    """The API server refuses to delete versions."""
    hours: int = 0
    others: list[ModelTraining] = field(default_factory=list)
    pinned: frozenset[str] = frozenset()
    ends: bool = False

    def step(self, *, steps: int | None = None, status: bool = True) -> Draft:
        """Decides; carries out the first ``steps`` (None: all), then writes the status if ``status``."""
        removals = tuple(
            Removal(name, succeeded=job["ended"] == "Complete", failed_at=NOW if job["ended"] == "Failed" else None)
            for name, job in self.jobs.items()
        )
        registry = Registry(
            tuple(self.versions.values()),
            tuple(self.deployments),
            removals,
            (self.training, *self.others),
            self.pinned,
            self.ends,
        )
        draft = Draft.of(Snapshot(self.training, "components:1", registry=registry), NOW + timedelta(hours=self.hours))
        if self.training.metadata.deletion_timestamp is None:
            retire.look(draft, RENDER)
        else:
            plan = retire.leave(draft.snapshot, draft.now, RENDER)
            draft.steps, draft.events = list(plan.steps), list(plan.events)
            draft.status = cast("TrainingStatus", plan.status or draft.status)
        for each in draft.steps[:steps]:
            match each:
                case Finalizer(name, there):
                    self._finalizer(name, there=there)
                case Delete(_, "ModelVersion", _, _, apart="retire") if self.refuses:
                    pass
                case Create(manifest):
                    self.jobs.setdefault(manifest["metadata"]["name"], {**manifest, "ended": ""})
                case Delete(_, "Job", _, name):
                    self.jobs.pop(name, None)
                case Delete(_, _, _, name):
                    self.versions.pop(name, None)
            self.check()
        if status:
            self.said += [event.reason for event in draft.events]
            written = TrainingStatus.model_validate(draft.status.wire())
            self.training = self.training.model_copy(update={"status": written})
        return draft

    def _finalizer(self, name: str, *, there: bool) -> None:
        others = tuple(each for each in self.training.metadata.finalizers if each != name)
        self._metadata(finalizers=(*others, name) if there else others)

    def _metadata(self, **changes: Any) -> None:
        self.training = self.training.model_copy(update={"metadata": self.training.metadata.model_copy(update=changes)})

    def delete_training(self) -> None:
        """It is gone at once, unless a finalizer holds it."""
        self._metadata(deletion_timestamp=NOW + timedelta(hours=self.hours))

    @property
    def there(self) -> bool:
        """Whether the ModelTraining is."""
        return self.training.metadata.deletion_timestamp is None or bool(self.training.metadata.finalizers)

    def run_jobs(self) -> None:
        """Each Job that has not ended does what it is there for."""
        for job in self.jobs.values():
            if not job["ended"]:
                [environment] = job["spec"]["template"]["spec"]["containers"][0]["env"]
                self.folders -= set() if self.breaks else {environment["value"]}
                job["ended"] = "Failed" if self.breaks else "Complete"
        self.check()

    def check(self) -> None:
        """Whatever can be picked has its files."""
        for version in self.versions.values():
            assert retire.folder(version) in self.folders, f"{version.metadata.name} has lost its files"

    def settle(self) -> None:
        for _ in range(12):
            if self.there:
                self.step()
            self.run_jobs()


def test_versions_go_first_and_their_files_after_them() -> None:
    world = World()
    world.settle()
    assert set(world.versions) == {"heart-v5", "heart-v6"}
    assert world.folders == {f"{ROOT}/cardio/heart/5", f"{ROOT}/cardio/heart/6"}
    assert world.said.count("VersionRetired") == 4
    assert (world.jobs, world.training.status.retired, world.training.status.conditions) == ({}, [], [])
    assert world.training.metadata.finalizers == ()


ENDS = st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 6)), st.booleans(), st.booleans()), max_size=12)


def interrupted(world: World, ends: list[tuple[int | None, bool, bool]]) -> None:
    """The operator ends after so many steps (None: all), before or after it has written the status, again and again."""
    for steps, status, ran in ends:
        if world.there:
            world.step(steps=steps, status=status and steps is None)
        if ran:
            world.run_jobs()


@settings(max_examples=60, deadline=None)
@given(ENDS)
def test_wherever_the_operator_ends_no_version_loses_its_files_and_the_next_one_finishes(
    ends: list[tuple[int | None, bool, bool]],
) -> None:
    world = World()
    interrupted(world, ends)
    world.settle()
    assert len(world.folders) == len(world.versions) == 2
    assert (world.jobs, world.training.status.retired) == ({}, [])


@settings(max_examples=100, deadline=None)
@given(ENDS, ENDS)
def test_a_training_that_is_deleted_in_the_midst_leaves_no_files_of_versions_that_are_gone(
    before: list[tuple[int | None, bool, bool]], after: list[tuple[int | None, bool, bool]]
) -> None:
    world = World()
    interrupted(world, before)
    world.delete_training()
    interrupted(world, after)
    world.settle()
    assert not world.there
    assert world.folders == {retire.folder(each) for each in world.versions.values()}


def test_a_training_that_is_deleted_keeps_the_versions_that_it_had_only_chosen() -> None:
    world = World()
    world.step()
    assert world.training.metadata.finalizers == (FINALIZER_FILES,)
    world.delete_training()
    world.settle()
    assert (world.there, len(world.versions), len(world.folders)) == (False, 6, 6)


@pytest.mark.parametrize(("ends", "hours", "breaks"), [(True, 0, False), (False, 1, False), (False, 0, True)])
def test_a_training_that_is_deleted_waits_for_nothing_that_may_never_come(ends: bool, hours: int, breaks: bool) -> None:
    """Its namespace goes too, a ModelDeployment has picked the version, the store refuses."""
    world = World(breaks=breaks)
    world.step()
    world.step()
    world.deployments += [] if breaks else [a_deployment("heart-v1")]
    world.delete_training()
    world.ends, world.hours = ends, hours
    world.settle()
    assert not world.there
    assert "FilesKept" in world.said


def test_another_trainings_versions_are_not_its_to_retire() -> None:
    older = a_training("first", "uid-0", created=NOW - timedelta(days=1))
    world = World(others=[older])
    world.settle()
    assert len(world.versions) == 6
    world.others = [
        older.model_copy(update={"metadata": older.metadata.model_copy(update={"deletion_timestamp": NOW})})
    ]
    world.settle()
    assert len(world.versions) == 2


def test_files_that_cannot_be_deleted_hold_up_no_other_version() -> None:
    world = World(breaks=True)
    world.settle()
    world.breaks = False
    for number in (7, 8):
        world.versions[f"heart-v{number}"] = a_version(number)
        world.folders.add(f"{ROOT}/cardio/heart/{number}")
    world.settle()
    assert set(world.versions) == {"heart-v7", "heart-v8"}
    assert f"{ROOT}/cardio/heart/5" not in world.folders


def test_a_version_that_may_not_be_deleted_keeps_no_run_from_its_start() -> None:
    """Its deletion is apart: the API server's refusal leaves the rest of the plan as it is."""
    world = World(refuses=True)
    world.step()
    steps = world.step().steps
    assert [(each.name, each.apart) for each in steps if isinstance(each, Delete)] == [
        (f"heart-v{number}", "retire") for number in (1, 2, 3, 4)
    ]


def test_nothing_goes_without_a_retention_or_while_a_run_is_under_way() -> None:
    world = World(training=a_training())
    assert (world.step().steps, world.training.status.retired) == ([], [])
    status = TrainingStatus.model_validate({"runs": [RUNNING]})
    world = World(training=a_training(retention={"versions": 2}, status=status))
    assert (world.step().steps, world.training.status.retired) == ([], [])


def test_a_version_that_is_being_reproduced_waits_for_that() -> None:
    world = World()
    world.step()
    retired = world.training.status
    run = Run.model_validate({**RUNNING, "reproduces": "heart-v1"})
    world.training = world.training.model_copy(update={"status": retired.model_copy(update={"runs": [run]})})
    world.settle()
    assert set(world.versions) == {"heart-v1", "heart-v5", "heart-v6"}
    ended = world.training.status.model_copy(update={"runs": []})
    world.training = world.training.model_copy(update={"status": ended})
    world.settle()
    assert set(world.versions) == {"heart-v5", "heart-v6"}


def test_what_is_picked_meanwhile_stays() -> None:
    world = World()
    world.step()
    assert [each.version for each in world.training.status.retired][:2] == ["heart-v1", "heart-v2"]
    world.deployments.append(a_deployment("heart-v1"))
    world.settle()
    assert set(world.versions) == {"heart-v1", "heart-v5", "heart-v6"}


@pytest.mark.parametrize("chosen", [False, True])
def test_what_a_monitor_compares_with_stays(chosen: bool) -> None:
    world = World(pinned=frozenset() if chosen else frozenset({"heart-v2"}))
    world.step()
    world.pinned = frozenset({"heart-v2"})
    world.settle()
    assert set(world.versions) == {"heart-v2", "heart-v5", "heart-v6"}


def test_files_of_a_version_that_a_deployment_picked_in_the_last_moment_wait() -> None:
    world = World()
    world.step()
    world.step()
    assert "heart-v1" not in world.versions
    world.deployments.append(a_deployment("heart-v1"))
    world.settle()
    assert f"{ROOT}/cardio/heart/1" in world.folders
    world.deployments.clear()
    world.settle()
    assert f"{ROOT}/cardio/heart/1" not in world.folders


def test_files_that_cannot_be_deleted_are_told_once_and_tried_again_an_hour_later() -> None:
    world = World(breaks=True)
    world.settle()
    [found] = world.training.status.conditions
    assert (found.type, found.status, found.reason) == ("FilesRemoved", "False", "RemovalFailed")
    assert (
        "the files of heart-v1 at s3://artifacts/cardio/heart/1 could not be deleted; see kubectl logs" in found.message
    )
    assert world.said.count("RemovalFailed") == 4
    world.breaks = False
    world.settle()
    assert len(world.folders) == 6, "the failed Jobs are still there"
    world.hours = 1
    world.settle()
    assert (len(world.folders), world.training.status.conditions) == (2, [])


@pytest.mark.parametrize(
    "uri",
    [f"{ROOT}/other/heart/1/result.json", f"{ROOT}/cardio/heart/2/result.json", "result.json",
     f"{ROOT}/cardio/../cardio/heart/1/result.json"],
)  # fmt: skip
def test_files_elsewhere_than_in_the_runs_own_folder_are_never_touched(uri: str) -> None:
    version = SIX[0]
    record = version.spec.record.model_copy(
        update={"result": version.spec.record.result.model_copy(update={"uri": uri})}
    )
    forged = version.model_copy(update={"spec": version.spec.model_copy(update={"record": record})})
    assert retire.folder(forged) == ""
    assert retire.folder(version) == f"{ROOT}/cardio/heart/1"
