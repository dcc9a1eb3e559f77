"""A real etcd and kube-apiserver on 127.0.0.1, without a node: what tests/api runs against.

Nothing else of Kubernetes runs: no garbage collection, no Deployment or Job controller. Tests play those themselves.
"""

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext, create_default_context

import yaml
from kubernetes import client, config

from perennial.adapters.connection import Connection

ROOT = Path(__file__).parents[2]
ADMIN_TOKEN = "admin-of-the-test-server"
START_SECONDS = 60


@dataclass(frozen=True)
class ApiServer:
    """A running API server. ``kubeconfig`` is a file that holds its administrator."""

    host: str
    ca: Path
    kubeconfig: Path
    binaries: Path

    @property
    def cache(self) -> Path:
        """What kubectl remembers."""
        return self.kubeconfig.parent / "kubectl-cache"

    def connection(self) -> Connection:
        """As the administrator."""
        configuration = client.Configuration()
        config.load_kube_config(config_file=str(self.kubeconfig), client_configuration=configuration)
        return Connection.of(configuration)

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Runs kubectl as the administrator; ``--as`` among the arguments makes it anybody."""
        command = [
            str(self.binaries / "kubectl"),
            f"--kubeconfig={self.kubeconfig}",
            f"--cache-dir={self.cache}",
            *arguments,
        ]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=check, timeout=60)

    def create_namespace(self, name: str) -> None:
        """Makes a namespace; a twentieth of the time that kubectl takes."""
        body = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).encode()
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.host}/api/v1/namespaces", data=body, headers=headers)
        urllib.request.urlopen(request, context=create_default_context(cafile=str(self.ca)), timeout=30).close()


def binaries() -> Path:
    """The folder with etcd, kube-apiserver and kubectl; built when there is none (minutes, once)."""
    if given := os.environ.get("PERENNIAL_KUBE_BIN"):
        return Path(given)
    cache = Path(os.environ.get("PERENNIAL_CACHE", Path.home() / ".cache/perennial"))
    if not (found := _built(cache)):
        subprocess.run([ROOT / "hack/cluster/build", "node"], check=True)
        found = _built(cache)
    return max(found, key=lambda folder: folder.stat().st_mtime)


def _built(cache: Path) -> list[Path]:
    return [path.parent for path in cache.glob("bin/node-*/kube-apiserver")]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[ApiServer]:
    """Starts both in ``folder`` and ends them at the end. Raises RuntimeError with the log when they do not come up."""
    programs = binaries()
    etcd_port, peer_port, port = _free_ports(3)
    _keys(folder)
    etcd = [
        programs / "etcd", "--data-dir", folder / "etcd", "--unsafe-no-fsync", "--log-level", "warn",
        "--listen-client-urls", f"http://127.0.0.1:{etcd_port}", "--advertise-client-urls", f"http://127.0.0.1:{etcd_port}",
        "--listen-peer-urls", f"http://127.0.0.1:{peer_port}",
        "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer_port}",
        "--initial-cluster", f"default=http://127.0.0.1:{peer_port}",
    ]  # fmt: skip
    server = [
        programs / "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{etcd_port}", "--bind-address=127.0.0.1",
        f"--secure-port={port}", f"--cert-dir={folder}", f"--token-auth-file={folder / 'tokens'}",
        "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24", "--allow-privileged=false",
        "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={folder / 'sa.key'}",
        f"--service-account-signing-key-file={folder / 'sa.key'}", "--disable-admission-plugins=ServiceAccount",
        "--endpoint-reconciler-type=none", "--profiling=false",
    ]  # fmt: skip
    api = ApiServer(f"https://127.0.0.1:{port}", folder / "apiserver.crt", folder / "kubeconfig", programs)
    api.kubeconfig.write_text(_kubeconfig(api))
    with _process(etcd, folder / "etcd.log"), _process(server, folder / "apiserver.log") as process:
        _await_ready(api, process, folder / "apiserver.log")
        yield api


@contextlib.contextmanager
def _process(command: list[object], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen([str(each) for each in command], stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _await_ready(api: ApiServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    request = urllib.request.Request(f"{api.host}/readyz", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
    context: SSLContext | None = None
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, urllib.error.URLError):
            context = context or create_default_context(cafile=str(api.ca))
            with urllib.request.urlopen(request, context=context, timeout=5) as answer:
                if answer.status == 200:
                    return
        time.sleep(0.05)
    raise RuntimeError(f"kube-apiserver did not come up:\n{log.read_text()[-4000:]}")


def _keys(folder: Path) -> None:
    command = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(folder / "sa.key")]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "tokens").write_text(f'{ADMIN_TOKEN},admin,admin,"system:masters"\n')


def _kubeconfig(api: ApiServer) -> str:
    return yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": api.host, "certificate-authority": str(api.ca)}}],
        "users": [{"name": "admin", "user": {"token": ADMIN_TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
    })  # fmt: skip


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
