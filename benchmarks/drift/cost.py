"""What monitors cost: ``python -m benchmarks.drift.cost``.

A real Prometheus holds the counters of a fleet; the operator's own reconciler, controller and Prometheus client judge
it, with as many workers as the operator has. The API server and the store are in memory, so that what calls to them
cost is left out. CPU is that of the whole process around all that one chunk's close leads to, in a process of its own.
"""

import asyncio
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.drift.fleet import CHUNKS, CLOSES, FEATURES, INTERVAL, SERIES, STEP, Fleet, World, end, fill
from perennial.adapters.prometheus import Prometheus
from perennial.domain.drift.queries import chunk_query
from perennial.reconcile.apply import Applier
from perennial.reconcile.controller import Context
from perennial.reconcile.counters import TOGETHER
from perennial.reconcile.drift import MonitorController
from perennial.reconcile.loop import Reconciler
from perennial.reconcile.queue import Key
from perennial.settings import Settings
from perennial.telemetry import Metrics
from tests.drift.prometheus import prometheus

RESULTS = Path(__file__).parents[1] / "results" / "drift.json"
SIZES = {10: 10, 100: 2, 1000: 1}
"""Monitors, and how often each fleet is measured: the small ones are over too soon to be measured once."""
DENSE = 50
ROWS, BUSY = 1.0, 1000.0
"""Predictions a second of a deployment, and how many times as many where there is much traffic."""
WORKERS = Settings.workers
GOALS = {"cpu_ms_per_monitor": 5.0, "queries_per_100_monitors": 5.0}

Figures = dict[str, float]


def _to_nobody(_text: str) -> None: ...


def measure(sizes: Iterable[int] = tuple(SIZES), tell: Callable[[str], None] = _to_nobody) -> dict[str, Any]:
    """CPU, queries and samples by size of the fleet and by traffic, a restart, memory, and a report's cost.

    ``tell`` hears what is done next; all takes a quarter of an hour, most of it to write the samples and to read 1,000
    windows back.
    """
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(sorted(sizes), Path(folder), tell))


async def _measure(sizes: list[int], folder: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    calm = Fleet("calm", max(sizes), ROWS, dense=DENSE)
    few = min(100, max(sizes))
    busy = Fleet("busy", few, ROWS * BUSY)
    (folder / "data").mkdir()
    async with (
        prometheus(folder / "data", "--web.enable-remote-write-receiver") as url,
        aiohttp.ClientSession() as session,
    ):
        tell(f"samples of {calm.size + busy.size} predictors")
        await fill(session, url, (calm, busy))
        fleets, traffic = {}, {}
        for size in sizes:
            tell(f"{size} monitors")
            fleets[size] = await _apart(url, Fleet(calm.namespace, size, ROWS), SIZES.get(size, 1))
        for rows, each in _by_traffic(few):
            tell(f"{few} monitors, {rows:g} rows a second")
            traffic[f"{rows:g}"] = await _apart(url, each, SIZES.get(few, 1))
        tell(f"a restart with {min(DENSE, calm.size)} monitors")
        restart = await _apart(url, Fleet(calm.namespace, min(DENSE, calm.size), ROWS), 1)
    largest = fleets[max(sizes)]
    return {
        "cpu_ms_per_monitor": max(each["cpu_ms_per_monitor"] for each in fleets.values()),
        "queries_per_100_monitors": largest["queries_per_100_monitors"],
        "features": FEATURES, "series_per_pod": SERIES, "chunks": CHUNKS, "workers": WORKERS,
        "monitors": {str(size): each for size, each in fleets.items()},
        "rows_per_second": traffic,
        # The others' older chunks have one scrape each, so that only this one's windows are as large as real ones.
        "restart": {name: value for name, value in restart.items() if name.startswith("restart")},
    }  # fmt: skip


def _by_traffic(size: int) -> list[tuple[float, Fleet]]:
    return [(ROWS, Fleet("calm", size, ROWS)), (ROWS * BUSY, Fleet("busy", size, ROWS * BUSY))]


async def _apart(url: str, fleet: Fleet, times: int) -> Figures:
    """In a process of its own, whose memory and CPU are nobody else's; the mean of ``times`` times."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, run, url, fleet, times)


def run(url: str, fleet: Fleet, times: int) -> Figures:
    """The figures of ``fleet``, whose samples the Prometheus at ``url`` holds."""

    async def all_times() -> Figures:
        found = [await Operator(url, fleet).figures() for _ in range(times)]
        # The process has the memory of the first time for the others.
        means = {name: sum(each[name] for each in found) / times for name in found[0]}
        return {name: round(value, 3) for name, value in {**means, "memory_mib": found[0]["memory_mib"]}.items()}

    return asyncio.run(all_times())


class Operator:
    """All of the operator that monitors need, begun anew."""

    def __init__(self, url: str, fleet: Fleet) -> None:
        self.url, self.fleet, self.world = url, fleet, World(fleet)
        self._now = 0.0

    async def figures(self) -> Figures:
        """Of a restart, of a chunk's close after it, and of one in which every verdict changes."""
        before = _resident()
        api: Any = self.world
        size = self.fleet.size
        async with Prometheus(self.url) as client, aiohttp.ClientSession() as session:
            context = Context(api, client, api, Any, Any)  # type: ignore[arg-type]
            metrics, clock = Metrics(), lambda: datetime.fromtimestamp(self._now, UTC)
            controllers = {"DriftMonitor": MonitorController()}
            reconciler = Reconciler(context, controllers, Applier(api, Any, "bench"), metrics, clock)
            restart = await self._close(session, reconciler, 0)
            await self._close(session, reconciler, 1)
            told_before = self.world.reports
            steady = await self._close(session, reconciler, CLOSES - 1)
            memory = _resident() - before
            self.world.check_judged()
            reports = self.world.reports
            told = await self._told(session, reconciler)
        assert self.world.reports == reports + size, "a report each"
        return {
            "cpu_ms_per_monitor": 1000 * steady["cpu"] / size,
            "wall_ms_per_monitor": 1000 * steady["seconds"] / size,
            "queries_per_100_monitors": 100 * steady["queries"] / size,
            "samples_per_monitor": await _samples(self.url, self.fleet, 1),
            "prometheus_cpu_ms_per_monitor": 1000 * steady["prometheus_cpu"] / size,
            "reports": reports - told_before,
            "memory_mib": memory,
            "report_cpu_ms_per_monitor": 1000 * told["cpu"] / size,
            "restart_monitors": size,
            "restart_queries": restart["queries"],
            "restart_seconds": restart["seconds"],
            "restart_samples_per_monitor": await _samples(self.url, self.fleet, CHUNKS),
            "restart_cpu_ms_per_monitor": 1000 * restart["cpu"] / size,
            "restart_prometheus_cpu_ms_per_monitor": 1000 * restart["prometheus_cpu"] / size,
        }

    async def _told(self, session: aiohttp.ClientSession, reconciler: Reconciler) -> Figures:
        """Judged again from what is known, as if nothing had been said yet: each verdict is new, and is reported."""
        for at in range(self.fleet.size):
            self.world.forget_verdict(*self.fleet.subject(at))
        return await self._close(session, reconciler, CLOSES - 1)

    async def _close(self, session: aiohttp.ClientSession, reconciler: Reconciler, close: int) -> Figures:
        """What it takes until nothing is to be done any more for the chunk that has just closed."""
        self._now = end(close) + 2 * INTERVAL + 1.0
        waiting = iter([("DriftMonitor", *self.fleet.subject(at)) for at in range(self.fleet.size)])
        before = await _asked(session, self.url)
        cpu, seconds = time.process_time(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(_work(reconciler, waiting))
        found = {"cpu": time.process_time() - cpu, "seconds": time.perf_counter() - seconds}
        after = await _asked(session, self.url)
        return {**found, **{name: after[name] - before[name] for name in after}}


async def _work(reconciler: Reconciler, waiting: Iterable[Key]) -> None:
    for key in waiting:
        while (await reconciler.reconcile(key)).changed:
            pass


async def _asked(session: aiohttp.ClientSession, url: str) -> Figures:
    """What Prometheus says of itself: queries answered, its CPU seconds."""
    async with session.get(f"{url}/metrics") as answer:
        text = await answer.text()
    found = {"queries": 0.0, "prometheus_cpu": 0.0}
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("prometheus_http_requests_total") and "/api/v1/query" in name:
            found["queries"] += float(value)
        elif name == "process_cpu_seconds_total":
            found["prometheus_cpu"] = float(value)
    return found


async def _samples(url: str, fleet: Fleet, chunks: int) -> float:
    """Of a monitor: what Prometheus says that it reads to answer for the newest ``chunks``. Its own /metrics tell this
    in newer versions only.
    """
    together = min(TOGETHER, fleet.size) if chunks == 1 else 1
    names = [fleet.subject(at) for at in range(together)]
    query = chunk_query([(f"{namespace}/{name}", f"{name}-v1") for namespace, name in names], 1000 * STEP)
    last = end(CLOSES - 1) if chunks == 1 else end(0)
    form = {"query": query, "start": last - (chunks - 1) * STEP, "end": last, "step": STEP, "stats": "all"}
    async with aiohttp.ClientSession() as session, session.post(f"{url}/api/v1/query_range", data=form) as answer:
        found = await answer.json()
    return float(found["data"]["stats"]["samples"]["totalQueryableSamples"]) / together


def _resident() -> float:
    """MiB of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def table(found: dict[str, Any]) -> Table:
    """The result for a terminal."""
    shown = Table(box=box.SIMPLE_HEAD, title="Monitors of 20 features at a chunk's close", title_justify="left")
    columns = {
        "CPU ms": "cpu_ms_per_monitor", "with a report": "report_cpu_ms_per_monitor",
        "queries for 100": "queries_per_100_monitors", "samples": "samples_per_monitor",
        "Prometheus' CPU ms": "prometheus_cpu_ms_per_monitor", "memory MiB": "memory_mib",
        "restart: queries": "restart_queries", "s": "restart_seconds",
    }  # fmt: skip
    for name in ("", *columns):
        shown.add_column(name, justify="right" if name else "left")
    rows = [(f"{size} monitors", each) for size, each in found["monitors"].items()]
    rows += [(f"{rows} rows a second", each) for rows, each in found["rows_per_second"].items()]
    for title, each in rows:
        shown.add_row(title, *(f"{each[name]:,.1f}" for name in columns.values()))
    return shown


def main() -> None:
    """Measures, shows, and keeps the result beside the others."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    found = measure([int(each) for each in sys.argv[1:]] or SIZES, console.log)
    console.print(table(found), found["restart"])
    if len(sys.argv) == 1:
        results = json.loads(RESULTS.read_text())
        RESULTS.write_text(json.dumps({**results, "cost": found}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
