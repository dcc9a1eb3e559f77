"""A model in service, on a real API server: from the first pod to the way back, ended after every single write."""

import copy
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from perennial.adapters.prometheus import Series
from perennial.contracts.names import LABEL_DEPLOYMENT, LABEL_REVISION, LABEL_VERSION, quarantine_annotation
from tests.api.world import Scenario, World, deployment_controller

Json = dict[str, Any]
Survives = Callable[[Scenario], Awaitable[None]]

DEPLOYMENT: Json = {
    "kind": "ModelDeployment",
    "metadata": {"name": "heart"},
    "spec": {
        "model": "heart",
        "version": {"latest": "Approved"},
        "predictor": {"replicas": 2, "resources": {"cpu": "0.1", "memory": "256Mi"}},
        "rollout": {
            "steps": [{"weight": 33, "hold": "60s"}],
            "analysis": {
                "interval": "30s",
                "metrics": [
                    {"name": "errors", "builtin": "ErrorRate", "max": 0.01},
                    {"name": "latency", "builtin": "LatencyP99", "max": "50ms"},
                ],
            },
        },
        "standby": {"keep": "10m"},
    },
}
MONITOR: Json = {
    "kind": "DriftMonitor",
    "metadata": {"name": "watch"},
    "spec": {"deployment": "heart", "policy": {"onPerformanceLoss": "Rollback"}},
}


def version(number: int, approval: str = "Approved") -> Json:
    """A version as the operator registers it."""
    digest = f"{number:064x}"
    files = ("model.onnx", "signature.json", "baseline.json", "report.html")
    artifacts = {
        name: {"uri": f"file:///artifacts/heart/{number}/{name}", "sha256": digest, "size": 1} for name in files
    }
    return {
        "kind": "ModelVersion",
        "metadata": {"name": f"heart-v{number}"},
        "spec": {
            "approval": approval,
            "record": {
                "model": "heart", "number": number, "training": "heart", "run": number, "runUid": "a",
                "trigger": {"type": "Spec"}, "created": "2026-01-01T00:00:00Z", "algorithm": "LogisticRegression",
                "parameters": {}, "seed": 7, "score": {"metric": "roc_auc", "value": 0.9, "text": "roc_auc 0.900"},
                "metrics": {"roc_auc": 0.9},
                "data": {"source": "s3://data", "sha256": digest, "rows": 9, "testRows": 2, "columns": ["age"]},
                "split": {"test": 0.25, "seed": 7}, "artifacts": artifacts,
                "result": {"uri": "s3://r", "sha256": digest},
            },
        },
    }  # fmt: skip


def measures(errors: float = 0.0, latency: float = 0.004) -> Callable[[str], list[Series]]:
    """A Prometheus to which v1 had 600 requests and v2 300, with this share of errors and all in this time (s)."""
    codes = {
        ("heart-v1", "200"): 600.0,
        ("heart-v2", "200"): 300.0 * (1 - errors),
        ("heart-v2", "500"): 300.0 * errors,
    }
    buckets = {latency * 0.9999: 0.0, latency: 300.0, float("inf"): 300.0}

    def answer(expression: str) -> list[Series]:
        assert 'deployment="' in expression
        assert '/heart"' in expression
        if "perennial_requests_total" in expression:
            return [Series({"version": name, "code": code}, ((0.0, value),)) for (name, code), value in codes.items()]
        if "perennial_request_duration_seconds_bucket" in expression:
            return [Series({"le": str(limit)}, ((0.0, count),)) for limit, count in buckets.items()]
        return []

    return answer


async def service(world: World) -> Json:
    """The Service's selector."""
    found: Json = (await world.read("Service", "heart", "v1"))["spec"]["selector"]
    return found


async def running(world: World) -> dict[str, int]:
    """Pods that are wanted, by version."""
    found = await world.all("Deployment", "apps/v1")
    return {each["metadata"]["labels"][LABEL_VERSION]: each["spec"]["replicas"] for each in found}


async def selected(world: World) -> set[str]:
    """The versions of the pods that the Service selects."""
    selector = await service(world)
    pods = await world.all("Pod", "v1")
    return {
        each["metadata"]["labels"][LABEL_VERSION]
        for each in pods
        if selector.items() <= each["metadata"]["labels"].items()
    }


async def status(world: World) -> Json:
    """The ModelDeployment's."""
    found: Json = (await world.read("ModelDeployment", "heart"))["status"]
    return found


async def pass_time(world: World, seconds: float, tick: float = 30) -> None:
    """Time passes, the operator looks."""
    for _ in range(int(seconds / tick)):
        world.advance(tick)
        await world.settle()


async def first(world: World) -> None:
    """v1 serves."""
    world.natures.append(deployment_controller)
    world.prometheus.answer = measures()
    await world.apply(version(1))
    await world.apply(DEPLOYMENT)
    await world.settle()


async def canary(world: World) -> None:
    """v1 serves, v2 is in its first step."""
    await first(world)
    await world.apply(version(2))
    await world.settle()


async def promoted(world: World) -> None:
    """v2 serves, v1 stands by."""
    await canary(world)
    await pass_time(world, 60)
    assert (await status(world))["stable"]["version"] == "heart-v2"


async def ask_rollback(world: World, version_: str) -> None:
    """The monitor asks for a rollback."""
    monitor = await world.apply(MONITOR)
    action = {
        "id": "watch-1", "kind": "Rollback", "version": version_, "reason": "accuracy 0.61, held out 0.85",
        "since": world.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }  # fmt: skip
    await world.user.put_status(monitor, {"actions": [action]})


# --- what a person sees -------------------------------------------------------------------------------------------


async def test_the_first_version_comes_up_with_all_that_it_needs(world: World) -> None:
    await first(world)
    (deployment,) = await world.all("Deployment", "apps/v1")
    assert deployment["metadata"]["ownerReferences"][0]["kind"] == "ModelDeployment"
    pod = deployment["spec"]["template"]["spec"]
    (fetch,), (predictor,) = pod["initContainers"], pod["containers"]
    assert fetch["envFrom"] == [{"secretRef": {"name": "perennial-store-read"}}]
    assert "envFrom" not in predictor, "the predictor holds no credentials"
    environment = {each["name"]: each["value"] for each in predictor["env"]}
    assert environment["PERENNIAL_DEPLOYMENT"] == f"{world.namespace}/heart"
    assert "report.html" not in environment["PERENNIAL_ARTIFACTS"]
    assert predictor["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False
    revision = deployment["metadata"]["labels"][LABEL_REVISION]
    assert await service(world) == {LABEL_DEPLOYMENT: "heart", LABEL_REVISION: revision}
    key = await world.read("Secret", "heart-feedback", "v1")
    assert len(key["data"]["current"]) > 40
    found = await status(world)
    assert (found["phase"], found["readyReplicas"]) == ("Healthy", 2)
    assert (await world.condition("ModelDeployment", "heart"))["reason"] == "Serving"
    reasons = {reason for reason, _ in await world.events()}
    assert {"RolloutStarted", "Promoted"} <= reasons


async def test_predictor_pods_meet_restricted_pod_security(world: World) -> None:
    await first(world)
    (deployment,) = await world.all("Deployment", "apps/v1")
    namespace = f"{world.namespace}-restricted"
    world.server.kubectl("create", "namespace", namespace)
    world.server.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    template = deployment["spec"]["template"]
    metadata = {**template["metadata"], "name": "predictor", "namespace": namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    assert await world.user.create(pod)


async def test_applying_the_same_manifest_again_writes_nothing(world: World) -> None:
    await first(world)
    writes = len(world.operator.writes)
    before = await world.read("ModelDeployment", "heart")
    await world.apply(DEPLOYMENT)
    await world.settle()
    await pass_time(world, 120)
    assert len(world.operator.writes) == writes
    assert await world.read("ModelDeployment", "heart") == before


async def test_scaling_goes_in_place(world: World) -> None:
    await first(world)
    world.server.kubectl("-n", world.namespace, "scale", "md/heart", "--replicas=3")
    await world.settle()
    assert await running(world) == {"heart-v1": 3}
    assert (await status(world))["replicas"] == 3


async def test_what_somebody_changes_by_hand_is_put_right(world: World) -> None:
    await first(world)
    (deployment,) = await world.all("Deployment", "apps/v1")
    changed = copy.deepcopy(deployment)
    changed["spec"]["replicas"] = 7
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "localhost/other:1"
    await world.user.replace(changed)
    await world.delete("Service", "heart", "v1")
    await world.settle()
    (repaired,) = await world.all("Deployment", "apps/v1")
    assert repaired["spec"] == deployment["spec"]
    assert await selected(world) == {"heart-v1"}


async def test_a_canary_shares_the_traffic_and_takes_over(world: World) -> None:
    await canary(world)
    assert await running(world) == {"heart-v1": 2, "heart-v2": 1}
    assert await selected(world) == {"heart-v1", "heart-v2"}
    assert world.requeue == 30
    found = await status(world)
    assert found["traffic"] == {"wantedWeight": 33, "realWeight": 33.3, "mirrorShare": 0}

    await pass_time(world, 30)
    assert (await status(world))["traffic"]["requestShare"] == 33.3
    assert [each["result"] for each in (await status(world))["rollout"]["measurements"]] == ["Pass", "Pass"]

    await pass_time(world, 30)
    assert await selected(world) == {"heart-v2"}
    assert await running(world) == {"heart-v1": 2, "heart-v2": 2}
    assert (await status(world))["standby"]["revision"]["version"] == "heart-v1"

    await pass_time(world, 600, tick=300)
    assert await running(world) == {"heart-v2": 2}
    assert [each["version"] for each in (await status(world))["history"]] == ["heart-v2", "heart-v1"]


@pytest.mark.parametrize(
    ("errors", "latency", "words"),
    [(0.2, 0.004, "errors was 0.2, limit 0.01"), (0.0, 0.2, "latency was 0.2, limit 0.05")],
)
async def test_a_failed_canary_goes_back_to_stable(world: World, errors: float, latency: float, words: str) -> None:
    await canary(world)
    world.prometheus.answer = measures(errors, latency)
    await pass_time(world, 60)
    assert await selected(world) == {"heart-v1"}
    assert await running(world) == {"heart-v1": 2}
    degraded = await world.condition("ModelDeployment", "heart", "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "RolloutFailed")
    assert words in degraded["message"]
    annotations = (await world.read("ModelVersion", "heart-v2"))["metadata"]["annotations"]
    assert words in annotations[quarantine_annotation("heart")]


async def test_while_prometheus_is_away_nothing_is_promoted_and_nothing_rolled_back(world: World) -> None:
    await canary(world)
    world.prometheus.answer = None
    await pass_time(world, 600, tick=60)
    found = await status(world)
    assert (found["phase"], found["rollout"]["step"]) == ("Paused", 0)
    progressing = await world.condition("ModelDeployment", "heart", "Progressing")
    assert (progressing["status"], progressing["reason"]) == ("False", "PrometheusUnavailable")
    assert await selected(world) == {"heart-v1", "heart-v2"}


async def test_a_rollback_moves_the_traffic_and_the_manifest_does_not_bring_it_back(world: World) -> None:
    await promoted(world)
    spec = (await world.read("ModelDeployment", "heart"))["spec"]
    await ask_rollback(world, "heart-v2")
    await world.settle()
    assert await selected(world) == {"heart-v1"}
    assert await running(world) == {"heart-v1": 2}
    found = await status(world)
    assert (found["held"]["version"], found["handledActions"]) == ("heart-v2", ["watch-1"])
    degraded = await world.condition("ModelDeployment", "heart", "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "RolledBack")

    writes = len(world.operator.writes)
    await world.apply(DEPLOYMENT)
    await world.settle()
    after = await world.read("ModelDeployment", "heart")
    assert after["spec"] == spec
    assert len(world.operator.writes) == writes
    assert await selected(world) == {"heart-v1"}


async def test_a_person_releases_what_was_rolled_back(world: World) -> None:
    await promoted(world)
    await ask_rollback(world, "heart-v2")
    await world.settle()
    world.advance(5)
    await world.annotate("ModelDeployment", "heart", {"perennial.dev/request": "release/heart-v2/1"})
    await world.settle()
    assert (await status(world))["rollout"]["target"]["version"] == "heart-v2"


async def test_a_model_whose_digest_does_not_match_does_not_serve_and_says_so(world: World) -> None:
    await world.apply(version(1))
    await world.apply(DEPLOYMENT)
    await world.settle()
    (deployment,) = await world.all("Deployment", "apps/v1")
    template = deployment["spec"]["template"]
    metadata = {"name": "heart-1", "namespace": world.namespace, "labels": template["metadata"]["labels"]}
    await world.user.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
    pod = await world.read("Pod", "heart-1", "v1")
    moment = world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    message = "model.onnx: what is at file:///artifacts/heart/1/model.onnx is not what was recorded: SHA-256 is ab"
    ended = {"exitCode": 1, "reason": "Error", "message": message, "startedAt": moment, "finishedAt": moment}
    told = {
        "name": "fetch", "image": "i", "imageID": "i", "ready": False, "restartCount": 1,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}, "lastState": {"terminated": ended},
    }  # fmt: skip
    await world.user.put_status(pod, {"phase": "Pending", "initContainerStatuses": [told]})
    await world.settle()
    ready = await world.condition("ModelDeployment", "heart")
    assert (ready["status"], ready["reason"]) == ("False", "ArtifactDigestMismatch")
    assert "model.onnx" in ready["message"]
    assert "stable" not in await status(world)


@pytest.mark.parametrize(
    ("choice", "reason", "words"),
    [
        ({"latest": "Approved"}, "NoVersion", "model heart has no approved version; see kubectl get mv"),
        ({"name": "heart-v9"}, "VersionNotFound", "model heart has no version heart-v9"),
        ({"name": "heart-v1"}, "VersionNotApproved", "heart-v1 is Pending; approve it"),
    ],
)
async def test_a_version_that_is_missing_is_said(world: World, choice: Json, reason: str, words: str) -> None:
    await world.apply(version(1, "Pending"))
    made = copy.deepcopy(DEPLOYMENT)
    made["spec"]["version"] = choice
    await world.apply(made)
    await world.settle()
    ready = await world.condition("ModelDeployment", "heart")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert words in ready["message"]
    assert not await world.all("Deployment", "apps/v1")


# --- the operator's process ends after any write -------------------------------------------------------------------


def from_there(prepare: Scenario, then: Scenario) -> Scenario:
    """``then``, whose writes alone are counted; what was before is another test's."""

    async def scenario(world: World) -> None:
        end_after, world.operator.end_after = world.operator.end_after, 0
        await prepare(world)
        world.operator.writes.clear()
        world.operator.end_after = end_after
        await then(world)

    return scenario


async def test_the_first_version_survives_every_write(assert_survives_every_write: Survives) -> None:
    await assert_survives_every_write(first)


async def test_promotion_survives_every_write(assert_survives_every_write: Survives) -> None:
    async def scenario(world: World) -> None:
        await world.apply(version(2))
        await world.settle()
        await pass_time(world, 60)
        await pass_time(world, 600, tick=600)

    await assert_survives_every_write(from_there(first, scenario))


async def test_a_failed_canary_survives_every_write(assert_survives_every_write: Survives) -> None:
    async def scenario(world: World) -> None:
        world.prometheus.answer = measures(errors=0.2)
        await pass_time(world, 60)

    await assert_survives_every_write(from_there(canary, scenario))


async def test_a_warm_rollback_survives_every_write(assert_survives_every_write: Survives) -> None:
    async def scenario(world: World) -> None:
        await ask_rollback(world, "heart-v2")
        await world.settle()

    await assert_survives_every_write(from_there(promoted, scenario))


async def test_a_cold_rollback_survives_every_write(assert_survives_every_write: Survives) -> None:
    async def long_promoted(world: World) -> None:
        await promoted(world)
        await pass_time(world, 600, tick=600)

    async def scenario(world: World) -> None:
        await ask_rollback(world, "heart-v2")
        await world.settle()

    await assert_survives_every_write(from_there(long_promoted, scenario))
