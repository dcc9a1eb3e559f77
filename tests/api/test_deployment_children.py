"""The children of a ModelDeployment on a real API server: what each option makes, and what is left to others."""

import copy
import json
from typing import Any

import pytest

from perennial.contracts.names import LABEL_REVISION, LABEL_VERSION
from tests.api.test_deployment import DEPLOYMENT, first, measures, pass_time, running, status, version
from tests.api.world import World, deployment_controller

Json = dict[str, Any]
HPA = ("HorizontalPodAutoscaler", "heart", "autoscaling/v2")
PDB = ("PodDisruptionBudget", "heart", "policy/v1")


def changed(predictor: Json | None = None, **spec: Any) -> Json:
    """The ModelDeployment with other fields; those of the predictor are added to its own."""
    made = copy.deepcopy(DEPLOYMENT)
    made["spec"]["predictor"].update(predictor or {})
    made["spec"].update(spec)
    return made


async def serving(world: World, manifest: Json) -> Json:
    """v1 serves as ``manifest`` says; returns its Deployment."""
    world.natures.append(deployment_controller)
    world.prometheus.answer = measures()
    await world.apply(version(1))
    await world.apply(manifest)
    await world.settle()
    (found,) = await world.all("Deployment", "apps/v1")
    return found


async def scale_by_another(world: World, name: str, replicas: int) -> None:
    """As the autoscaler does it: by the scale subresource, under its own name."""
    world.server.kubectl("-n", world.namespace, "scale", f"deployment/{name}", f"--replicas={replicas}")


async def replicas_of(world: World, name: str) -> int:
    found: int = (await world.read("Deployment", name, "apps/v1"))["spec"]["replicas"]
    return found


# --- how many pods ------------------------------------------------------------------------------------------------


async def test_an_autoscaler_is_made_and_what_it_writes_is_never_undone(world: World) -> None:
    deployment = await serving(world, changed({"autoscaling": {"min": 2, "max": 8, "targetCPU": 60}}))
    name = deployment["metadata"]["name"]
    assert deployment["spec"]["replicas"] == 2
    hpa = await world.read(*HPA)
    assert hpa["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (2, 8)
    (metric,) = hpa["spec"]["metrics"]
    assert metric["containerResource"]["container"] == "predictor"
    assert metric["containerResource"]["target"] == {"type": "Utilization", "averageUtilization": 60}

    await scale_by_another(world, name, 5)
    writes = len(world.operator.writes)
    await world.settle()
    assert await replicas_of(world, name) == 5
    assert not [each for each in world.operator.writes[writes:] if "Deployment/heart-" in each]

    # A change of the Deployment's own that has to be written leaves the number alone, too.
    manifest = changed({"autoscaling": {"min": 3, "max": 8}})
    manifest["spec"]["rollout"]["progressDeadline"] = "20m"
    await world.apply(manifest)
    await world.settle()
    after = await world.read("Deployment", name, "apps/v1")
    assert (after["spec"]["replicas"], after["spec"]["progressDeadlineSeconds"]) == (5, 1200)
    assert (await world.read(*HPA))["spec"]["minReplicas"] == 3


async def test_the_autoscaler_and_the_number_of_pods_go_on_to_the_next_version(world: World) -> None:
    old = await serving(world, changed({"autoscaling": {"min": 2, "max": 8}}))
    await scale_by_another(world, old["metadata"]["name"], 5)
    await world.settle()
    await world.apply(version(2))
    await world.settle()
    assert (await running(world))["heart-v1"] == 5
    assert (await world.read(*HPA))["spec"]["scaleTargetRef"]["name"] == old["metadata"]["name"]
    await pass_time(world, 60)
    assert (await running(world))["heart-v2"] == 5, "as many as answered before"
    (new,) = [each for each in await world.all("Deployment", "apps/v1") if _version(each) == "heart-v2"]
    assert (await world.read(*HPA))["spec"]["scaleTargetRef"]["name"] == new["metadata"]["name"]
    assert (await world.read(*PDB))["spec"]["selector"] == new["spec"]["selector"]


async def test_a_write_that_raced_with_the_autoscaler_is_not_made(world: World) -> None:
    """The number that was read is written back only while nobody else has written."""
    deployment = await serving(world, changed({"autoscaling": {"min": 2, "max": 8}}))
    name = deployment["metadata"]["name"]
    manifest = changed({"autoscaling": {"min": 2, "max": 8}})
    manifest["spec"]["rollout"]["progressDeadline"] = "20m"
    await world.apply(manifest)
    get, raced = world.operator.get, []

    async def get_and_be_overtaken(api_version: str, kind: str, namespace: str, wanted: str) -> Json | None:
        found = await get(api_version, kind, namespace, wanted)
        if kind == "Deployment" and not raced:
            raced.append(wanted)
            await scale_by_another(world, name, 6)
        return found

    world.operator.get = get_and_be_overtaken  # type: ignore[method-assign]
    await world.settle()
    assert raced == [name]
    after = await world.read("Deployment", name, "apps/v1")
    assert (after["spec"]["replicas"], after["spec"]["progressDeadlineSeconds"]) == (6, 1200)


async def test_without_autoscaling_the_autoscaler_goes_and_the_number_is_the_specs(world: World) -> None:
    deployment = await serving(world, changed({"autoscaling": {"min": 3, "max": 8}}))
    await world.apply(changed())
    await world.settle()
    assert await world.get(*HPA) is None
    assert await replicas_of(world, deployment["metadata"]["name"]) == 2


async def test_the_budget_covers_the_stable_pods(world: World) -> None:
    deployment = await serving(world, changed({"disruptionBudget": {"maxUnavailable": 2}}))
    budget = await world.read(*PDB)
    assert budget["spec"]["maxUnavailable"] == 2
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]
    writes = len(world.operator.writes)
    await world.settle()
    assert len(world.operator.writes) == writes


async def test_at_rest_a_look_costs_few_requests_and_no_write(world: World) -> None:
    await serving(world, changed({"autoscaling": {"min": 2, "max": 8}}))
    await world.settle()
    before = world.operator.calls.copy()
    await world.reconcile("ModelDeployment", "heart")
    # Itself, Service, autoscaler, budget and Deployment; versions, monitors, Deployments and pods.
    assert world.operator.calls - before == {"get": 5, "list": 4}


async def test_a_namesake_that_belongs_to_somebody_else_is_not_deleted(world: World) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "other"}
    spec = {"scaleTargetRef": target, "maxReplicas": 2}
    await world.apply({"apiVersion": HPA[2], "kind": HPA[0], "metadata": {"name": "heart"}, "spec": spec})
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "heart-settings"}, "data": {"a": "b"}}
    await world.apply(settings)
    await serving(world, changed())
    assert (await world.read(*HPA))["spec"]["scaleTargetRef"]["name"] == "other"
    assert (await world.read("ConfigMap", "heart-settings", "v1"))["data"] == {"a": "b"}


# --- what the pods are ----------------------------------------------------------------------------------------------


async def test_every_option_stands_in_pods_and_service_as_the_api_server_keeps_them(world: World) -> None:
    deployment = await serving(world, changed({
        "grpc": True, "tls": {"secret": "heart-tls", "clientAuth": "Required"}, "bearer": {"secret": "tokens"},
        "tracing": {"endpoint": "http://otel:4318"}, "requests": {"deadline": "2s"}, "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}], "topologySpread": [{"topologyKey": "zone"}],
        "priorityClassName": "system-node-critical", "imagePullSecrets": ["registry"],
    }))  # fmt: skip
    template = deployment["spec"]["template"]["spec"]
    assert template["topologySpreadConstraints"][0]["labelSelector"] == deployment["spec"]["selector"]
    assert template["priorityClassName"] == "system-node-critical"
    ports = (await world.read("Service", "heart", "v1"))["spec"]["ports"]
    found = [(each["name"], each["port"], each["targetPort"], each["appProtocol"]) for each in ports]
    assert found == [("https", 443, "http", "https"), ("grpc", 8081, "grpc", "https")]
    assert (await status(world))["url"].startswith(f"https://heart.{world.namespace}.svc/")
    writes = len(world.operator.writes)
    await world.settle()
    assert len(world.operator.writes) == writes


async def test_the_ports_of_the_service_are_those_of_the_version_that_serves(world: World) -> None:
    await first(world)
    manifest = copy.deepcopy(DEPLOYMENT)
    manifest["spec"]["predictor"]["grpc"] = True
    await world.apply(manifest)
    await world.settle()
    assert (await status(world))["rollout"]["target"]["version"] == "heart-v1"
    assert [each["name"] for each in (await world.read("Service", "heart", "v1"))["spec"]["ports"]] == ["http"]


async def test_a_newer_operator_restarts_no_pod_by_what_it_renders_otherwise(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perennial.render import pod

    monkeypatch.setattr(pod, "_GRACE_SECONDS", 20)
    monkeypatch.setattr(pod, "_SETTINGS_DIR", "/etc/settings")
    before = await serving(world, changed())
    monkeypatch.undo()
    world.restart()
    await world.settle()
    assert (await world.read("Deployment", before["metadata"]["name"], "apps/v1"))["spec"] == before["spec"]

    # What is scaled or protected anew is done without touching the template.
    await world.apply(changed({"replicas": 3}))
    await world.settle()
    after = await world.read("Deployment", before["metadata"]["name"], "apps/v1")
    assert after["spec"] == {**before["spec"], "replicas": 3}

    # A rollout that is asked for takes the new rendering.
    await world.apply(version(2))
    await world.settle()
    canary = [each for each in await world.all("Deployment", "apps/v1") if _version(each) == "heart-v2"]
    assert canary[0]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == pod._GRACE_SECONDS


def _version(raw: Json) -> str:
    found: str = raw["metadata"]["labels"][LABEL_VERSION]
    return found


# --- pod overlays ---------------------------------------------------------------------------------------------------

SIDECAR = """
spec:
  containers:
  - name: agent
    image: localhost/agent:1
    resources: {requests: {cpu: 10m}}
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
  - name: predictor
    env: [{name: OMP_NUM_THREADS, value: "1"}]
"""


async def overlay(world: World, text: str) -> None:
    """The ConfigMap says ``text``."""
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}, "data": {"pod.yaml": text}}
    await world.apply(manifest)


def with_overlay() -> Json:
    return changed({"podOverlay": {"configMap": "mine"}})


async def test_an_overlay_is_merged_into_the_pods_and_recorded(world: World) -> None:
    await overlay(world, SIDECAR)
    deployment = await serving(world, with_overlay())
    containers = {each["name"]: each for each in deployment["spec"]["template"]["spec"]["containers"]}
    assert set(containers) == {"predictor", "agent"}
    assert {"name": "OMP_NUM_THREADS", "value": "1"} in containers["predictor"]["env"]
    recorded = json.loads((await status(world))["stable"]["overlay"])
    assert recorded["spec"]["containers"][0]["name"] == "agent"

    dry_runs, writes = world.operator.calls["dry-run"], len(world.operator.writes)
    assert dry_runs == 1
    await world.settle()
    assert (world.operator.calls["dry-run"], len(world.operator.writes)) == (dry_runs, writes), "nothing at rest"


async def test_another_overlay_is_another_rollout_and_the_running_pods_keep_theirs(world: World) -> None:
    await overlay(world, SIDECAR)
    before = await serving(world, with_overlay())
    await overlay(world, SIDECAR.replace("agent:1", "agent:2"))
    await world.settle()
    revisions = {each["metadata"]["labels"][LABEL_REVISION]: each for each in await world.all("Deployment", "apps/v1")}
    kept = revisions.pop(before["metadata"]["labels"][LABEL_REVISION])
    assert kept["spec"]["template"] == before["spec"]["template"]
    (new,) = revisions.values()
    assert "localhost/agent:2" in json.dumps(new["spec"]["template"])


REFUSALS = [
    (None, "OverlayMissing", "ConfigMap mine, entry pod.yaml: there is no such thing in this namespace"),
    ("spec: [", "OverlayInvalid", "ConfigMap mine, entry pod.yaml: it is not YAML"),
    ("spec: {hostNetwork: true}", "OverlayRefused", "spec.hostNetwork must not be true"),
    ("spec: {tolerance: []}", "OverlayRefused", 'unknown field "spec.template.spec.tolerance"'),
    ("spec: {restartPolicy: Never}", "OverlayRefused", 'spec.template.spec.restartPolicy: Unsupported value: "Never"'),
    ("spec: {dnsPolicy: Mine}", "OverlayRefused", 'spec.template.spec.dnsPolicy: Unsupported value: "Mine"'),
    ("spec: {affinity: text}", "OverlayRefused", "cannot unmarshal string into Go struct field PodSpec"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reason", "message"), REFUSALS, ids=[str(each[0])[:30] for each in REFUSALS])
async def test_an_overlay_that_cannot_be_used_is_said_and_changes_nothing(
    world: World, text: str | None, reason: str, message: str
) -> None:
    before = await serving(world, changed())
    if text is not None:
        await overlay(world, text)
    await world.apply(with_overlay())
    await world.settle()
    conditions = (await status(world))["conditions"]
    said = [each for each in conditions if each["reason"] == reason]
    assert said, [(each["type"], each["reason"], each["message"]) for each in conditions]
    assert message in said[0]["message"]
    (after,) = await world.all("Deployment", "apps/v1")
    assert after["spec"] == before["spec"]
    assert (await status(world))["readyReplicas"] == 2
