"""What the cluster offers beside Kubernetes, as the person at the keyboard and a pod see it."""

import base64
import json
import subprocess
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import obstore
import pytest
from obstore.exceptions import PermissionDeniedError
from obstore.store import S3Store

from tests.cluster.shell import HACK, environment, kubectl, run


@pytest.fixture(scope="module", autouse=True)
def cluster() -> None:
    run(HACK / "cluster" / "up")


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    name = f"services-{uuid.uuid4().hex[:6]}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def eventually(condition: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.2)
    return result


def store(namespace: str, secret: str, bucket: str) -> S3Store:
    data = json.loads(kubectl("-n", namespace, "get", "secret", secret, "-o", "json"))["data"]
    plain = {key: base64.b64decode(value).decode() for key, value in data.items()}
    return S3Store(
        bucket,
        endpoint=environment()["AWS_ENDPOINT_URL"],
        region=plain["AWS_REGION"],
        access_key_id=plain["AWS_ACCESS_KEY_ID"],
        secret_access_key=plain["AWS_SECRET_ACCESS_KEY"],
        client_options={"allow_http": True},
    )


@pytest.mark.parametrize("bucket", ["data", "artifacts"])
def test_a_reader_reads_what_a_writer_wrote_and_cannot_change_it(namespace: str, bucket: str) -> None:
    run(HACK / "cluster" / "store-secrets", namespace)
    run(HACK / "cluster" / "store-secrets", namespace)  # again changes nothing
    writer, reader = store(namespace, "perennial-store", bucket), store(namespace, "perennial-store-read", bucket)
    key = f"{namespace}/object"
    large = b"x" * (12 << 20)  # in several parts
    obstore.put(writer, key, large, chunk_size=5 << 20)
    assert bytes(obstore.get(reader, key).bytes()) == large
    assert [item["path"] for item in obstore.list(reader, prefix=f"{namespace}/").collect()] == [key]
    with pytest.raises(PermissionDeniedError):
        obstore.put(reader, key, b"other")
    with pytest.raises(PermissionDeniedError):
        obstore.delete(reader, key)
    obstore.delete(writer, key)
    assert obstore.list(reader, prefix=f"{namespace}/").collect() == []


def query(expression: str) -> list[dict[str, Any]]:
    url = f"{environment()['PROMETHEUS_URL']}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


EXPORTER = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(b'probe_total{deployment="a/b",version="v1"} 7\\n')
HTTPServer(("", 9090), Handler).serve_forever()
"""


def test_prometheus_scrapes_annotated_pods_and_keeps_their_words(namespace: str) -> None:
    images = json.loads(kubectl("-n", "infra", "get", "deployment", "prometheus", "-o", "json"))
    image = next(c for c in images["spec"]["template"]["spec"]["containers"] if c["name"] == "discovery")["image"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "exporter",
            "namespace": namespace,
            "labels": {"deployment": "not-this", "version": "nor-this"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9090", "prometheus.io/path": "/m"},
        },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": image, "command": ["python3", "-c", EXPORTER]}],
        },
    }
    subprocess.run(
        ["kubectl", "apply", "-f", "-"], input=json.dumps(pod), text=True, check=True, env=environment(), timeout=60
    )
    sample = eventually(lambda: query(f'probe_total{{namespace="{namespace}"}}'), 60)[0]
    assert sample["metric"] | {"instance": ""} == {
        "__name__": "probe_total",
        "deployment": "a/b",
        "version": "v1",
        "namespace": namespace,
        "pod": "exporter",
        "job": "pods",
        "instance": "",
    }
    assert sample["value"][1] == "7"
    kubectl("-n", namespace, "delete", "pod", "exporter")
    eventually(lambda: not query(f'probe_total{{namespace="{namespace}"}}'), 60)
