"""The node's life: killed half-way it recovers, and down leaves nothing.

On a node of its own (state, ports and kubeconfig), so that the cluster somebody works with stays as it is. Needs root,
and no Docker engine: with one, the node is kind's.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.shell import HACK, run

sys.path.insert(0, str(HACK / "cluster" / "node"))
import processes

STATE = Path("/var/lib/perennial-try")
PORTS = {"PERENNIAL_API_PORT": "26443", "PERENNIAL_PROMETHEUS_PORT": "29090", "PERENNIAL_S3_PORT": "27070"}
UP, DOWN = str(HACK / "cluster" / "up"), str(HACK / "cluster" / "down")
DAEMONS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "containerd",
    "kubelet",
    "kube-proxy",
    "coredns",
)

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the bare node needs root"),
    pytest.mark.skipif(
        subprocess.run("docker info", shell=True, check=False, capture_output=True).returncode == 0,
        reason="kind's node",
    ),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module", autouse=True)
def own_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    kubeconfig = tmp_path_factory.mktemp("node") / "kubeconfig"
    patch = pytest.MonkeyPatch()
    for name, value in {"PERENNIAL_STATE": str(STATE), "PERENNIAL_KUBECONFIG": str(kubeconfig), **PORTS}.items():
        patch.setenv(name, value)
    run(DOWN)
    yield
    run(DOWN)
    patch.undo()


def kubectl(*arguments: str) -> str:
    return run("bash", "-c", 'eval "$("$0" )"; exec kubectl "$@"', HACK / "cluster" / "env", *arguments)


def pids() -> dict[str, int]:
    found = {name: processes.find(f"{STATE}:{name}:", name) for name in DAEMONS}
    return {name: process[0] for name, process in found.items() if process}


def traces() -> dict[str, object]:
    """All that a node could leave on the machine outside of its state folder."""
    mounts = Path("/proc/mounts").read_text().splitlines()
    return {
        "processes": sorted(pid for pid, _ in processes.marked(f"{STATE}:")),
        "mounts": [line for line in mounts if str(STATE) in line],
        "cgroups": sorted(str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{STATE.name}")),
        "networks": run("ip", "netns", "list"),
        "links": sorted(line.split(":")[1] for line in run("ip", "-oneline", "link").splitlines()),
        "rules": [line for line in run("iptables-save").splitlines() if not line.startswith("#")],
        "folders": [path for path in ("/run/containerd", "/opt/containerd", "/var/log/pods") if Path(path).exists()],
        "kernel": [Path(f"/proc/sys/{name}").read_text() for name in ("vm/overcommit_memory", "kernel/panic")],
        "state": STATE.exists(),
    }


def kill_at(reached: Callable[[str], bool], log: Path) -> None:
    """Starts `up` and kills it, with all that it has started in the foreground, as soon as it has come that far."""
    with log.open("w") as out, subprocess.Popen([UP], stderr=out, start_new_session=True) as starting:
        while not reached(log.read_text()):
            assert starting.poll() is None, f"it ended before it was killed: {log.read_text()}"
            time.sleep(0.01)
        os.killpg(starting.pid, signal.SIGKILL)


def assert_it_works() -> None:
    assert "True" in kubectl(
        "get", "node", "perennial", "-o", 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
    )
    kubectl("-n", "infra", "rollout", "status", "deployment/s3", "--timeout=60s")
    assert set(pids()) == set(DAEMONS)


POINTS: dict[str, Callable[[str], bool]] = {
    "the certificates are being made": lambda _: (STATE / ".pki.part" / "ca.crt").exists(),
    "etcd has just started": lambda _: "etcd" in pids(),
    "the API server is ready": lambda _: "kube-scheduler" in pids(),
    "the kubelet has just started": lambda _: "kubelet" in pids(),
    "images are being loaded": lambda said: "loaded localhost/pause" in said,
}


def test_killed_half_way_it_recovers_and_down_leaves_nothing(tmp_path: Path) -> None:
    before = traces()
    assert before["processes"] == []
    assert not before["state"]
    for reached in POINTS.values():
        kill_at(reached, tmp_path / "up.log")
    run(UP)
    assert_it_works()
    run(DOWN)
    assert traces() == before


@pytest.mark.parametrize("point", POINTS)
def test_down_after_a_start_that_was_killed_leaves_nothing(point: str, tmp_path: Path) -> None:
    before = traces()
    kill_at(POINTS[point], tmp_path / "up.log")
    run(DOWN)
    assert traces() == before


def test_a_running_node_stays_as_it_is_and_dead_daemons_come_back() -> None:
    run(UP)
    before = pids()
    kubectl("create", "configmap", "witness", "--from-literal=a=b")
    run(UP)
    assert pids() == before
    for name in ("etcd", "kube-apiserver", "containerd", "kubelet"):
        os.kill(before[name], signal.SIGKILL)
    run(UP)
    assert_it_works()
    after = pids()
    assert {name for name in DAEMONS if after[name] == before[name]} >= {"kube-proxy", "coredns"}
    assert "witness" in kubectl("get", "configmap", "witness", "-o", "name")


def test_without_its_first_process_it_starts_afresh() -> None:
    run(UP)
    kubectl("create", "configmap", "of-the-old-node")
    init = processes.find_init(f"{STATE}:init:", "pause")
    assert init is not None
    processes.stop(init, hard=True)
    assert pids() == {}
    run(UP)
    assert_it_works()
    assert "of-the-old-node" not in kubectl("get", "configmaps", "-o", "name")
