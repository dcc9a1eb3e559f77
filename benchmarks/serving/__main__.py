"""What the predictor costs, and what each of its parts adds: ``python -m benchmarks.serving``.

Every variant is a process of its own with the heart disease test model, asked by keep-alive connections for one row a
request. All run side by side and are asked in turn, a second each, so that whatever else the machine does meets them
alike; figures are medians over rounds. CPU time is the server's alone.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.serving.load import Load, body, by_asyncio, by_wrk, wrk
from benchmarks.serving.process import Predictor

RESULTS = Path(__file__).parents[1] / "results" / "serving.json"
CONNECTIONS = (1, 8)
VARIANTS = {
    "predictor": "as shipped: counters, feedback tokens, connections renewed every 5 s",
    "renewed-often": "connections renewed every 0.05 s, a hundred times as often as shipped",
    "no-tokens": "no feedback key mounted",
    "no-counters": "nothing counted",
    "constant": "a constant answered by the same server: the limit",
}
CPU = ("cpu_seconds_per_1000", "least_cpu_seconds_per_1000")
PACKAGES = ("uvicorn", "uvloop", "httptools", "starlette", "msgspec", "onnxruntime", "numpy")


def start(variant: str, folder: Path, stack: ExitStack, times: int = 3) -> tuple[Predictor, list[float]]:
    """The variant's process, and how long each of a few starts took (s)."""
    ready = []
    for _ in range(times - 1):
        with Predictor(variant, folder) as server:
            ready.append(server.ready_seconds)
    server = stack.enter_context(Predictor(variant, folder))
    return server, [*ready, server.ready_seconds]


def measure(variant: str, server: Predictor, connections: int, seconds: float) -> dict[str, float]:
    """One slice of load."""
    load = by_wrk if wrk() else by_asyncio
    before = server.cpu_seconds()
    result: Load = load(server.port, connections, seconds, body())
    cpu = server.cpu_seconds() - before
    if result.failed or not result.answered:
        raise SystemExit(f"{variant}: {result.failed} of {result.answered} requests failed; nothing is reported")
    return {
        "requests_per_second": result.answered / result.seconds,
        "cpu_seconds_per_1000": 1000 * cpu / result.answered,
        "p50_ms": result.p50_ms,
        "p99_ms": result.p99_ms,
    }


def summary(slices: list[dict[str, float]]) -> dict[str, float]:
    """Medians over slices, and the least CPU time: what else the machine does adds to it and never takes away."""
    medians = {name: short(statistics.median(figures[name] for figures in slices)) for name in slices[0]}
    return medians | {"least_cpu_seconds_per_1000": short(min(figures["cpu_seconds_per_1000"] for figures in slices))}


def short(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def run(rounds: int, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """All figures by variant."""
    slices: dict[str, dict[int, list[dict[str, float]]]] = {name: {c: [] for c in CONNECTIONS} for name in VARIANTS}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        started = {}
        for name in VARIANTS:
            say(f"starting {name}")
            started[name] = start(name, Path(folder), stack)
        for number in range(rounds):
            for name, (server, _) in started.items():
                for connections in CONNECTIONS:
                    say(f"round {number + 1} of {rounds}: {name}, {connections} connections")
                    slices[name][connections].append(measure(name, server, connections, seconds))
        return {
            name: {
                "ready_seconds": short(statistics.median(ready)),
                "resident_mib": short(server.resident_mib()),
                "load": {str(connections): summary(found) for connections, found in slices[name].items()},
            }
            for name, (server, ready) in started.items()
        }


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    info = Path("/proc/cpuinfo").read_text()
    model = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": model, "cores": os.cpu_count(), "memory_gib": round(memory, 1), "kernel": platform.release()}


def table(results: dict[str, Any]) -> Table:
    """The figures for the terminal."""
    view = Table(title="One row a request, medians")
    for heading in ("variant", "clients", "req/s", "CPU s/1,000", "least", "p50 ms", "p99 ms", "MiB", "ready s"):
        view.add_column(heading, justify="left" if heading == "variant" else "right", no_wrap=True)
    for name, figures in results.items():
        for place, (connections, load) in enumerate(figures["load"].items()):
            rates = [f"{load['requests_per_second']:,.0f}", *(f"{load[k]:.3f}" for k in CPU)]
            times = [f"{load['p50_ms']:.2f}", f"{load['p99_ms']:.2f}"]
            once = [f"{figures['resident_mib']:.0f}", f"{figures['ready_seconds']:.2f}"] if place == 0 else ["", ""]
            view.add_row(name if place == 0 else "", connections, *rates, *times, *once, end_section=place == 1)
    return view


def main() -> None:
    """Measures, prints the table, writes the results."""
    arguments = argparse.ArgumentParser(prog="benchmarks.serving", description=__doc__)
    arguments.add_argument("--seconds", type=float, default=1, help="of load in each turn (1)")
    arguments.add_argument("--rounds", type=int, default=9, help="over which medians are taken (9)")
    arguments.add_argument("--results", type=Path, default=RESULTS)
    chosen = arguments.parse_args()
    console = Console(width=max(100, Console().width))
    if not wrk():
        console.print(
            "wrk is not installed (apt-get install wrk): a Python client asks instead, and is itself the limit."
        )
    load_before = os.getloadavg()[0]
    with console.status("") as status:
        results = run(chosen.rounds, chosen.seconds, status.update)
    console.print(table(results))
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine()
        | {"load_average": {"before": round(load_before, 2), "after": round(os.getloadavg()[0], 2)}},
        "versions": {"python": sys.version.split()[0], **{name: version(name) for name in PACKAGES}},
        "method": {
            "client": "wrk" if wrk() else "asyncio",
            "seconds": chosen.seconds,
            "rounds": chosen.rounds,
            "request": "13 named columns, 1 row",
        },
        "variants": {name: {"about": VARIANTS[name], **figures} for name, figures in results.items()},
    }
    chosen.results.parent.mkdir(parents=True, exist_ok=True)
    chosen.results.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
