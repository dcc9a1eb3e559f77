"""The chart on a real API server: its rights are enough and no more, and nobody else writes ModelVersions."""

import functools
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from perennial.adapters.kubernetes import KubernetesApi
from perennial.api import crdgen
from perennial.contracts.names import LABEL_REVISION
from tests.api import gateway
from tests.api.apiserver import ROOT, ApiServer
from tests.api.test_admission import DEPLOYMENT, MONITOR, TRAINING, VERSION

Json = dict[str, Any]
CHART = ROOT / "charts/perennial"
IMAGES = ("image.operator=localhost/o:1", "image.components=localhost/c:1", "image.serving=localhost/s:1")
VALUES = (*IMAGES, "prometheus.url=http://127.0.0.1:9")


@functools.cache
def helm() -> str:
    """The machine's helm, or the one that the cluster's scripts build."""
    cache = Path(os.environ.get("PERENNIAL_CACHE", Path.home() / ".cache/perennial"))
    found = sorted(cache.glob("bin/helm-*/helm"), key=lambda path: path.stat().st_mtime)
    if not found:
        subprocess.run([ROOT / "hack/cluster/build", "helm"], check=True)
        found = sorted(cache.glob("bin/helm-*/helm"))
    return str(found[-1])


def render(namespace: str, *values: str, hooks: bool = False) -> list[Json]:
    """What ``helm install perennial`` into ``namespace`` would send."""
    flags = [part for value in (*VALUES, *values) for part in ("--set", value)]
    command = [helm(), "template", "perennial", str(CHART), "--namespace", namespace, "--kube-version", "1.34", *flags]
    answer = subprocess.run([*command, *([] if hooks else ["--no-hooks"])], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise ValueError(answer.stderr)
    return [each for each in yaml.safe_load_all(answer.stdout) if each]


def test_the_definitions_are_those_of_the_models_and_are_kept() -> None:
    found = {each["metadata"]["name"]: each for each in render("x") if each["kind"] == "CustomResourceDefinition"}
    for kind in crdgen.KINDS:
        made = crdgen.definition(kind)
        assert found[made["metadata"]["name"]]["spec"] == made["spec"]
        assert found[made["metadata"]["name"]]["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert crdgen.main(["--check", str(ROOT / "crds"), str(CHART / "files/crds")]) == 0
    assert not [each for each in render("x", "crds.install=false") if each["kind"] == "CustomResourceDefinition"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("image.operator=operator", "/image/operator"),
        ("prometheus.url=prometheus:9090", "/prometheus/url"),
        ("prometheus.url=http://me:secret@prometheus:9090", "/prometheus/url"),
        ("replicas=two", "/replicas"),
        ("imge.operator=a:b", "additional properties 'imge' not allowed"),
        ("metrics.podMonitor.interval=often", "/metrics/podMonitor/interval"),
        ("metrics.prometheusRule.enable=true", "additional properties 'enable' not allowed"),
        ("metrics.dashboards.labels.grafana_dashboard=1", "/metrics/dashboards/labels/grafana_dashboard"),
    ],
)
def test_values_that_cannot_be_right_are_refused(value: str, message: str) -> None:
    with pytest.raises(ValueError, match="specifications of the schema") as caught:
        render("x", value)
    assert message in str(caught.value)


def test_prometheus_is_reached_with_the_secrets_that_are_named() -> None:
    secrets = ("prometheus.caSecret=ca", "prometheus.authSecret=auth", "prometheus.headers.X-Scope-OrgID=ward")
    [found] = [each for each in render("x", *secrets) if each["kind"] == "Deployment"]
    pod = found["spec"]["template"]["spec"]
    [container] = pod["containers"]
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert {each["name"]: each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each} == {
        "prometheus-ca": "ca", "prometheus-auth": "auth",
    }  # fmt: skip
    assert env["PERENNIAL_PROMETHEUS_CA"] == mounts["prometheus-ca"]
    assert env["PERENNIAL_PROMETHEUS_AUTH"] == mounts["prometheus-auth"]
    assert env["PERENNIAL_PROMETHEUS_HEADERS"] == '{"X-Scope-OrgID":"ward"}'
    [job] = [each for each in render("x", *secrets, hooks=True) if each["kind"] == "Job"]
    assert not [each for each in job["spec"]["template"]["spec"]["volumes"] if "secret" in each], "it waits for none"


SEEN = tuple(
    f"metrics.{each}.enabled=true" for each in ("prometheusRule", "serviceMonitor", "podMonitor", "dashboards")
)


def monitoring(*values: str) -> dict[str, Json]:
    """What is asked for to be seen by, by kind."""
    return {each["kind"]: each for each in render("x", *SEEN, *values)}


def test_nothing_needs_the_prometheus_operator_unless_it_is_asked_for() -> None:
    assert [each for each in render("x") if each["apiVersion"].startswith("monitoring.coreos.com/")] == []
    assert [each for each in render("x") if each["kind"] == "ConfigMap"] == []


def test_the_rules_are_those_of_the_file_with_links_to_runbooks() -> None:
    groups = yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"]
    assert monitoring()["PrometheusRule"]["spec"]["groups"] == groups
    moved = monitoring("metrics.runbookUrl=https://git.example.com/docs/", "metrics.prometheusRule.labels.release=kps")
    rule = moved["PrometheusRule"]
    urls = {each["annotations"]["runbook_url"] for group in rule["spec"]["groups"] for each in group["rules"]}
    assert all(url.startswith("https://git.example.com/docs/Perennial") and url.endswith(".md") for url in urls)
    assert rule["metadata"]["labels"]["release"] == "kps"
    for group in groups:
        for each in group["rules"]:
            promql_parser.parse(each["expr"])


def test_what_is_scraped_is_the_operators_service_and_the_predictors_port() -> None:
    made = monitoring("namespaces={clinic,ward}", "metrics.podMonitor.interval=30s")
    service = next(each for each in render("x") if each["kind"] == "Service")
    scraped = made["ServiceMonitor"]["spec"]
    assert scraped["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert scraped["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert scraped["namespaceSelector"] == {"matchNames": ["x"]}
    pods = made["PodMonitor"]["spec"]
    assert pods["namespaceSelector"] == {"matchNames": ["clinic", "ward"]}
    assert pods["selector"]["matchExpressions"] == [{"key": LABEL_REVISION, "operator": "Exists"}]
    [endpoint] = pods["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["interval"], endpoint["honorLabels"]) == ("metrics", "30s", True)
    assert monitoring()["PodMonitor"]["spec"]["namespaceSelector"] == {"any": True}


def test_the_prometheus_operators_own_definitions_take_them(server: ApiServer, namespace: str) -> None:
    definitions = os.environ["PROMETHEUS_OPERATOR_DEFINITIONS"]
    server.kubectl("create", "-f", definitions)
    try:
        server.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", definitions)
        shutil.rmtree(server.cache, ignore_errors=True)  # kubectl remembers for hours which kinds there were
        wanted = [each for each in render(namespace, *SEEN) if each["apiVersion"] == "monitoring.coreos.com/v1"]
        assert {each["kind"] for each in wanted} == {"PrometheusRule", "ServiceMonitor", "PodMonitor"}
        flags = ("--validate=strict", "--dry-run=server", "-n", namespace, "-f", "-")
        server.kubectl("create", *flags, stdin=yaml.safe_dump_all(wanted))
    finally:
        server.kubectl("delete", "--timeout=30s", "-f", definitions)


def test_dashboards_are_found_by_grafanas_sidecar_as_they_are() -> None:
    made = render("x", "metrics.dashboards.enabled=true", "metrics.dashboards.annotations.grafana_folder=Models")
    found = [each for each in made if each["kind"] == "ConfigMap"]
    assert len(found) == len(list((CHART / "files/dashboards").glob("*.json"))) > 0
    for each in found:
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert each["metadata"]["annotations"] == {"grafana_folder": "Models"}
        [(name, text)] = each["data"].items()
        assert json.loads(text) == json.loads((CHART / "files/dashboards" / name).read_text())


def test_every_object_is_taken_by_the_api_server_and_pods_are_restricted(server: ApiServer, namespace: str) -> None:
    server.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/warn=restricted")
    for values in (
        ("metrics.dashboards.enabled=true",),
        (f"namespaces={{{namespace}}}", "prometheus.caSecret=ca", "prometheus.authSecret=auth"),
    ):
        documents = render(namespace, *values, hooks=True)
        flags = ("--server-side", "--force-conflicts", "--dry-run=server", "--namespace", namespace)
        answer = server.kubectl("apply", *flags, "-f", "-", stdin=yaml.safe_dump_all(documents))
        assert "Warning" not in answer.stderr


@pytest.fixture(params=["cluster", "namespace"])
def installed(request: pytest.FixtureRequest, server: ApiServer, namespace: str) -> Iterator[str]:
    """The chart without its pods, for the cluster or the test's namespace alone; yields the operator's user name."""
    values = () if request.param == "cluster" else (f"namespaces={{{namespace}}}",)
    wanted = [
        each for each in render(namespace, *values) if each["kind"] not in {"Deployment", "CustomResourceDefinition"}
    ]
    text = yaml.safe_dump_all(wanted)
    server.kubectl("apply", "-f", "-", stdin=text)
    _await_policy(server, namespace, refuses=True)
    yield f"system:serviceaccount:{namespace}:perennial"
    server.kubectl("delete", "--wait=false", "-f", "-", stdin=text)
    _await_policy(server, namespace, refuses=False)


def _await_policy(server: ApiServer, namespace: str, *, refuses: bool) -> None:
    """The API server takes up admission policies a moment after they are written."""
    manifest = yaml.safe_dump({**VERSION, "metadata": {"name": "probe", "namespace": namespace}})
    for _ in range(100):
        answer = server.kubectl("create", "--dry-run=server", "-f", "-", stdin=manifest, check=False)
        if (answer.returncode != 0) == refuses:
            return
    raise AssertionError("the API server did not take up the policy")


def test_the_operator_may_do_no_more_than_it_does(server: ApiServer, namespace: str, installed: str) -> None:
    def may(*action: str, within: str = namespace) -> bool:
        answer = server.kubectl("auth", "can-i", *action, "--namespace", within, f"--as={installed}", check=False)
        return answer.stdout.strip() == "yes"

    assert may("get", "secrets/perennial-store-read")
    assert may("create", "secrets")
    assert server.kubectl("get", "namespace", namespace, f"--as={installed}").returncode == 0
    assert may("delete", "modelversions")
    assert may("patch", "modeltrainings")
    children = ("services", "configmaps", "deployments.apps", "horizontalpodautoscalers.autoscaling",
                "poddisruptionbudgets.policy", "httproutes.gateway.networking.k8s.io")  # fmt: skip
    with gateway.installed(server):
        for kind in children:
            assert all(may(verb, kind) for verb in ("get", "create", "patch", "delete")), kind
    for action in (
        ("get", "secrets/perennial-store"), ("list", "secrets"), ("get", "pods", "--subresource=log"),
        ("create", "pods", "--subresource=exec"), ("create", "pods"), ("update", "modelversions"),
        ("update", "modeltrainings"), ("update", "modeltrainings/finalizers"), ("create", "clusterroles"),
        ("list", "nodes"), ("list", "namespaces"),
    ):  # fmt: skip
        assert not may(*action), action


def test_who_may_view_may_read_what_the_operator_says(server: ApiServer, namespace: str, installed: str) -> None:
    """Through the role that is aggregated to view, edit and admin; the controller that does so does not run here."""
    server.kubectl(
        "-n", namespace, "create", "rolebinding", "reader", f"--clusterrole={namespace}:perennial:view", "--user=reader"
    )
    for kind in ("events.events.k8s.io", "modeldeployments.perennial.dev"):
        for verb in ("get", "list", "watch", "create"):
            answer = server.kubectl("auth", "can-i", verb, kind, "-n", namespace, "--as=reader", check=False)
            assert (answer.stdout.strip() == "yes") == (verb != "create"), (verb, kind)


async def test_the_rights_are_enough_for_the_operators_own_requests(
    server: ApiServer, api: KubernetesApi, namespace: str, installed: str, start_operator: Any, tmp_path: Path
) -> None:
    token = server.kubectl("create", "token", "perennial", "--namespace", namespace).stdout.strip()
    kubeconfig = yaml.safe_load(server.kubeconfig.read_text())
    kubeconfig["users"][0]["user"] = {"token": token}
    path = tmp_path / "operator.kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig))
    cluster_wide = server.kubectl("get", "clusterrole", f"{namespace}:perennial", check=False).returncode == 0
    operator = await start_operator(
        "only", KUBECONFIG=str(path), PERENNIAL_NAMESPACES="" if cluster_wide else namespace
    )
    await operator.until("/readyz", lambda status, text: (status, text.strip()) == (200, "leader"))
    for manifest in (TRAINING, DEPLOYMENT, MONITOR):
        await api.create({**manifest, "metadata": {"name": "heart-disease", "namespace": namespace}})
    as_operator = {**VERSION, "metadata": {**VERSION["metadata"], "namespace": namespace}}
    server.kubectl("create", f"--as={installed}", "-f", "-", stdin=yaml.safe_dump(as_operator))
    # Serving it needs every right: a Deployment, a Service, a Secret, a finalizer, Events, statuses.
    async for change in api.watch("apps/v1", "Deployment", namespace):
        if change.type == "Applied":
            break
    async for change in api.watch("perennial.dev/v1alpha1", "ModelVersion", namespace):
        if change.type == "Applied" and change.object["metadata"].get("finalizers"):
            break
    told = f'perennial_monitor_condition{{namespace="{namespace}",monitor="heart-disease"'
    metrics = await operator.until(
        "/metrics", lambda _, text: told in text and "perennial_deployment_condition{" in text
    )
    assert "perennial_monitor_verdict{" in metrics
    assert [line for line in metrics.splitlines() if 'code="403"' in line] == []
    assert "orbidden" not in operator.read_log()


def test_nobody_else_writes_model_versions_but_people_approve_them(
    server: ApiServer, namespace: str, installed: str
) -> None:
    manifest = yaml.safe_dump({**VERSION, "metadata": {**VERSION["metadata"], "namespace": namespace}})
    by_hand = server.kubectl("create", "-f", "-", stdin=manifest, check=False)
    assert "ModelVersions are written by the Perennial operator; change spec.approval" in by_hand.stderr
    assert server.kubectl("create", f"--as={installed}", "-f", "-", stdin=manifest).returncode == 0
    name = VERSION["metadata"]["name"]

    def patch(change: str) -> subprocess.CompletedProcess[str]:
        return server.kubectl("patch", "mv", name, "-n", namespace, "--type=merge", "-p", change, check=False)

    assert patch('{"spec": {"approval": "Rejected"}}').returncode == 0
    assert "a version's record cannot be changed" in patch('{"spec": {"record": {"seed": 8}}}').stderr


def _let_edit(server: ApiServer, namespace: str, *users: str) -> None:
    """As the cluster's role edit would, to which the chart's are aggregated by a controller that does not run here."""
    for user, role in itertools.product(users, ("view", "edit")):
        role_ref = f"--clusterrole={namespace}:perennial:{role}"
        server.kubectl("-n", namespace, "create", "rolebinding", f"{user}-{role}", role_ref, f"--user={user}")


def test_nobody_decides_about_a_version_under_another_name(server: ApiServer, namespace: str, installed: str) -> None:
    manifest = yaml.safe_dump({**VERSION, "metadata": {**VERSION["metadata"], "namespace": namespace}})
    server.kubectl("create", f"--as={installed}", "-f", "-", stdin=manifest)
    name, refused = VERSION["metadata"]["name"], "perennial.dev/approved-by is to name who decides"
    _let_edit(server, namespace, "alice", "bob")

    def decide(user: str, approval: str, by: str | None) -> subprocess.CompletedProcess[str]:
        noted = {"metadata": {"annotations": {"perennial.dev/approved-by": by}}} if by else {}
        change = json.dumps({"spec": {"approval": approval}, **noted})
        return server.kubectl(
            "patch", "mv", name, "-n", namespace, "--type=merge", "-p", change, f"--as={user}", check=False
        )

    assert refused in decide("alice", "Rejected", "bob").stderr
    assert decide("alice", "Rejected", "alice").returncode == 0
    assert refused in decide("bob", "Approved", None).stderr, "alice's name still stands there"
    for note in ("by", "at"):
        erased = server.kubectl(
            "annotate", "mv", name, "-n", namespace, f"perennial.dev/approved-{note}-", "--as=bob", check=False
        )
        assert (refused in erased.stderr) == (note == "by"), "there is no other note yet"
    assert decide("bob", "Approved", "bob").returncode == 0


def test_nobody_asks_for_a_run_in_anothers_name(server: ApiServer, namespace: str, installed: str) -> None:
    server.kubectl("create", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(TRAINING))
    _let_edit(server, namespace, "alice")

    def ask(request: str, *flags: str) -> str:
        change = json.dumps({"metadata": {"annotations": {"perennial.dev/request": request}}})
        flags = (*(flags or ("--as=alice",)), "-n", namespace, "--type=merge", "-p", change)
        return server.kubectl("patch", "mt", TRAINING["metadata"]["name"], *flags, check=False).stderr

    refused = "is to name who asks"
    assert refused in ask("cancel/heart/u1/bob")
    assert ask("cancel/heart/u1/alice") == ask("cancel/heart/u2") == ""
    assert refused in ask("cancel/heart/u3/alice", "--as=system:a/b", "--as-group=system:masters")
    assert ask("cancel/heart/u3/system:a/b", "--as=system:a/b", "--as-group=system:masters") == ""
    change = json.dumps({"metadata": {"labels": {"team": "ward"}}})
    flags = ("-n", namespace, "--type=merge", "-p", change, "--as=alice")
    assert server.kubectl("patch", "mt", TRAINING["metadata"]["name"], *flags).returncode == 0, "it names nobody anew"


def test_the_operator_itself_changes_no_spec(server: ApiServer, namespace: str, installed: str) -> None:
    server.kubectl("create", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(TRAINING))

    def patch(**change: Json) -> str:
        flags = ("-n", namespace, "--type=merge", "-p", json.dumps(change), f"--as={installed}")
        return server.kubectl("patch", "mt", TRAINING["metadata"]["name"], *flags, check=False).stderr

    assert "the Perennial operator changes no spec" in patch(spec={"suspend": True})
    assert patch(metadata={"finalizers": ["perennial.dev/files"]}) == patch(metadata={"finalizers": []}) == ""


def test_after_an_uninstall_whatever_was_held_can_be_deleted(server: ApiServer, namespace: str, tmp_path: Path) -> None:
    """What the post-delete hook runs, with the hook's own rights."""
    hooks = [
        each for each in render(namespace, hooks=True)
        if "helm.sh/hook" in each["metadata"].get("annotations", {}) and each["kind"] != "Job"
    ]  # fmt: skip
    server.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(hooks))
    used = {**VERSION, "metadata": {"name": "used-v1", "namespace": namespace, "finalizers": ["perennial.dev/in-use"]}}
    retiring = {"name": "retires", "namespace": namespace, "finalizers": ["perennial.dev/files"]}
    for manifest in (used, {**TRAINING, "metadata": retiring}):
        server.kubectl("create", "-f", "-", stdin=yaml.safe_dump(manifest))
    kubeconfig = yaml.safe_load(server.kubeconfig.read_text())
    token = server.kubectl("create", "token", "perennial-uninstall", "--namespace", namespace).stdout.strip()
    kubeconfig["users"][0]["user"] = {"token": token}
    path = tmp_path / "hook.kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig))
    env = {
        **os.environ, "KUBECONFIG": str(path), "PERENNIAL_LEASE_NAMESPACE": namespace, "PERENNIAL_IDENTITY": "hook",
        "PERENNIAL_COMPONENTS_IMAGE": "c:1", "PERENNIAL_SERVING_IMAGE": "s:1", "PERENNIAL_PROMETHEUS_URL": "http://x",
    }  # fmt: skip
    subprocess.run([sys.executable, "-m", "perennial.uninstall"], env=env, check=True, timeout=60, cwd=ROOT)
    server.kubectl("delete", "mv/used-v1", "mt/retires", "-n", namespace, "--timeout=20s")
    server.kubectl("delete", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(hooks))
