"""The gateway and the metrics of pods, as tests of rollouts use them."""

import json
import subprocess
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.shell import HACK, environment, kubectl, run
from tests.cluster.test_services import eventually

SERVER = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(os.environ["ANSWER"].encode())
ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


@pytest.fixture(scope="module", autouse=True)
def cluster() -> None:
    run(HACK / "cluster" / "up")
    run(HACK / "cluster" / "addons", seconds=1800)


def backend(name: str, image: str) -> list[dict[str, Any]]:
    container = {
        "name": "c",
        "image": image,
        "command": ["python3", "-c", SERVER],
        "env": [{"name": "ANSWER", "value": name}],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
    }
    pod = {"metadata": {"name": name, "labels": {"app": name}}, "spec": {"containers": [container]}}
    service = {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [{"port": 8000}]}}
    return [{"apiVersion": "v1", "kind": "Pod"} | pod, {"apiVersion": "v1", "kind": "Service"} | service]


def route(host: str, weights: dict[str, int]) -> dict[str, Any]:
    backends = [{"name": name, "port": 8000, "weight": weight} for name, weight in weights.items()]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "split"},
        "spec": {
            "parentRefs": [{"name": "public", "namespace": "infra"}],
            "hostnames": [host],
            "rules": [{"backendRefs": backends}],
        },
    }


def apply(namespace: str, *objects: dict[str, Any]) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    command = ["kubectl", "-n", namespace, "apply", "-f", "-"]
    subprocess.run(command, input=text, text=True, check=True, env=environment(), timeout=60)


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"addons-{uuid.uuid4().hex[:6]}"
    kubectl("create", "namespace", name)
    images = json.loads(kubectl("-n", "infra", "get", "deployment", "prometheus", "-o", "json"))
    image = next(c for c in images["spec"]["template"]["spec"]["containers"] if c["name"] == "discovery")["image"]
    apply(name, *backend("stable", image), *backend("canary", image))
    kubectl("-n", name, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=90s")
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def asked(host: str, times: int) -> Counter[str]:
    """Answers by backend; what the gateway itself says counts as its status."""
    answers = Counter[str]()
    request = urllib.request.Request(environment()["GATEWAY_URL"], headers={"Host": host})
    for _ in range(times):
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                answers[answer.read().decode()] += 1
        except urllib.error.HTTPError as error:
            answers[str(error.code)] += 1
    return answers


def test_a_route_splits_by_its_weights_and_pods_have_metrics(namespace: str) -> None:
    host = f"{namespace}.example"
    assert set(asked(host, 1)) == {"404"}
    apply(namespace, route(host, {"stable": 75, "canary": 25}))
    eventually(lambda: "404" not in asked(host, 1), 20)
    assert asked(host, 200) == {"stable": 150, "canary": 50}  # weighted round robin: exact
    apply(namespace, route(host, {"stable": 0, "canary": 100}))
    eventually(lambda: set(asked(host, 20)) == {"canary"}, 20)

    def usage() -> list[Any]:
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"
        found: list[Any] = json.loads(kubectl("get", "--raw", path))["items"]
        return found if len(found) == 2 else []

    for pod in eventually(usage, 90):
        used = pod["containers"][0]["usage"]
        assert used["memory"] != "0"
        assert "cpu" in used
