"""How often the drift test is wrong, and what it sees: ``python -m benchmarks.drift`` (about five minutes).

The clean rows give the share of windows with an alarm on any of 20 features, the shifted ones the share in which the
one shifted feature is found, with K = 24 chunks, alpha 0.01 over all features and tolerance 0.02. The patients are
those of the demo.
"""

import argparse
import json
import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.drift.simulation import HOSPITALS, Normal, baseline, judge, patients, rates, resampled

RESULTS = Path(__file__).parents[1] / "results" / "drift.json"
SIZES, SHIFTS = (200, 1000, 10_000), (0.1, 0.25, 0.5)
FRESH = 20
"""Windows judged against one reference before another is drawn."""


def measure_normal(setup: Normal, repeats: int) -> dict[str, Any]:
    """Alarms on the unshifted features, and how often the shifted one is found."""
    rng = np.random.default_rng(11)
    alarms = significant = found = 0
    for done in range(repeats):
        if done % FRESH == 0:
            reference = setup.reference(rng)
            windows = setup.windows(reference, rng)
        findings = judge(reference, next(windows))
        unshifted = findings[1:] if setup.shift else findings
        alarms += any(each.drifting for each in unshifted)
        significant += any(each.adjusted <= 0.01 for each in unshifted)
        found += findings[0].drifting
    figures: dict[str, Any] = {
        "shift": setup.shift, "correlation": setup.correlation, "n": setup.size, "m": setup.rows, "windows": repeats,
        "alarms": alarms / repeats, "significant": significant / repeats,
    }  # fmt: skip
    return {**figures, "power": found / repeats} if setup.shift else figures


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


def show(normal: list[dict[str, Any]], people: list[dict[str, Any]]) -> None:
    """The tables."""
    console = Console()
    table = Table(title="20 normal features in 24 chunks: false alarms, significant alone, shifted one found")
    for title in ("reference rows", "window rows", "shift", "AR(1)", "alarms", "signif.", "found"):
        table.add_column(title, justify="right")
    for each in normal:
        table.add_row(
            f"{each['m']:,}", f"{each['n']:,}", f"{each['shift']:g} sd", f"{each['correlation']:g}",
            f"{each['alarms']:.1%}", f"{each['significant']:.1%}", f"{each['power']:.0%}" if "power" in each else "",
        )  # fmt: skip
    console.print(table)
    table = Table(title="Heart disease patients: windows judged drifting")
    for title in ("situation", "chunks", "window rows", "drifting"):
        table.add_column(title, justify="left" if title == "situation" else "right")
    for each in people:
        table.add_row(each["situation"], str(each["chunks"]), f"{each['n']:,}", f"{each['alarms']:.1%}")
    console.print(table)


def main() -> None:
    """Measures, shows, writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--windows", type=int, default=300, help="clean windows (power: a third of it)")
    repeats = parser.parse_args().windows
    started = time.perf_counter()
    setups = [
        Normal(size, rows=rows, shift=shift) for rows in (1000, 10_000) for size in SIZES for shift in (0, *SHIFTS)
    ]
    setups += [Normal(size, correlation=0.9) for size in (1000, 10_000)]
    normal = [measure_normal(each, repeats if not each.shift else repeats // 3) for each in track(setups)]
    people = measure_patients(repeats)
    show(normal, people)
    machine = {"cpus": os.cpu_count(), "processor": platform.machine(), "system": platform.system()}
    versions = {"python": platform.python_version(), **{name: version(name) for name in ("numpy", "scipy")}}
    RESULTS.parent.mkdir(exist_ok=True)
    figures = {
        "date": datetime.now(UTC).date().isoformat(), "machine": machine, "versions": versions,
        "seconds": round(time.perf_counter() - started), "normal": normal, "patients": people,
    }  # fmt: skip
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
