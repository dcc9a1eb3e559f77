"""What the predictor costs, and what each of its parts adds: ``python -m benchmarks.serving``.

Every variant is a process of its own with the heart disease test model, asked by keep-alive connections for one row a
request. Variants take turns within a round, and figures are medians over rounds, so that whatever else the machine does
meets them alike. CPU time is the server's alone.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
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
    "not-renewed": "connections kept for good",
    "no-tokens": "no feedback key mounted",
    "no-counters": "nothing counted",
    "constant": "a constant answered by the same server: the limit",
}
PACKAGES = ("uvicorn", "uvloop", "httptools", "starlette", "msgspec", "onnxruntime", "numpy")


def measure(variant: str, seconds: float, folder: Path) -> dict[str, Any]:
    """One round of one variant: start, warm up, load at each number of connections, memory."""
    load = by_wrk if wrk() else by_asyncio
    figures: dict[str, Any] = {"load": {}}
    with Predictor(variant, folder) as server:
        figures["ready_seconds"] = server.ready_seconds
        load(server.port, 1, 0.5, body())
        for connections in CONNECTIONS:
            before = server.cpu_seconds()
            result: Load = load(server.port, connections, seconds, body())
            cpu = server.cpu_seconds() - before
            if result.failed or not result.answered:
                raise SystemExit(
                    f"{variant}: {result.failed} of {result.answered} requests failed; nothing is reported"
                )
            figures["load"][str(connections)] = {
                "requests_per_second": result.answered / result.seconds,
                "cpu_seconds_per_1000": 1000 * cpu / result.answered,
                "p50_ms": result.p50_ms,
                "p99_ms": result.p99_ms,
            }
        figures["resident_mib"] = server.resident_mib()
    return figures


def median(rounds: list[Any]) -> Any:
    """The median of each figure over the rounds, whatever their nesting."""
    if isinstance(rounds[0], dict):
        return {name: median([figures[name] for figures in rounds]) for name in rounds[0]}
    return float(f"{statistics.median(rounds):.4g}")


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    info = Path("/proc/cpuinfo").read_text()
    model = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": model, "cores": os.cpu_count(), "memory_gib": round(memory, 1), "kernel": platform.release()}


def table(results: dict[str, Any]) -> Table:
    """The figures for the terminal."""
    view = Table(title="One row a request, medians")
    for heading in ("variant", "clients", "req/s", "CPU s/1,000", "p50 ms", "p99 ms", "MiB", "ready s"):
        view.add_column(heading, justify="left" if heading == "variant" else "right", no_wrap=True)
    for name, figures in results.items():
        for place, (connections, load) in enumerate(figures["load"].items()):
            rates = [f"{load['requests_per_second']:,.0f}", f"{load['cpu_seconds_per_1000']:.3f}"]
            times = [f"{load['p50_ms']:.2f}", f"{load['p99_ms']:.2f}"]
            once = [f"{figures['resident_mib']:.0f}", f"{figures['ready_seconds']:.2f}"] if place == 0 else ["", ""]
            view.add_row(name if place == 0 else "", connections, *rates, *times, *once, end_section=place == 1)
    return view


def main() -> None:
    """Measures, prints the table, writes the results."""
    arguments = argparse.ArgumentParser(prog="benchmarks.serving", description=__doc__)
    arguments.add_argument("--seconds", type=float, default=4, help="of load for each figure (4)")
    arguments.add_argument("--rounds", type=int, default=3, help="over which medians are taken (3)")
    arguments.add_argument("--results", type=Path, default=RESULTS)
    chosen = arguments.parse_args()
    console = Console()
    if not wrk():
        console.print(
            "wrk is not installed (apt-get install wrk): a Python client asks instead, and is itself the limit."
        )
    load_before = os.getloadavg()[0]
    rounds: dict[str, list[Any]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory() as folder, console.status("") as status:
        for number in range(chosen.rounds):
            for name in VARIANTS:
                status.update(f"round {number + 1} of {chosen.rounds}: {name}")
                rounds[name].append(measure(name, chosen.seconds, Path(folder)))
    results = {name: median(figures) for name, figures in rounds.items()}
    console.print(table(results))
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine() | {"load_before": round(load_before, 2)},
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
