"""Brings the node up or down: python3 hack/cluster/node up|down|init. Root only.

up is idempotent: with the node's init process alive it starts what is missing or has changed; without it (first start,
kill, reboot) it removes whatever is left and starts afresh.
"""

import contextlib
import fcntl
import json
import os
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import cgroups
import daemons
import pki
import processes

STATE = Path(os.environ["PERENNIAL_STATE"])
CACHE = Path(os.environ["PERENNIAL_CACHE"])
STARTED = time.monotonic()
# The daemons write to these paths whatever they are told; inside the node something of its own lies over them.
COVERED = {"/var/log": "host-log", "/var/lib/kubelet": "host-kubelet", "/var/lib/cni": "host-cni"}
# The kubelet insists on these and would set them for the whole machine; it finds files that already say so.
KERNEL = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def say(text: str) -> None:
    print(f"· {text} ({time.monotonic() - STARTED:.1f} s)", file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One `up` or `down` at a time; the kernel lets go of the lock when its holder is killed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{STATE.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def init_process() -> int | None:
    """The pid of the node's init process, None when the node is down."""
    return processes.find_init(f"{STATE}:init:", "pause")


def inside_init() -> None:
    """Runs as the first process of the new namespaces: nothing that is mounted from here on is seen outside."""
    cgroups.join()
    processes.mount("none", "/", flags=processes.MS_REC | processes.MS_SLAVE)
    processes.mount("none", "/", flags=processes.MS_REC | processes.MS_SHARED)
    processes.mount("proc", "/proc", "proc")
    processes.mount("tmpfs", "/run", "tmpfs", options="mode=0755")
    for parameter, value in KERNEL.items():
        file = Path("/run") / parameter.replace("/", ".")
        file.write_text(f"{value}\n")
        processes.mount(str(file), f"/proc/sys/{parameter}", flags=processes.MS_BIND)
    for path, own in COVERED.items():
        processes.mount(str(STATE / own), path, flags=processes.MS_BIND)


def start_init(pause: str) -> int:
    STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    for folder in ("log", "run", "cni", *COVERED.values()):
        (STATE / folder).mkdir(exist_ok=True)
    for path in COVERED:
        Path(path).mkdir(exist_ok=True)
    cgroups.create()
    log = STATE / "log" / "init.log"
    processes.spawn_init([pause], f"{STATE}:init:1", log, inside_init)
    if not processes.wait_until(lambda: init_process() is not None, 10):
        raise SystemExit(f"error: the node's namespaces cannot be made: {log.read_text().strip() or 'no reason given'}")
    return init_process() or 0


def connect_network(init: int) -> None:
    """A bridge stands in for the node's interface. There is no default route: no pod and no Service address leaves the
    machine. The Service range needs a route so that clients in the node reach kube-proxy's rules."""
    if f"{daemons.IP}/24" in processes.run_in_network(init, "ip", "-oneline", "address"):
        return
    commands = f"""link set lo up
link add node type bridge
link set node up
route add {daemons.SERVICE_CIDR} dev node
address add {daemons.IP}/24 dev node
"""
    processes.run_in_network(init, "ip", "-force", "-batch", "-", text=commands)
    processes.run_in_network(init, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Replaces the file as a whole, and only where its text differs."""
    with contextlib.suppress(OSError):
        if path.read_text() == text:
            return
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    part.rename(path)


def write_access() -> None:
    """Certificates, the daemons' kubeconfigs, and the one of the person at the keyboard."""
    pki.create(STATE / "pki", node=daemons.NAME, node_ip=daemons.IP, service_ip=daemons.SERVICE_IP)
    pki.create_front_proxy(STATE / "front-proxy")
    for user in ("admin", "kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns"):
        write(STATE / f"{user}.kubeconfig", pki.kubeconfig(STATE / "pki", user, daemons.API))
    outside = f"https://127.0.0.1:{os.environ['PERENNIAL_API_PORT']}"
    write(Path(os.environ["PERENNIAL_KUBECONFIG"]), pki.kubeconfig(STATE / "pki", "admin", outside))


def ensure(init: int, daemon: daemons.Daemon) -> None:
    """Starts the daemon unless exactly this one runs."""
    running = processes.find(f"{STATE}:{daemon.name}:", daemon.program)
    if running and running[1].endswith(f":{daemon.digest}"):
        return
    if running:
        say(f"{daemon.name} has changed: starting it again")
        processes.stop(running[0])
    for path, text in daemon.files.items():
        path.parent.mkdir(exist_ok=True)
        write(path, text, 0o644)

    def prepare() -> None:
        cgroups.join()
        processes.enter(init, processes.NAMESPACES)

    log = STATE / "log" / f"{daemon.name}.log"
    processes.spawn(daemon.argv, f"{STATE}:{daemon.name}:{daemon.digest}", log, prepare=prepare)


def fetch(path: str) -> bytes:
    """GETs a path of the API server as admin; this process must be in the node's network."""
    context = ssl.create_default_context(cafile=str(STATE / "pki" / "ca.crt"))
    context.load_cert_chain(STATE / "pki" / "admin.crt", STATE / "pki" / "admin.key")
    with urllib.request.urlopen(f"{daemons.API}{path}", context=context, timeout=5) as answer:
        return bytes(answer.read())


def succeeds(action: Callable[[], object]) -> bool:
    try:
        return bool(action())
    except (OSError, ValueError, subprocess.CalledProcessError):
        return False


def await_step(what: str, log: str, condition: Callable[[], object], seconds: float) -> None:
    if succeeds(condition):
        return
    if not processes.wait_until(lambda: succeeds(condition), seconds):
        path = STATE / "log" / f"{log}.log"
        tail = "\n".join(path.read_text(errors="replace").splitlines()[-5:]) if path.exists() else ""
        raise SystemExit(f"error: {what}: not within {seconds:.0f} s; the end of {path}:\n{tail}")
    say(what)


def containerd_images() -> str:
    command = ["ctr", "--address", f"{STATE}/run/containerd.sock", "--namespace", "k8s.io", "images", "ls", "--quiet"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout


def node_ready() -> bool:
    conditions = json.loads(fetch(f"/api/v1/nodes/{daemons.NAME}"))["status"]["conditions"]
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def check_machine() -> str:
    if os.geteuid() != 0:
        raise SystemExit("error: without Docker the node needs root: sudo make cluster")
    needed = ("containerd", "ctr", "runc", "iptables", "ip", "openssl", "nsenter", "/usr/lib/cni/ptp")
    missing = [program for program in needed if shutil.which(program, path=processes.PATH) is None]
    if missing:
        raise SystemExit(f"error: programs missing: {', '.join(missing)}; run hack/system-packages")
    return shutil.which("containerd", path=processes.PATH) or ""


def up() -> None:
    """Starts what is missing: the API server and containerd first, then what waits for them."""
    containerd = check_machine()
    programs, dns, pause = (Path(os.environ[f"PERENNIAL_{name}_BIN"]) for name in ("NODE", "COREDNS", "PAUSE"))
    init = init_process()
    if init is None:
        if STATE.exists():
            say("removing what an ended node left behind")
            clean()
        init = start_init(f"{pause}/pause")
    connect_network(init)
    write_access()
    ensure(init, daemons.etcd(STATE, programs))
    ensure(init, daemons.apiserver(STATE, programs))
    ensure(init, daemons.containerd(STATE, containerd))
    processes.enter(init, processes.CLONE_NEWNET)
    await_step("API server ready", "kube-apiserver", lambda: fetch("/readyz"), 60)
    for daemon in daemons.controllers(STATE, programs):
        ensure(init, daemon)
    await_step("containerd ready", "containerd", lambda: containerd_images() or True, 30)
    ensure(init, daemons.kubelet(STATE, programs, cgroups.NAME))
    ensure(init, daemons.proxy(STATE, programs))
    ensure(init, daemons.coredns(STATE, dns))
    await_step("node ready", "kubelet", node_ready, 90)


def clean() -> None:
    """Ends every process of the node and removes its cgroups and files. With the init process the kernel ends all that
    ran in its namespaces; forwarders run outside of them."""
    init = init_process()
    if init is not None:
        processes.stop(init, hard=True, patience=20)
    for pid, _ in list(processes.marked(f"{STATE}:")):
        processes.stop(pid, hard=True)
    cgroups.remove()
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if f" {STATE}/" in line]
    if mounted:
        raise SystemExit(f"error: still mounted, not removing {STATE}: {' '.join(mounted)}")
    if STATE.exists():
        shutil.rmtree(STATE)
    if not any(":init:" in mark for _, mark in processes.marked("/")):  # another node lies over these paths, too
        for path in ("/var/lib/kubelet", "/var/lib/cni"):
            with contextlib.suppress(OSError):  # somebody else's: not empty
                Path(path).rmdir()


def main() -> None:
    verb = sys.argv[1] if len(sys.argv) == 2 else ""
    if verb == "init":
        print(init_process() or "")
    elif verb == "up":
        with locked():
            up()
    elif verb == "down":
        if os.geteuid() != 0:
            raise SystemExit("error: the node needs root: sudo make cluster-down")
        with locked():
            clean()
            Path(os.environ["PERENNIAL_KUBECONFIG"]).unlink(missing_ok=True)
    else:
        raise SystemExit("usage: python3 hack/cluster/node up|down|init")


if __name__ == "__main__":
    main()
