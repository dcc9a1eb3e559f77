"""Mounted Secrets and ConfigMaps, which Kubernetes replaces while we run."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

_SECONDS = 1.0
_DATA = "..data"
_logger = logging.getLogger(__name__)


def files(folder: Path) -> dict[str, Path]:
    """The files of a mounted folder by name; empty when it is not there.

    The kubelet swaps the link ``..data`` to a new folder: the paths are those behind it, so that all are of one age.
    """
    try:
        base = (folder / _DATA).resolve(strict=True) if (folder / _DATA).is_symlink() else folder
        return {path.name: path for path in sorted(base.iterdir()) if not path.name.startswith(".") and path.is_file()}
    except OSError:
        return {}


def fingerprint(folder: Path) -> object:
    """Differs from before when a file of ``folder`` was replaced, added or taken away."""
    return tuple((name, state(path)) for name, path in files(folder).items())


def state(path: Path) -> object:
    """Differs from before when ``path`` leads to another content; None when it leads nowhere."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


async def watch(*looks: Callable[[], None]) -> None:
    """Calls each of ``looks`` now and then every second, until it is cancelled."""
    while True:
        for look in looks:
            try:
                look()
            except Exception:
                _logger.exception("a mounted folder could not be read; what was read before stays")
        await asyncio.sleep(_SECONDS)
