"""What the process uses, and what its container may use: told at each scrape, for a limit may change while it runs."""

import os
from collections.abc import Iterator
from pathlib import Path
from time import process_time

from perennial.contracts import names

_NO_LIMIT = 2**60
"""Bytes; version 1 of cgroups has no word for it, only a number beyond all memory."""


class Usage:
    """CPU and memory by ``/proc`` and by the container's cgroup, version 2 or 1, as ``/sys/fs/cgroup`` shows it."""

    def __init__(self, groups: Path = Path("/sys/fs/cgroup"), statm: Path = Path("/proc/self/statm")) -> None:
        self._groups, self._statm = groups, statm

    def read(self) -> Iterator[tuple[str, float]]:
        """Metrics with their values; what is unknown, or not limited, is left out."""
        found = {
            names.METRIC_CPU: process_time(),
            names.METRIC_CPU_LIMIT: self._cores(),
            names.METRIC_MEMORY: self._resident(),
            names.METRIC_MEMORY_LIMIT: self._bytes(),
        }
        return ((name, value) for name, value in found.items() if value is not None)

    def _cores(self) -> float | None:
        quota, _, period = _text(self._groups / "cpu.max").partition(" ")
        if not period:
            quota, period = (_text(self._groups / "cpu" / f"cpu.cfs_{part}_us") for part in ("quota", "period"))
        return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None

    def _bytes(self) -> int | None:
        limit = _text(self._groups / "memory.max") or _text(self._groups / "memory" / "memory.limit_in_bytes")
        return int(limit) if limit.isdigit() and int(limit) < _NO_LIMIT else None

    def _resident(self) -> int | None:
        pages = _text(self._statm).split()
        return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else None


def _text(path: Path) -> str:
    """The file's content; "" when there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
