"""A model's training on a real API server: from the manifest to the version, ended after every single write."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from perennial.adapters.kubernetes import ApiError
from perennial.api.run import Run
from perennial.api.training import ModelTraining
from perennial.contracts.names import FILE_RESULT, STORE_READ_SECRET
from perennial.contracts.objects import sha256
from perennial.contracts.progress import Progress
from perennial.contracts.request import Artifact, RunRequest
from perennial.contracts.result import FILE_REQUEST, ChampionMetrics, Reproduction, RunOutcome
from perennial.domain.training.request import started
from tests.api.world import EPOCH, Nature, Scenario, World, deployment_controller, job_controller
from tests.unit.training.support import result, spec

Json = dict[str, Any]
Survives = Callable[[Scenario], Awaitable[None]]

TRAINING: Json = {"kind": "ModelTraining", "metadata": {"name": "heart"}, "spec": spec()}
REJECTED = RunOutcome(
    succeeded=False, component="check", reason="DataRejected", message="column num is not in the data: age, sex"
)
AWAY = RunOutcome(succeeded=False, component="ingest", reason="StoreUnavailable", message="connection refused")


def _reproduction(request: RunRequest) -> Reproduction | None:
    """A replay gives the same file again."""
    replay = request.replay
    return replay and Reproduction(replay.version, replay.model_sha256, replay.model_sha256, identical=True)


class Saw(msgspec.Struct):
    """What a poll leaves, with what the job controller of these tests wants to know of it."""

    sha256: str
    rows: int = 303

    @property
    def succeeded(self) -> bool:
        """It did."""
        return True


def changed(**spec_changes: Any) -> Json:
    """The training with another spec."""
    return {**TRAINING, "spec": spec(**spec_changes)}


async def requested(world: World, job: Json) -> RunRequest:
    """What the run of ``job`` was asked to do."""
    config_map = await world.read("ConfigMap", job["metadata"]["name"], "v1")
    return msgspec.json.decode(config_map["data"]["request.json"], type=RunRequest)


def runs(score: float = 0.9, failing: RunOutcome | None = None) -> Nature:
    """Runs that end at once: with a result of this score in the store, or as ``failing`` says."""

    async def act(world: World) -> None:
        jobs = {job["metadata"]["name"]: job for job in await world.all("Job", "batch/v1")}
        outcomes: dict[str, RunOutcome] = {}
        for name, job in jobs.items():
            request = await requested(world, job)
            champion = request.champion and ChampionMetrics(request.champion.version, {"roc_auc": 0.85}, 76)
            made = result(request.output, champion=champion, roc_auc=score)
            asked = msgspec.json.encode(request)
            kept = {FILE_REQUEST: Artifact(f"{request.output}/{FILE_REQUEST}", sha256(asked), len(asked))}
            content = msgspec.json.encode(
                msgspec.structs.replace(made, artifacts=made.artifacts | kept, reproduction=_reproduction(request))
            )
            path = f"{request.output}/{FILE_RESULT}"
            if failing is None:
                folder = request.output.removeprefix(f"file://{world.folder}/")
                world.put(f"{folder}/{FILE_RESULT}", content)
                world.put(f"{folder}/{FILE_REQUEST}", asked)
            outcomes[name] = failing or RunOutcome(True, Artifact(path, sha256(content), len(content)))
        await job_controller(lambda job: outcomes[job["metadata"]["name"]])(world)

    return act


def polls(sha256: str, run: RunOutcome | None = None) -> Nature:
    """Polls that see these data at once; runs that end as ``run`` says, or go on."""
    told: Any = Saw(sha256)
    return job_controller(lambda job: told if _is_poll(job) else run)


def _is_poll(job: Json) -> bool:
    return bool(job["metadata"]["labels"]["app.kubernetes.io/name"] == "poll")


async def trained(world: World) -> None:
    """The first version."""
    world.natures = [runs()]
    await world.apply(TRAINING)
    await world.settle()


async def status(world: World, name: str = "heart") -> Json:
    """The training's status."""
    found: Json = (await world.read("ModelTraining", name))["status"]
    return found


async def ready(world: World, name: str = "heart") -> tuple[str, str, str]:
    """(status, reason, message) of its condition Ready."""
    found = await world.condition("ModelTraining", name)
    return found["status"], found["reason"], found["message"]


async def test_from_the_manifest_to_an_approved_version(world: World) -> None:
    await trained(world)
    assert await ready(world) == ("True", "Registered", "heart-v1 is registered: roc_auc 0.900")
    found = await status(world)
    assert (found["phase"], found["latestVersion"], found["latestScore"]) == ("Succeeded", "heart-v1", "roc_auc 0.900")
    version = await world.read("ModelVersion", "heart-v1")
    assert version["spec"]["approval"] == "Approved"
    assert version["spec"]["record"]["gates"][0]["passed"] is True
    assert version["status"]["state"] == "Idle"
    assert "ownerReferences" not in version["metadata"], "pruning a training must not take what is being served"
    assert {"RunStarted", "VersionRegistered"} <= {reason for reason, _ in await world.events()}
    writes = len(world.operator.writes)
    await world.settle()
    assert len(world.operator.writes) == writes


async def test_the_runs_pod_meets_restricted_pod_security(world: World) -> None:
    world.server.kubectl("label", "namespace", world.namespace, "pod-security.kubernetes.io/enforce=restricted")
    await trained(world)
    assert len(await world.all("Pod", "v1")) == 1


async def test_a_failed_run_says_which_component_and_its_own_words(world: World) -> None:
    world.natures = [runs(failing=REJECTED)]
    await world.apply(TRAINING)
    await world.settle()
    truth, reason, message = await ready(world)
    assert (truth, reason) == ("False", "DataRejected")
    assert message == "run 1: check failed: column num is not in the data: age, sex"
    assert len(await world.all("Job", "batch/v1")) == 1, "it is not tried again by itself"
    assert await world.all("ModelVersion") == []

    world.natures = [runs()]
    await world.apply(changed(tuning={"trials": 3}))
    await world.settle()
    assert (await ready(world))[:2] == ("True", "Registered")


async def test_a_second_training_for_the_same_model_is_refused(world: World) -> None:
    await trained(world)
    await world.apply({**TRAINING, "metadata": {"name": "zweite"}})
    await world.settle()
    truth, reason, message = await ready(world, "zweite")
    assert (truth, reason) == ("False", "ModelNameTaken")
    assert "ModelTraining heart" in message
    assert len(await world.all("ModelVersion")) == 1
    await world.delete("ModelTraining", "heart")
    await world.settle()
    assert (await ready(world, "zweite"))[:2] == ("True", "Registered")
    assert (await status(world, "zweite"))["latestVersion"] == "heart-v2"


async def test_a_run_does_not_start_without_the_stores_secret(world: World) -> None:
    secret = await world.read("Secret", STORE_READ_SECRET, "v1")
    await world.delete("Secret", STORE_READ_SECRET, "v1")
    await trained(world)
    truth, reason, message = await ready(world)
    assert (truth, reason) == ("False", "StoreSecretMissing")
    assert f"in namespace {world.namespace}" in message
    assert await world.all("Job", "batch/v1") == []
    assert world.requeue is not None
    kept = {"name": STORE_READ_SECRET, "namespace": world.namespace}
    await world.user.create({"apiVersion": "v1", "kind": "Secret", "metadata": kept, "data": secret["data"]})
    await world.settle()
    assert (await ready(world))[:2] == ("True", "Registered")


async def test_a_result_with_another_digest_is_not_believed(world: World) -> None:
    async def tampered(world: World) -> None:
        await runs()(world)
        for path in world.folder.rglob(FILE_RESULT):
            path.write_bytes(path.read_bytes() + b" ")

    world.natures = [tampered]
    await world.apply(TRAINING)
    await world.settle()
    assert (await ready(world))[:2] == ("False", "ResultMismatch")
    assert await world.all("ModelVersion") == []


async def test_a_store_that_is_away_when_the_result_is_due_is_waited_for(world: World) -> None:
    moved = world.folder.with_name("away")

    async def away(world: World) -> None:
        if not moved.exists():
            await runs()(world)
            if any(world.folder.rglob(FILE_RESULT)):
                world.folder.rename(moved)
                world.folder.write_text("no folder")

    world.natures = [away]
    await world.apply(TRAINING)
    await world.settle()
    assert (await ready(world))[:2] == ("False", "StoreUnavailable")
    assert (await status(world))["runs"][0]["phase"] == "Running"
    world.natures = []
    world.folder.unlink()
    moved.rename(world.folder)
    await world.settle()
    assert (await ready(world))[:2] == ("True", "Registered")


async def test_the_champion_on_duty_is_met_and_kept_when_it_is_better(world: World) -> None:
    await trained(world)
    deployment = {"kind": "ModelDeployment", "metadata": {"name": "heart"}, "spec": {"model": "heart"}}
    await serving(world, deployment, "heart-v1")
    world.natures = [runs(0.82)]
    await world.apply(changed(evaluation={"gates": [], "champion": {"metric": "roc_auc", "minImprovement": 0}}))
    await world.settle()
    truth, reason, message = await ready(world)
    assert (truth, reason) == ("False", "ChampionKept")
    assert "roc_auc 0.820 against heart-v1's 0.850 on the same 76 rows" in message
    assert (await world.read("ModelVersion", "heart-v2"))["spec"]["approval"] == "Rejected"


async def serving(world: World, deployment: Json, version: str) -> None:
    """A ModelDeployment that has promoted ``version``."""
    natures, world.natures = world.natures, [deployment_controller]
    await world.apply(deployment)
    await world.settle()
    assert (await world.read("ModelDeployment", "heart"))["status"]["stable"]["version"] == version
    world.natures = natures


async def test_a_request_by_annotation_runs_once(world: World) -> None:
    await trained(world)
    for _ in range(2):
        await world.annotate("ModelTraining", "heart", {"perennial.dev/request": "train/heart/u1"})
        await world.settle()
    found = await status(world)
    assert (found["runCounter"], found["handledRequest"], found["latestVersion"]) == (2, "u1", "heart-v2")
    assert found["runs"][0]["trigger"] == {"type": "Request", "id": "u1", "by": ""}


async def test_old_jobs_go_and_versions_stay(world: World) -> None:
    await trained(world)
    for number in range(3):
        await world.annotate("ModelTraining", "heart", {"perennial.dev/request": f"train/heart/u{number}"})
        await world.settle()
    assert len(await world.all("Job", "batch/v1")) == len(await _requests(world)) == 3
    assert len(await world.all("ModelVersion")) == 4
    await world.delete("ModelTraining", "heart")
    await world.settle()
    assert len(await world.all("ModelVersion")) == 4


async def _requests(world: World) -> list[Json]:
    return [each for each in await world.all("ConfigMap", "v1") if "request.json" in each.get("data", {})]


async def asked_by_drift(world: World) -> None:
    """v1 serves, a monitor has asked for a retrain of it, and v2 came of that."""
    await trained(world)
    await world.apply({"kind": "ModelDeployment", "metadata": {"name": "heart"}, "spec": {"model": "heart"}})
    monitor = await world.apply({
        "kind": "DriftMonitor", "metadata": {"name": "watch"},
        "spec": {"deployment": "heart", "training": "heart", "policy": {"onInputDrift": "Retrain"}},
    })  # fmt: skip
    deployment = await world.read("ModelDeployment", "heart")
    moment = "2030-01-07T12:00:00Z"
    stable = {"version": "heart-v1", "revision": "r", "image": "i", "since": moment}
    action = {
        "id": "a1",
        "kind": "Retrain",
        "version": "heart-v1",
        "digest": "",
        "since": moment,
        "reason": "age drifts",
    }
    await world.user.put_status(deployment, {"stable": stable})
    await world.user.put_status(monitor, {"actions": [action]})
    for _ in range(8):  # the training alone: deployments and monitors have tests of their own
        await world.reconcile("ModelTraining", "heart")
        await runs()(world)


async def test_a_monitors_action_is_answered_by_one_run(world: World) -> None:
    await asked_by_drift(world)
    found = await status(world)
    assert (found["runCounter"], found["handledActions"]) == (2, ["a1"])
    version = await world.read("ModelVersion", "heart-v2")
    assert version["spec"]["record"]["trigger"] == {"type": "Drift", "id": "a1", "by": "DriftMonitor/watch"}


@pytest.mark.parametrize("nature", [runs(), runs(0.5), runs(failing=REJECTED)], ids=["good", "gate", "failed"])
async def test_a_run_survives_every_write(assert_survives_every_write: Survives, nature: Nature) -> None:
    async def scenario(world: World) -> None:
        world.natures = [nature]
        await world.apply(TRAINING)
        await world.settle()

    await assert_survives_every_write(scenario)


async def test_changed_data_survive_every_write(assert_survives_every_write: Survives) -> None:
    async def scenario(world: World) -> None:
        world.natures = [polls("d" * 64, REJECTED)]
        await world.apply(changed(data={**spec()["data"], "poll": "1h"}))
        await world.settle()
        assert (await status(world))["runCounter"] == 1
        world.natures = [polls("e" * 64)]
        world.advance(3600)
        await world.settle()
        found = await status(world)
        assert [run["trigger"]["type"] for run in found["runs"]] == ["Data", "Spec"]
        assert found["runs"][0]["trigger"]["id"] == "e" * 64
        assert {_is_poll(job) for job in await world.all("Job", "batch/v1")} == {False}

    await assert_survives_every_write(scenario)


async def test_a_second_attempt_and_its_cancellation_survive_every_write(
    assert_survives_every_write: Survives,
) -> None:
    async def scenario(world: World) -> None:
        world.natures = [runs(failing=AWAY)]
        await world.apply(TRAINING)
        await world.settle()
        assert (await status(world))["phase"] == "Retrying"
        world.natures = []
        world.advance(30)
        await world.settle()
        assert len(await world.all("Job", "batch/v1")) == 2
        await world.annotate("ModelTraining", "heart", {"perennial.dev/request": "cancel/heart/u1"})
        await world.settle()
        (run,) = (await status(world))["runs"]
        assert (run["phase"], run["attempt"], run["outcome"]) == ("Cancelled", 2, "Cancelled")
        assert await world.all("Job", "batch/v1") == await _requests(world) == []

    await assert_survives_every_write(scenario)


async def test_the_clock_starts_a_run_and_says_when_the_next_one_is(world: World) -> None:
    world.natures = [runs()]
    await world.apply(changed(schedule={"cron": "30 * * * *", "timeZone": "Europe/Berlin"}))
    await world.settle()
    assert (await status(world))["runCounter"] == 1
    assert world.requeue == 1800
    world.advance(1800)
    await world.settle()
    found = await status(world)
    assert (found["runs"][0]["trigger"]["type"], found["latestVersion"]) == ("Schedule", "heart-v2")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"schedule": {"cron": "every night"}}, "spec.schedule.cron"),
        ({"schedule": {"cron": "@daily", "timeZone": "../etc"}}, "spec.schedule.timeZone"),
        ({"data": {**spec()["data"], "poll": "59s"}}, "spec.data.poll"),
        ({"retry": {"limit": 99}}, "spec.retry.limit"),
        ({"concurrencyPolicy": "Allow"}, "spec.concurrencyPolicy"),
    ],
)
async def test_when_a_run_may_start_is_checked_at_admission(world: World, wrong: Json, field: str) -> None:
    with pytest.raises(ApiError, match=re.escape(field)):
        await world.apply(changed(**wrong))


async def test_how_far_a_run_is_shows_in_kubectl_get(world: World) -> None:
    await world.apply(TRAINING)
    await world.settle()
    told = Progress("tune", 4, 9, 0.0, trial=7, trials=20, metric="roc_auc", best=0.9123)
    world.put(f"{world.namespace}/heart/1/progress.json", msgspec.json.encode(told))
    await world.settle()
    world.advance(10)
    await world.settle()
    shown = world.server.kubectl("get", "mt", "heart", "-n", world.namespace).stdout
    assert "tune 4/9: trial 7/20, best roc_auc 0.9123" in shown
    world.put(f"{world.namespace}/heart/1/progress.json", b"{")
    world.advance(10)
    await world.settle()
    assert (await status(world))["phase"] == "Running"


async def test_pruning_survives_every_write(assert_survives_every_write: Survives) -> None:
    async def scenario(world: World) -> None:
        world.put(f"{world.namespace}/heart/3/model.onnx", b"")  # of three runs before this one
        world.natures = [runs()]
        made = await world.apply(TRAINING)
        for number in (1, 2, 3):
            await _old_run(world, made, number)
        await world.settle()
        assert sorted(each["metadata"]["name"] for each in await world.all("Job", "batch/v1"))[1:] == ["old-2", "old-3"]
        assert len(await world.all("Job", "batch/v1")) == len(await _requests(world)) == 3

    await assert_survives_every_write(scenario)


async def _old_run(world: World, training: Json, number: int) -> None:
    """The Job and the ConfigMap of a run that ended long ago."""
    owner = {
        "apiVersion": training["apiVersion"], "kind": training["kind"], "name": "heart", "controller": True,
        "uid": training["metadata"]["uid"],
    }  # fmt: skip
    metadata = {
        "name": f"old-{number}", "namespace": world.namespace, "ownerReferences": [owner],
        "labels": {"perennial.dev/training": "heart", "perennial.dev/run": str(number)},
    }  # fmt: skip
    begun = {"request.json": msgspec.json.encode(a_request(world, number)).decode()}
    await world.user.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": begun})
    pod = {"restartPolicy": "Never", "containers": [{"name": "run", "image": "components:old"}]}
    await world.user.create({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": {"spec": pod}},
    })  # fmt: skip


def a_request(world: World, number: int) -> RunRequest:
    """What the run ``number`` was asked."""
    training = ModelTraining.parse({**TRAINING, "metadata": {"name": "heart", "namespace": world.namespace}})
    run = Run.model_validate({
        "number": number, "trigger": {"type": "Spec"}, "phase": "Running", "job": f"old-{number}", "startedAt": EPOCH,
    })  # fmt: skip
    return started(training, run, f"file://{world.folder}", None).request
