"""Says in the store how far a run is (contracts.progress). Nothing rests on it: a store that fails, or is slow, costs a
run two seconds at most and is left alone from then on, by the component that saw it.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import get_args

import msgspec

from perennial.contracts import names
from perennial.contracts.pipelines import Component
from perennial.contracts.progress import Progress
from perennial_components import pod

PROGRESS_FILE = "PERENNIAL_PROGRESS_FILE"
"""Environment: where the runner and the components of a run keep its :class:`_State`; unset outside of the runner."""
EVERY = 5.0
"""Seconds from one writing within a component to the next, at least."""
_PATIENCE = 2.0


class _State(msgspec.Struct):
    """``uri`` is where to write; the component at work is the ``index``-th of ``components``, counted from 1."""

    uri: str
    components: int
    index: int = 0
    component: str = ""


class _Writing:
    """What this process knows of its writing."""

    last = -EVERY
    given_up = False


def begin(output: str, components: int, folder: Path) -> None:
    """Makes the components of this process's children tell how far they are, in the run's folder ``output``."""
    path = folder / "progress-state.json"
    path.write_bytes(msgspec.json.encode(_State(f"{output.rstrip('/')}/{names.FILE_PROGRESS}", components)))
    os.environ[PROGRESS_FILE] = str(path)


def end() -> None:
    """Undoes :func:`begin`."""
    os.environ.pop(PROGRESS_FILE, None)


def starts(component: str) -> None:
    """Tells that ``component`` is at work now."""
    if state := _state():
        state.component, state.index = component, state.index + 1
        Path(os.environ[PROGRESS_FILE]).write_bytes(msgspec.json.encode(state))
        _write(state)


def searching(
    trial: int, trials: int, metric: str, best: float | None, clock: Callable[[], float] = time.monotonic
) -> None:
    """Tells of a search, unless something was told within the last ``EVERY`` seconds."""
    if clock() - _Writing.last >= EVERY and (state := _state() or _in_kubeflow()):
        _write(state, trial, trials, metric, best)


def _state() -> _State | None:
    try:
        return msgspec.json.decode(Path(os.environ[PROGRESS_FILE]).read_bytes(), type=_State)
    except (KeyError, OSError, msgspec.DecodeError):
        return None


def _in_kubeflow() -> _State | None:
    """Of the search in a pod of Kubeflow's, which tells itself which component is at work."""
    folder = pod.folder()
    if folder is None:
        return None
    components = get_args(Component)
    return _State(f"{folder}/{names.FILE_PROGRESS}", len(components), components.index("tune") + 1, "tune")


def _write(state: _State, trial: int = 0, trials: int = 0, metric: str = "", best: float | None = None) -> None:
    if _Writing.given_up:
        return
    _Writing.last = time.monotonic()
    told = Progress(state.component, state.index, state.components, time.time(), trial, trials, metric, best)
    writer = Thread(target=_put, args=(state.uri, msgspec.json.encode(told)), daemon=True)
    writer.start()
    writer.join(_PATIENCE)
    if writer.is_alive():
        _give_up("the store takes its time")


def _put(uri: str, content: bytes) -> None:
    from perennial.contracts import objects  # noqa: PLC0415 - only runs that tell how far they are pay for it

    try:
        objects.write(uri, content, dict(os.environ))
    except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
        _give_up(type(error).__name__)


def _give_up(why: str) -> None:
    if not _Writing.given_up:
        _Writing.given_up = True
        print(f"it is not told how far the run is: {why}", file=sys.stderr)
