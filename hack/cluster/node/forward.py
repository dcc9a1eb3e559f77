"""Offers an address of the cluster on 127.0.0.1: hack/cluster/forward NAME LOCAL_PORT TARGET | NAME stop

TARGET is NAMESPACE/SERVICE:PORT (its ClusterIP, so every new connection meets any of its pods) or ADDRESS:PORT inside
the node. The forwarder runs in the background until `stop`, or until the node ends. Calling it again changes nothing
unless port or target have moved.

It listens in the machine's network and connects in the node's: a socket belongs to the network that it was made in.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import processes

STATE = os.environ.get("PERENNIAL_STATE", "")
KUBECTL = str(Path(os.environ.get("PERENNIAL_NODE_BIN", "")) / "kubectl")


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies until the source ends, then ends the destination's half."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()


async def serve(listener: socket.socket, host: str, port: int, network: int) -> None:
    """Accepts and forwards until the process `network`, in whose network this one connects, has ended."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_writer = None
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        except OSError:
            pass  # nobody listens there now: the client sees its connection closed
        finally:
            for each in (writer, far_writer):
                if each is not None:
                    each.close()

    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(os.pidfd_open(network), ended.set)
    async with await asyncio.start_server(forward, sock=listener):
        await ended.wait()
        os._exit(0)  # without waiting for the connections that are open: they lead nowhere now


def network_process() -> int:
    """A process in the cluster's network: the node's init, or that of kind's container."""
    own = processes.find_init(f"{STATE}:init:", "pause")
    if own is not None:
        return own
    name = f"{os.environ['PERENNIAL_KIND_NAME']}-control-plane"
    command = ["docker", "inspect", "--format", "{{.State.Pid}}", name]
    if shutil.which("docker"):
        answer = subprocess.run(command, check=False, capture_output=True, text=True)
        if answer.returncode == 0 and int(answer.stdout) > 0:
            return int(answer.stdout)
    raise SystemExit("error: no cluster is up: make cluster")


def resolve(target: str) -> tuple[str, int]:
    """ADDRESS:PORT as it is, NAMESPACE/SERVICE:PORT by the Service's ClusterIP."""
    match = re.fullmatch(r"(?:([a-z0-9-]+)/)?([a-z0-9.-]+):(\d+)", target)
    if not match:
        raise SystemExit(f"error: {target}: neither NAMESPACE/SERVICE:PORT nor ADDRESS:PORT")
    namespace, host, port = match[1], match[2], int(match[3])
    if namespace:
        command = [KUBECTL, f"--kubeconfig={os.environ['PERENNIAL_KUBECONFIG']}", f"--namespace={namespace}"]
        command += ["get", "service", host, "--output=json"]
        answer = subprocess.run(command, check=False, capture_output=True, text=True)
        if answer.returncode != 0:
            raise SystemExit(f"error: {answer.stderr.strip()}")
        address = json.loads(answer.stdout)["spec"].get("clusterIP", "None")
        if address == "None":
            raise SystemExit(f"error: {target} has no ClusterIP to forward to")
        host = address
    return host, port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def command_for(local: int, target: str) -> tuple[str, list[str]]:
    """What the forwarder is started with: (the same text for as long as it need not change, command line)."""
    if os.geteuid() != 0:  # kind without root: its network cannot be entered; all connections meet one of the pods
        namespace, _, service = target.partition("/")
        service, _, port = service.partition(":")
        access = [f"--kubeconfig={os.environ['PERENNIAL_KUBECONFIG']}", f"--namespace={namespace}"]
        what = ["--address=127.0.0.1", f"service/{service}", f"{local}:{port}"]
        return target, [KUBECTL, *access, "port-forward", *what]
    network, (host, number) = network_process(), resolve(target)
    argv = [sys.executable, __file__, "serve", str(local), host, str(number), str(network)]
    return f"{network}/{local}/{host}:{number}", argv


def start(name: str, local: int, target: str) -> None:
    """Starts the forwarder in the background and waits until it listens."""
    described, argv = command_for(local, target)
    mark = f"{STATE}:forward-{name}:{described}"
    running = dict(processes.marked(f"{STATE}:forward-{name}:"))
    if list(running.values()) == [mark]:
        return
    for pid in running:
        processes.stop(pid)
    if listens(local):
        raise SystemExit(f"error: port {local} of 127.0.0.1 is taken (for {name}); choose another")
    log = Path(os.environ["PERENNIAL_CACHE"]) / f"{Path(STATE).name}-forward-{name}.log"
    log.write_text("")
    processes.spawn(argv, mark, log, prepare=lambda: None)
    if not processes.wait_until(lambda: listens(local), 10):
        raise SystemExit(f"error: cannot forward {name}: {log.read_text().strip()}")


def become_forwarder(local: int, host: str, port: int, network: int) -> None:
    """Runs as the forwarder itself until the network's process ends."""
    listener = socket.create_server(("127.0.0.1", local))
    processes.enter(network, processes.CLONE_NEWNET)
    asyncio.run(serve(listener, host, port, network))


def main(arguments: list[str]) -> None:
    match arguments:
        case ["serve", local, host, port, network]:
            become_forwarder(int(local), host, int(port), int(network))
        case [name, "stop"]:
            for pid, _ in list(processes.marked(f"{STATE}:forward-{name}:")):
                processes.stop(pid)
        case [name, local, target] if local.isdigit():
            start(name, int(local), target)
        case _:
            raise SystemExit("usage: hack/cluster/forward NAME LOCAL_PORT TARGET | hack/cluster/forward NAME stop")


if __name__ == "__main__":
    main(sys.argv[1:])
