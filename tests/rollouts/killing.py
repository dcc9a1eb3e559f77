"""The operator's process on this machine, killed again and again."""

import asyncio
import os
import random
import signal
from pathlib import Path

from hack.demo.stage import Stage, run

LOOP = "while :; do /opt/perennial/bin/python -m perennial; done"


async def restart_at_once(stage: Stage) -> None:
    """The operator's process starts again the moment it is killed: the kubelet would wait longer each time."""
    patch = f'[{{"op":"add","path":"/spec/template/spec/containers/0/command","value":["/bin/sh","-c","{LOOP}"]}}]'
    name = (await run("kubectl", "-n", stage.system, "get", "deployment", "-o", "name")).strip()
    await run("kubectl", "-n", stage.system, "patch", name, "--type=json", "-p", patch)
    await run("kubectl", "-n", stage.system, "rollout", "status", name, "--timeout=120s")


async def kill_operator_again_and_again(stage: Stage, shortest: float = 4, longest: float = 9) -> None:
    """SIGKILL after times (s) between these, for as long as this is awaited."""
    dice = random.Random(7)
    while True:
        await asyncio.sleep(dice.uniform(shortest, longest))
        for pid in operator_processes(stage):
            os.kill(pid, signal.SIGKILL)


def operator_processes(stage: Stage) -> list[int]:
    """The processes of this stage's operator on this machine."""
    mark = f"PERENNIAL_LEASE_NAMESPACE={stage.system}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
        if arguments.split(b"\0")[1:3] == [b"-m", b"perennial"] and mark in environment.split(b"\0"):
            found.append(int(folder.name))
    return found
