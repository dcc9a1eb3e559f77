"""What the API server refuses, by its own quota and admission policies: it is said, nothing unsafe follows, it ends."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from perennial.domain.refusal import CHILD_REFUSED, NAME_TAKEN
from tests.api.test_deployment import (
    DEPLOYMENT,
    canary,
    first,
    measures,
    pass_time,
    running,
    selected,
    service,
    status,
    version,
)
from tests.api.test_training import TRAINING, runs
from tests.api.world import World, deployment_controller

Json = dict[str, Any]


def limit(world: World, kind: str, used: int, hard: int) -> None:
    """A quota; the controller that counts what is there already does not run here."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {kind: hard}}}
    world.server.kubectl("-n", world.namespace, "apply", "-f", "-", stdin=yaml.safe_dump(quota))
    counted = yaml.safe_dump({"status": {"hard": {kind: str(hard)}, "used": {kind: str(used)}}})
    world.server.kubectl("-n", world.namespace, "patch", "quota", "few", "--subresource=status", "-p", counted)


@contextlib.contextmanager
def policy(world: World, group: str, resources: str, expression: str) -> Iterator[None]:
    """In this block an admission policy takes ``resources`` of this namespace only where ``expression`` holds."""
    name = f"refuses.{world.namespace}"
    rule = {"apiVersions": ["*"], "operations": ["CREATE", "UPDATE"]}
    documents = [
        {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
         "metadata": {"name": name},
         "spec": {
             "matchConstraints": {"resourceRules": [
                 {**rule, "apiGroups": [group], "resources": [resources]},
                 {**rule, "apiGroups": [""], "resources": ["configmaps"]},
             ]},
             "matchConditions": [{"name": "here", "expression": f"request.namespace == '{world.namespace}'"}],
             "validations": [{
                 "expression": f"object.kind == 'ConfigMap' ? object.metadata.name != 'probe' : ({expression})",
                 "message": "the platform says no",
             }],
         }},
        {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
         "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}},
    ]  # fmt: skip
    text = yaml.safe_dump_all(documents)
    world.server.kubectl("apply", "-f", "-", stdin=text)
    _await(world, refuses=True)
    yield
    world.server.kubectl("delete", "-f", "-", stdin=text)
    _await(world, refuses=False)


def _await(world: World, *, refuses: bool) -> None:
    """The API server takes up admission policies a moment after they are written."""
    for _ in range(100):
        answer = world.server.kubectl(
            "-n", world.namespace, "create", "configmap", "probe", "--dry-run=server", check=False
        )
        if (answer.returncode != 0) == refuses:
            return
    raise AssertionError("the API server did not take up the policy")


async def said(world: World, type_: str, kind: str = "ModelDeployment") -> tuple[str, str, str]:
    found = await world.condition(kind, "heart", type_)
    return found["status"], found["reason"], found["message"]


async def counted(world: World, reason: str) -> int:
    return [found for found, _ in await world.events()].count(reason)


# --- pods that cannot be made -------------------------------------------------------------------------------------


async def test_a_rollout_whose_deployment_a_quota_refuses_says_so_and_fails_at_its_deadline(world: World) -> None:
    await first(world)
    limit(world, "count/deployments.apps", used=1, hard=1)
    await world.apply(version(2))
    await world.settle()
    for type_, truth in (("Progressing", "True"), ("Degraded", "True")):
        found = await said(world, type_)
        assert found[:2] == (truth, CHILD_REFUSED)
        assert found[2].startswith("Deployment heart-")
        assert "exceeded quota: few, requested: count/deployments.apps=1" in found[2]
    under_way = (await status(world))["rollout"]
    assert (under_way["target"]["version"], "waitingSince" in under_way) == ("heart-v2", True)

    writes = len(world.operator.writes)
    await pass_time(world, 570)
    assert len(world.operator.writes) == writes, "it is tried again, and nothing new is said"
    assert (await counted(world, CHILD_REFUSED), await counted(world, "RolloutStarted")) == (1, 2)
    await pass_time(world, 60)
    held = (await status(world))["held"]
    assert held["version"] == "heart-v2"
    assert held["reason"].startswith("not ready within 10m: Deployment heart-")
    assert "exceeded quota: few" in held["reason"]
    degraded = await said(world, "Degraded")
    assert degraded[:2] == ("True", CHILD_REFUSED)
    assert "heart-v1 serves in its place" in degraded[2]
    assert await selected(world) == {"heart-v1"}
    assert await running(world) == {"heart-v1": 2}


async def test_a_rollout_goes_on_once_its_deployment_is_taken(world: World) -> None:
    await first(world)
    limit(world, "count/deployments.apps", used=1, hard=1)
    await world.apply(version(2))
    await world.settle()
    world.server.kubectl("-n", world.namespace, "delete", "quota", "few")
    await pass_time(world, 90)
    assert (await status(world))["stable"]["version"] == "heart-v2"
    assert (await said(world, "Degraded"))[:2] == ("False", "AsWanted")
    assert (await status(world))["phase"] == "Healthy"


async def test_a_growth_that_is_refused_ends_at_the_deadline_too(world: World) -> None:
    spec = copy.deepcopy(DEPLOYMENT["spec"])
    spec["rollout"]["steps"] = [{"weight": 33, "hold": "60s"}, {"weight": 50, "hold": "60s"}]
    world.natures.append(deployment_controller)
    await world.apply(version(1))
    await world.apply({**DEPLOYMENT, "spec": spec})
    await world.settle()
    await world.apply(version(2))
    await world.settle()
    with policy(world, "apps", "deployments", "request.operation == 'CREATE' || object.spec.replicas < 2"):
        world.prometheus.answer = measures()
        await pass_time(world, 120)
        found = await said(world, "Progressing")
        assert (found[1], "the platform says no" in found[2]) == (CHILD_REFUSED, True), found
        assert (await status(world))["rollout"]["step"] == 0
        await pass_time(world, 660)
        assert "the platform says no" in (await status(world))["held"]["reason"]
        assert await selected(world) == {"heart-v1"}


async def test_a_first_version_that_is_refused_shows_why_nothing_serves(world: World) -> None:
    limit(world, "count/secrets", used=2, hard=2)
    await world.apply(version(1))
    await world.apply(DEPLOYMENT)
    await world.settle()
    ready = await said(world, "Ready")
    assert (ready[:2], "Secret heart-feedback was refused" in ready[2]) == (("False", CHILD_REFUSED), True)
    assert (await status(world))["observedGeneration"] == 1
    assert not await world.all("Deployment", "apps/v1"), "its Secret would never be made"


# --- what nothing else rests on -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "resources", "kind"),
    [
        ("autoscaling", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
        ("policy", "poddisruptionbudgets", "PodDisruptionBudget"),
    ],
)
async def test_a_refused_autoscaler_or_budget_holds_up_neither_pods_nor_traffic(
    world: World, group: str, resources: str, kind: str
) -> None:
    manifest = copy.deepcopy(DEPLOYMENT)
    manifest["spec"]["predictor"]["autoscaling"] = {"min": 2, "max": 4}
    with policy(world, group, resources, "false"):
        world.natures.append(deployment_controller)
        world.prometheus.answer = measures()
        await world.apply(version(1))
        await world.apply(manifest)
        await world.settle()
        await world.apply(version(2))
        await pass_time(world, 90)
        found = await status(world)
        assert (found["stable"]["version"], found["phase"]) == ("heart-v2", "Degraded")
        assert await selected(world) == {"heart-v2"}
        assert (await said(world, "Ready"))[0] == "True"
        for type_ in ("Progressing", "Degraded"):
            _, reason, message = await said(world, type_)
            assert (reason, message.startswith(f"{kind} heart was refused")) == (CHILD_REFUSED, True), message
    await world.settle()
    assert (await status(world))["phase"] == "Healthy"


# --- what follows rests on it --------------------------------------------------------------------------------------


async def test_a_promotion_whose_service_is_refused_is_not_written_and_comes_about_later(world: World) -> None:
    await canary(world)
    assert await selected(world) == {"heart-v1", "heart-v2"}
    before = await status(world)
    with policy(world, "", "services", "request.operation == 'CREATE'"):
        await pass_time(world, 90)
        found = await status(world)
        assert (found["stable"], found["rollout"]["step"]) == (before["stable"], 0)
        assert found["history"] == before["history"]
        assert (await running(world)).keys() == {"heart-v1", "heart-v2"}, "what may still be asked is not ended"
        for type_, truth in (("Progressing", "False"), ("Degraded", "True")):
            condition = await said(world, type_)
            assert condition[:2] == (truth, CHILD_REFUSED)
            assert "Service heart was refused" in condition[2]
        assert (await said(world, "Ready"))[0] == "True"
        assert (await counted(world, CHILD_REFUSED), await counted(world, "Promoted")) == (1, 1)
        writes = len(world.operator.writes)
        await world.settle()
        assert len(world.operator.writes) == writes
    await pass_time(world, 30)
    assert (await status(world))["stable"]["version"] == "heart-v2"
    assert await selected(world) == {"heart-v2"}
    assert (await said(world, "Degraded"))[:2] == ("False", "AsWanted")


async def test_no_pods_of_a_new_version_start_while_the_service_cannot_be_narrowed(world: World) -> None:
    await canary(world)
    with policy(world, "", "services", "request.operation == 'CREATE'"):
        await world.annotate("ModelDeployment", "heart", {"perennial.dev/request": "abort/heart-v2/1"})
        await world.apply(version(3))
        await pass_time(world, 60)
        assert await service(world) == {"perennial.dev/deployment": "heart"}
        assert "heart-v3" not in await running(world), "it would get requests that nobody measures"
    await pass_time(world, 30)
    assert await selected(world) == {"heart-v1", "heart-v3"}
    assert (await status(world))["rollout"]["target"]["version"] == "heart-v3"


# --- what belongs to somebody else ---------------------------------------------------------------------------------


async def test_a_service_of_somebody_else_is_left_alone(world: World) -> None:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "heart"}, "spec": spec}
    before = await world.apply(theirs)
    await first(world)
    assert await world.read("Service", "heart", "v1") == before
    ready = await said(world, "Ready")
    assert ready[:2] == ("False", NAME_TAKEN)
    assert "Service heart was refused: it is there already" in ready[2]
    assert "delete it, or give one of the two another name" in ready[2]
    assert not await running(world)
    assert await counted(world, NAME_TAKEN) == 1

    await world.delete("Service", "heart", "v1")
    await world.settle()
    assert await selected(world) == {"heart-v1"}


async def test_two_deployments_do_not_fight_for_a_preview_service(world: World) -> None:
    await first(world)
    other = copy.deepcopy(DEPLOYMENT)
    other["metadata"]["name"], other["spec"]["rollout"] = "heart-preview", {}
    await world.apply(other)
    manifest = copy.deepcopy(DEPLOYMENT)
    manifest["spec"]["rollout"] = {"strategy": "BlueGreen", "preview": {"hold": "60s"}}
    await world.apply(manifest)
    await world.settle()
    before = await world.read("Service", "heart-preview", "v1")
    await world.apply(version(2))
    await pass_time(world, 90)
    after = await world.read("Service", "heart-preview", "v1")
    assert after["metadata"]["ownerReferences"] == before["metadata"]["ownerReferences"]
    found = await said(world, "Progressing")
    assert found[:2] == ("False", NAME_TAKEN)
    assert "Service heart-preview was refused: it is there already, and belongs to ModelDeployment" in found[2]
    assert (await status(world))["stable"]["version"] == "heart-v1"


@pytest.mark.parametrize(
    ("api_version", "kind", "name"),
    [
        ("autoscaling/v2", "HorizontalPodAutoscaler", "heart"),
        ("policy/v1", "PodDisruptionBudget", "heart"),
        ("v1", "ConfigMap", "heart-settings"),
    ],
)
async def test_no_other_child_of_somebody_else_is_taken_over(
    world: World, api_version: str, kind: str, name: str
) -> None:
    parts: dict[str, Json] = {
        "HorizontalPodAutoscaler": {
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 2}
        },
        "PodDisruptionBudget": {"spec": {"selector": {"matchLabels": {"app": "web"}}, "maxUnavailable": 1}},
        "ConfigMap": {"data": {"a": "b"}},
    }
    theirs = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **parts[kind]}
    before = await world.apply(theirs)
    manifest = copy.deepcopy(DEPLOYMENT)
    manifest["spec"]["predictor"]["autoscaling"] = {"min": 2, "max": 4}
    manifest["spec"]["rollout"] = {"strategy": "Shadow", "shadow": {"hold": "60s"}}
    world.natures.append(deployment_controller)
    await world.apply(version(1))
    await world.apply(manifest)
    await world.settle()
    await world.apply(version(2))
    await world.settle()
    assert await world.read(kind, name, api_version) == before
    found = await said(world, "Degraded")
    assert (found[:2], f"{kind} {name}" in found[2]) == (("True", NAME_TAKEN), True), found
    assert await selected(world) == {"heart-v1"}


async def test_what_a_restore_left_without_an_owner_is_taken_back(world: World) -> None:
    await first(world)
    before = await world.read("Service", "heart", "v1")
    owner = before["metadata"].pop("ownerReferences")
    await world.user.replace(before)
    await world.settle()
    assert (await world.read("Service", "heart", "v1"))["metadata"]["ownerReferences"] == owner
    assert (await said(world, "Ready"))[0] == "True"


# --- the other kinds ------------------------------------------------------------------------------------------------


async def test_a_run_whose_job_is_refused_says_so_and_starts_once_it_is_taken(world: World) -> None:
    limit(world, "count/jobs.batch", used=0, hard=0)
    world.natures = [runs()]
    await world.apply(TRAINING)
    await world.settle()
    ready = await said(world, "Ready", "ModelTraining")
    assert ready[:2] == ("False", CHILD_REFUSED)
    assert ready[2].startswith("Job heart-")
    assert "exceeded quota: few" in ready[2]
    found = (await world.read("ModelTraining", "heart"))["status"]
    assert (found["observedGeneration"], found["phase"]) == (1, "Pending")
    assert await counted(world, CHILD_REFUSED) == 1
    world.server.kubectl("-n", world.namespace, "delete", "quota", "few")
    await world.settle()
    assert (await said(world, "Ready", "ModelTraining"))[:2] == ("True", "Registered")


# --- Events ---------------------------------------------------------------------------------------------------------


async def test_what_happens_twice_within_an_hour_is_said_twice(world: World) -> None:
    await canary(world)
    for number in (1, 2):
        await world.annotate("ModelDeployment", "heart", {"perennial.dev/request": f"abort/heart-v2/a{number}"})
        await world.settle()
        await world.annotate("ModelDeployment", "heart", {"perennial.dev/request": f"retry/heart-v2/b{number}"})
        await world.settle()
    events = await world.events()
    began = [message for reason, message in events if reason == "RolloutStarted" and "heart-v2" in message]
    failed = [message for reason, message in events if reason == "RolloutFailed"]
    assert (len(began), len(failed)) == (3, 2)
