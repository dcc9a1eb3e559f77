"""The node's processes: started in namespaces of their own, found again by a mark in their environment.

No pid files: after a kill -9 or a reboot they name somebody else's process. A process is ours if its environment
carries MARK=<state folder>:<name>:<digest of what it was started with>, and it still runs the program of that name.

The node is one PID, mount and network namespace around an init process. When that ends, the kernel ends everything in
it, pods included, and takes mounts, interfaces and iptables rules along.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

MARK = "PERENNIAL_NODE"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
NAMESPACES = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET
MS_BIND, MS_REC, MS_SLAVE, MS_SHARED = 4096, 16384, 1 << 19, 1 << 20

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def enter(pid: int, namespaces: int) -> None:
    """Moves this process into the namespaces of another; a PID namespace counts for children alone."""
    handle = os.pidfd_open(pid)
    try:
        _checked(_libc.setns(handle, namespaces), f"cannot enter the namespaces of process {pid}")
    finally:
        os.close(handle)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2); raises OSError with the target in its message."""
    arguments = (source.encode(), target.encode(), kind.encode(), flags, options.encode())
    _checked(_libc.mount(*arguments), f"cannot mount on {target}")


def marked(prefix: str) -> Iterator[tuple[int, str]]:
    """Yields (pid, mark) of every process whose mark begins with prefix."""
    wanted = f"{MARK}={prefix}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it has ended meanwhile
            environment = (entry / "environ").read_bytes()
            if wanted in environment:
                for variable in environment.split(b"\0"):
                    if variable.startswith(wanted):
                        yield int(entry.name), variable.decode(errors="replace").removeprefix(f"{MARK}=")


def program_of(pid: int) -> str:
    """The name of the program that a process runs, empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/exe").readlink().name.removesuffix(" (deleted)")
    except OSError:
        return ""


def find(mark_prefix: str, program: str) -> tuple[int, str] | None:
    """The process that carries the mark and runs the program: (pid, mark)."""
    found = sorted((pid, mark) for pid, mark in marked(mark_prefix) if program_of(pid) == program)
    return found[0] if found else None


def find_init(mark_prefix: str, program: str) -> int | None:
    """The process with the mark that is the first of its own PID namespace."""
    for pid, _ in marked(mark_prefix):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
            if len(numbers) > 1 and numbers[-1] == "1" and program_of(pid) == program:
                return pid
    return None


def stop(pid: int, *, hard: bool = False, patience: float = 5.0) -> None:
    """Ends one process: by SIGTERM and after `patience` seconds by SIGKILL. Returns when it is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGKILL,) if hard else (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            poll = select.poll()  # readable once it has ended, for an init process: once all of its namespace has
            poll.register(handle, select.POLLIN)
            if poll.poll(patience * 1000):
                return
    finally:
        os.close(handle)
    raise TimeoutError(f"process {pid} does not end")


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Polls the condition ten times a second; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _become(argv: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
    os.setsid()
    os.chdir("/")
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.closerange(3, 1024)
    os.execve(argv[0], list(argv), dict(environment))


def spawn(
    argv: Sequence[str], mark: str, log: Path, *, prepare: Callable[[], None], first: Callable[[], None] = lambda: None
) -> None:
    """Starts a process that outlives this one. `prepare` runs in its parent (it enters or makes namespaces), `first` in
    the process itself before the program takes over. A failure of either stands in the log."""
    environment = {"PATH": PATH, "HOME": "/root", MARK: mark}
    log_file = log.open("a")
    child = os.fork()
    if child:
        log_file.close()
        os.waitpid(child, 0)
        return
    try:
        prepare()
        if os.fork() == 0:
            first()
            _become(argv, environment, log)
    except BaseException as error:  # noqa: BLE001 - it must not run on as a second `up`
        print(f"cannot start {argv[0]}: {error}", file=log_file, flush=True)
    finally:
        os._exit(0)


def spawn_init(argv: Sequence[str], mark: str, log: Path, setup: Callable[[], None]) -> None:
    """Starts the init process of new namespaces; `setup` runs inside them and arranges the mounts."""

    def isolate() -> None:
        _checked(_libc.unshare(NAMESPACES), "cannot make namespaces")

    spawn(argv, mark, log, prepare=isolate, first=setup)


def run_in_network(pid: int, *command: str, text: str | None = None) -> str:
    """Runs a command in the network of a process. Not `ip netns exec`: that remounts /sys and hides the cgroups.

    Raises subprocess.CalledProcessError; its stderr says why."""
    argv = ["nsenter", f"--net=/proc/{pid}/ns/net", *command]
    return subprocess.run(argv, check=True, capture_output=True, text=True, input=text).stdout
