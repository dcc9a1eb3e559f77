"""A model's training on a real API server: from the manifest to the version."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from perennial.adapters.kubernetes import ApiError
from perennial.contracts.names import FILE_RESULT, STORE_READ_SECRET
from perennial.contracts.objects import sha256
from perennial.contracts.progress import Progress
from perennial.contracts.request import Artifact, RunRequest
from perennial.contracts.result import FILE_REQUEST, ChampionMetrics, Reproduction, RunOutcome
from tests.api.world import Nature, Scenario, World, deployment_controller, job_controller
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
    return job_controller(lambda job: told if is_poll(job) else run)


def is_poll(job: Json) -> bool:
    """Whether the Job looks at the data."""
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
    assert len(await world.all("Job", "batch/v1")) == len(await requests(world)) == 3
    assert len(await world.all("ModelVersion")) == 4
    await world.delete("ModelTraining", "heart")
    await world.settle()
    assert len(await world.all("ModelVersion")) == 4


async def requests(world: World) -> list[Json]:
    """The ConfigMaps with what runs are asked."""
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
