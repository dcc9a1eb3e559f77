"""One cgroup around the node's processes and pods, in v1 (every hierarchy has its own tree) and in v2.

It is named after the state folder, so that two nodes on one machine do not remove each other's pods."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from processes import wait_until

ROOT = Path("/sys/fs/cgroup")
NAME = Path(os.environ.get("PERENNIAL_STATE", "perennial-node")).name
CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "io", "hugetlb")


def unified() -> bool:
    """Whether this machine has cgroup v2 alone."""
    return (ROOT / "cgroup.controllers").exists()


def _hierarchies() -> Iterator[Path]:
    if unified():
        yield ROOT
        return
    for entry in sorted(ROOT.iterdir()):
        if entry.is_dir() and not entry.is_symlink() and (entry / "cgroup.procs").exists():
            yield entry


def _pass_on_controllers(group: Path) -> None:
    offered = (group / "cgroup.controllers").read_text().split()
    for controller in CONTROLLERS:
        if controller in offered:
            with contextlib.suppress(OSError):  # the kubelet names those that it misses
                (group / "cgroup.subtree_control").write_text(f"+{controller}")


def create() -> None:
    """Makes <root>/<name> for the pods and <root>/<name>/system for the node's own processes."""
    for hierarchy in _hierarchies():
        if unified():
            _pass_on_controllers(hierarchy)
        for group in (hierarchy / NAME, hierarchy / NAME / "system"):
            group.mkdir(exist_ok=True)
            for setting in ("cpuset.cpus", "cpuset.mems"):  # v1: no process may enter before they are set
                if not unified() and (group / setting).exists() and not (group / setting).read_text().strip():
                    (group / setting).write_text((group.parent / setting).read_text())
            if unified() and group.name == NAME:
                _pass_on_controllers(group)


def join() -> None:
    """Moves this process into the node's own group, so that a logout's clean-up does not take it along."""
    for hierarchy in _hierarchies():
        (hierarchy / NAME / "system" / "cgroup.procs").write_text(str(os.getpid()))


def groups() -> list[Path]:
    """Every cgroup of the node, the deepest first."""
    return [
        Path(folder)
        for hierarchy in _hierarchies()
        if (hierarchy / NAME).exists()
        for folder, _, _ in os.walk(hierarchy / NAME, topdown=False)
    ]


def remove() -> None:
    """Removes the node's cgroups; a group can be busy for a moment after its last process has ended."""

    def gone() -> bool:
        for group in groups():
            with contextlib.suppress(OSError):
                group.rmdir()
        return not groups()

    if not wait_until(gone, 10):
        raise TimeoutError(f"cgroups still in use: {', '.join(map(str, groups()))}")
