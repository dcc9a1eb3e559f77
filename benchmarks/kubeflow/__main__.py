"""Trainings in Kubeflow Pipelines at scale: ``python -m benchmarks.kubeflow``.

A real etcd and kube-apiserver, the operator as a process of its own, and the tests' server of Kubeflow's API. Each
ModelTraining has run once before; then as many as are to run at once do, and whenever one ends another begins.
Measured are the operator's calls, memory and CPU, and how long it takes from a run's end to its ModelVersion. The
result is benchmarks/results/kubeflow.json, and docs/kubeflow-benchmark.md.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import environments
from benchmarks.kubeflow import report
from benchmarks.kubeflow.fleet import Fleet
from benchmarks.kubeflow.sample import Sample, kubeflow_calls, per_minute, sample, spread
from perennial.adapters.kubernetes import KubernetesApi
from tests.api import apiserver
from tests.api.process import Operator, launch
from tests.unit.kubeflow.conftest import Contract, started

RESULTS = environments.ROOT / "benchmarks" / "results" / "kubeflow.json"
DOCUMENT = environments.ROOT / "docs" / "kubeflow-benchmark.md"
SAMPLE_SECONDS = 5.0
SETTLE_SECONDS = 30.0
"""So long runs end and begin before it is measured."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """What is measured: ``run_minutes`` is how long a run takes, ``minutes`` how long is measured."""

    trainings: int
    running: int
    namespaces: int
    run_minutes: float
    minutes: float


@contextlib.asynccontextmanager
async def surroundings(sizes: Sizes, folder: Path) -> AsyncIterator[tuple[Operator, Fleet]]:
    """The operator, ready, and its fleet, which is not made yet."""
    server_process, contract = started()
    try:
        with apiserver.running(folder) as server:
            server.kubectl("apply", "--server-side", "-f", str(environments.ROOT / "crds"))
            async with KubernetesApi(server.connection()) as api:
                fleet = Fleet(api, contract, folder / "store", sizes.trainings, sizes.namespaces)
                for namespace in fleet.namespaces:
                    server.create_namespace(namespace)
                await fleet.prepare()
                operator = await start(server, contract, folder, fleet.namespaces[0])
                try:
                    yield operator, fleet
                finally:
                    operator.process.terminate()
                    await operator.process.wait()
    finally:
        server_process.communicate(timeout=10)


async def start(server: apiserver.ApiServer, contract: Contract, folder: Path, namespace: str) -> Operator:
    """The operator, ready."""
    names = {"PERENNIAL_NAMESPACES": "", "PERENNIAL_LEASE_NAMESPACE": namespace}
    operator = await launch(server.kubeconfig, "bench", folder, **names, PERENNIAL_KUBEFLOW_ENDPOINT=contract.url)
    await operator.until("/readyz", lambda status, _text: status == 200)
    return operator


async def run(sizes: Sizes, progress: Progress) -> Json:
    """The figures. Raises AssertionError where what the operator asked broke Kubeflow's contract."""
    with tempfile.TemporaryDirectory() as folder:
        async with surroundings(sizes, Path(folder)) as (operator, fleet), asyncio.TaskGroup() as group:
            following = group.create_task(fleet.follow())
            task = progress.add_task("each runs once", total=sizes.trainings)
            await fleet.train_all(sizes.running, lambda done: progress.update(task, completed=done))
            task = progress.add_task("runs under way", total=sizes.running)
            await fill(fleet, sizes.running, lambda done: progress.update(task, completed=done))
            turning = group.create_task(turn_over(fleet, 60 * sizes.run_minutes / sizes.running))
            await asyncio.sleep(SETTLE_SECONDS)
            found = await measure(operator, fleet, sizes, progress)
            turning.cancel()
            following.cancel()
            return found


async def fill(fleet: Fleet, running: int, tell: Callable[[int], None]) -> None:
    """Has ``running`` runs under way."""
    for _ in range(running):
        await fleet.ask()
    while len(fleet.under_way) < running:
        tell(len(fleet.under_way))
        await asyncio.sleep(0.5)
    tell(running)


async def turn_over(fleet: Fleet, interval: float) -> None:
    """The oldest run ends each ``interval`` seconds in the mean, and another begins, for ever."""
    due = time.monotonic()
    while True:
        # In step with the operator's looks, each run would end right before one, or right after.
        due += interval * random.uniform(0, 2)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await fleet.end(next(iter(fleet.under_way)))
        await fleet.ask()


async def measure(operator: Operator, fleet: Fleet, sizes: Sizes, progress: Progress) -> Json:
    """``minutes`` of a steady state."""
    began, first, kubeflow = time.monotonic(), await sample(operator), kubeflow_calls(await fleet.control())
    samples, under_way = [first], [len(fleet.under_way)]
    task = progress.add_task("seconds measured", total=int(60 * sizes.minutes))
    while (past := time.monotonic() - began) < 60 * sizes.minutes:
        await asyncio.sleep(min(SAMPLE_SECONDS, 60 * sizes.minutes - past))
        samples.append(await sample(operator))
        under_way.append(len(fleet.under_way))
        progress.update(task, completed=int(time.monotonic() - began))
    ended, told = time.monotonic(), await fleet.control()
    minutes = (ended - began) / 60
    assert told["violations"] == [], told["violations"]
    return {
        "under_way": round(sum(under_way) / len(under_way), 1),
        "ends_per_minute": round(sizes.running / sizes.run_minutes, 1),
        **of_operator(samples, minutes),
        "kubeflow_calls_per_minute": per_minute(kubeflow, kubeflow_calls(told), minutes),
        "seconds_from_end_to_version": spread(_within(fleet.waits.registered, began, ended)),
        "seconds_from_request_to_run": spread(_within(fleet.waits.begun, began, ended)),
    }


def of_operator(samples: list[Sample], minutes: float) -> Json:
    """What the operator says of itself."""
    first, last = samples[0], samples[-1]
    return {
        "mib": round(last.mib, 1),
        "mib_peak": round(max(each.mib for each in samples), 1),
        "cpu_seconds_per_minute": round((last.cpu - first.cpu) / minutes, 2),
        "overdue_seconds_max": round(max(each.overdue for each in samples), 2),
        "looks_per_minute": per_minute(first.looks, last.looks, minutes),
        "errors_per_minute": per_minute(first.errors, last.errors, minutes),
        "kubernetes_calls_per_minute": per_minute(first.kubernetes, last.kubernetes, minutes),
    }


def _within(waits: list[tuple[float, float]], began: float, ended: float) -> list[float]:
    return [seconds for at, seconds in waits if began <= at < ended]


def processor() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    """Measures, shows, writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kubeflow", description=__doc__)
    parser.add_argument("--trainings", type=int, default=1000)
    parser.add_argument("--running", type=int, default=200, help="of the trainings, at once")
    parser.add_argument("--namespaces", type=int, nargs="+", default=[20], help="over so many they are spread")
    parser.add_argument("--run-minutes", type=float, default=5, help="that a run takes")
    parser.add_argument("--minutes", type=float, default=5, help="that are measured, of each number of namespaces")
    options = parser.parse_args()
    if not 0 < options.running < options.trainings:
        parser.error("--running must be less than --trainings")
    environments.prepare("components")
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    rows: Json = {}
    for namespaces in options.namespaces:
        sizes = Sizes(options.trainings, options.running, namespaces, options.run_minutes, options.minutes)
        with Progress(*columns, console=console, transient=True) as progress:
            rows[str(namespaces)] = {**asyncio.run(run(sizes, progress)), "load": round(os.getloadavg()[2], 1)}
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cpus": os.cpu_count(), "processor": processor(), "system": platform.system()},
        "versions": {name: version(name) for name in ("kopf", "kubernetes", "aiohttp", "pydantic")},
        "trainings": options.trainings,
        "running": options.running,
        "run_minutes": options.run_minutes,
        "minutes": options.minutes,
        "namespaces": rows,
    }
    report.show(console, results)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    DOCUMENT.write_text(report.document(results))


if __name__ == "__main__":
    main()
