"""Our drift test beside Evidently's, NannyML's and Alibi Detect's, on the same rows: ``python -m benchmarks.drift``.

Each method runs in a process and an environment of its own, on files of rows that are made once. The result is
benchmarks/results/drift.json, and docs/drift-benchmark.md with its tables and a chart.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import environments
from benchmarks.drift import process, report, streams
from benchmarks.drift.chart import chart
from benchmarks.drift.scores import figures
from benchmarks.drift.simulation import HOSPITALS, baseline, patients, rates, resampled

RESULTS = environments.ROOT / "benchmarks" / "results" / "drift.json"
DOCUMENT = environments.ROOT / "docs" / "drift-benchmark.md"
SEEDS = 5
AT_ONCE = 2
"""Processes: as many as cores, so that none waits for another."""


def measure(methods: Sequence[str], windows: int, seeds: int, folder: Path, console: Console) -> dict[str, Any]:
    """Makes the rows, lets the methods answer, and scores their answers."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(AT_ONCE) as pool:
        _watched(progress, "environments", [(environments.prepare, process.METHODS[each][0]) for each in methods])
        # Both add to one list of scenarios.
        _watched(progress, "rows", [(streams.write, folder, windows), (_datasets, folder, seeds)])
        expected = len(streams.listed(folder))
        tasks = {name: progress.add_task(report.NAMES[name], total=expected) for name in methods}
        futures = [
            pool.submit(
                process.run, process.METHODS[name], (str(folder), str(folder / f"{name}.json")),
                _step(progress, tasks[name]),
            )
            for name in methods
        ]  # fmt: skip
        for future in futures:
            future.result()
    return figures(folder, methods)


def measure_patients(repeats: int) -> list[dict[str, Any]]:
    """The demo's three situations, in its window (3 chunks) and a day's (24)."""
    others = patients(*HOSPITALS[1:])
    cleveland, everybody = patients("cleveland"), patients(*HOSPITALS)
    situations = (
        ("Cleveland's model, Cleveland's patients", cleveland, cleveland),
        ("Cleveland's model, the other hospitals'", cleveland, others),
        ("all hospitals' model, all patients", everybody, everybody),
    )
    found = []
    for name, known, coming in situations:
        reference = baseline(known)
        for chunks in (3, 24):
            for size in (300, 1000, 5000):
                windows = resampled(reference, coming, size, chunks, np.random.default_rng(5))
                alarms = rates(reference, windows, repeats).alarms
                found.append({"situation": name, "chunks": chunks, "n": size, "windows": repeats, "alarms": alarms})
    return found


def main() -> None:
    """Measures, shows, writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--windows", type=int, default=300, help="windows a scenario")
    parser.add_argument("--quick", action="store_true", help="a look: 20 windows, one seed, and nothing is written")
    parser.add_argument("--ours", action="store_true", help="ours again on the same rows; others' answers are kept")
    parser.add_argument("--tables", action="store_true", help="only the document, from the results as they are")
    options = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    if options.tables:
        results = json.loads(RESULTS.read_text())
        report.show(console, results)
        _document(results)
        return
    started = time.perf_counter()
    if options.ours:
        results = _ours_again(console)
    else:
        windows, seeds = (20, 1) if options.quick else (options.windows, SEEDS)
        with tempfile.TemporaryDirectory() as folder:
            found = measure(tuple(process.METHODS), windows, seeds, Path(folder), console)
        results = {**_about(windows), **found, "patients": measure_patients(windows)}
        results["seconds"] = round(time.perf_counter() - started)
        if not options.quick:
            results["cost"] = _cost()
    report.show(console, results)
    if not options.quick:
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        _document(results)


def _document(results: dict[str, Any]) -> None:
    DOCUMENT.write_text(report.document(results))
    DOCUMENT.with_suffix(".svg").write_text(chart(results["methods"], report.NAMES))


def _about(windows: int) -> dict[str, Any]:
    machine = {"cpus": os.cpu_count(), "processor": platform.machine(), "system": platform.system()}
    return {
        "date": datetime.now(UTC).date().isoformat(), "machine": machine, "python": platform.python_version(),
        "windows": windows,
    }  # fmt: skip


def _ours_again(console: Console) -> dict[str, Any]:
    """The results with ours measured again: rows are made from seeds, so they are those that the others saw."""
    known: dict[str, Any] = json.loads(RESULTS.read_text())
    with tempfile.TemporaryDirectory() as folder:
        found = measure(("ours",), known["windows"], SEEDS, Path(folder), console)
    known["methods"]["ours"] = found["methods"]["ours"]
    for name, each in known["scenarios"].items():
        each["methods"]["ours"] = found["scenarios"][name]["methods"]["ours"]
    for name, methods in known["streams"].items():
        methods["ours"] = found["streams"][name]["ours"]
    return {**known, "patients": measure_patients(known["windows"])}


def _cost() -> dict[str, Any]:
    """What monitors cost; that needs a Prometheus, which the rest does without."""
    from benchmarks.drift.cost import measure as cost  # noqa: PLC0415

    return cost()


def _datasets(folder: Path, seeds: int) -> None:
    process.run(process.DATASETS, (str(folder), str(seeds)), lambda: None)


def _watched(progress: Progress, title: str, calls: list[tuple[Any, ...]]) -> None:
    task = progress.add_task(title, total=len(calls))
    for call, *arguments in calls:
        call(*arguments)
        progress.advance(task)


def _step(progress: Progress, task: Any) -> Callable[[], None]:
    return lambda: progress.advance(task)


if __name__ == "__main__":
    main()
