"""A Prometheus of the ward's own, which may be ended without taking it from everybody."""

import re
from pathlib import Path
from typing import Any

from hack.demo.stage import run
from tests.drift.node.scene import Json
from tests.rollouts.ward import Ward

POD = "app=prometheus"
CONFIGURATION = """
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- job_name: pods
  dns_sd_configs: [{names: [predictors.NAMESPACE.svc.cluster.local], type: A, port: 9090, refresh_interval: 1s}]
"""


async def own_prometheus(ward: Ward) -> None:
    """In the place of the way to everybody's; it finds predictors by the Service ``predictors``."""
    namespace = ward.stage.namespace
    image = (
        await run(
            "kubectl", "-n", "infra", "get", "deployment", "prometheus",
            "-o", "jsonpath={.spec.template.spec.containers[0].image}",
        )
    ).strip()  # fmt: skip
    text = CONFIGURATION.replace("NAMESPACE", namespace)
    await ward.delete("deployment", "prometheus")
    await ward.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "prometheus"}, "data": {"prometheus.yml": text}},
        _prometheus(image),
    )
    await find_predictors(ward)
    await prometheus_runs(ward)


async def find_predictors(ward: Ward) -> None:
    """Predictors are scraped from now on."""
    spec = {
        "clusterIP": "None", "publishNotReadyAddresses": True, "ports": [{"port": 9090}],
        "selector": {"app.kubernetes.io/name": "predictor"},
    }  # fmt: skip
    await ward.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "predictors"}, "spec": spec})


async def lose_predictors(ward: Ward) -> None:
    """Nothing is scraped any more."""
    await ward.delete("service", "predictors")


async def prometheus_away(ward: Ward) -> None:
    """It ends, and its data goes with it."""
    await run("kubectl", "-n", ward.stage.namespace, "scale", "deployment/prometheus", "--replicas=0")
    await ward._proxies(0)


async def prometheus_runs(ward: Ward) -> None:
    """It is there, with the data that it has."""
    await run("kubectl", "-n", ward.stage.namespace, "scale", "deployment/prometheus", "--replicas=1")
    await ward._proxies(1)


def only(processes: list[int], pattern: str) -> list[int]:
    """Those of the processes whose command is like ``pattern``: a pod has a pause container, too."""
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in processes}
    return [pid for pid, command in commands.items() if re.search(pattern, command)]


def _prometheus(image: str) -> Json:
    labels = {"app": "prometheus"}
    container: dict[str, Any] = {
        "name": "prometheus", "image": image, "imagePullPolicy": "IfNotPresent",
        "args": [
            "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/data", "--web.listen-address=:9090",
        ],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "configuration", "mountPath": "/etc/prometheus", "readOnly": True},
            {"name": "data", "mountPath": "/data"},
        ],
    }  # fmt: skip
    pod = {
        "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False, "containers": [container],
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": [{"name": "configuration", "configMap": {"name": "prometheus"}}, {"name": "data", "emptyDir": {}}],
    }  # fmt: skip
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "prometheus"}, "spec": spec}
