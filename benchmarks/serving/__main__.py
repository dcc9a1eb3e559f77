"""Our predictor beside KServe's Python server and MLServer: ``python -m benchmarks.serving``.

Each server is a process of its own with the heart disease test model, asked by keep-alive connections for one row a
request: ours by its ONNX form, theirs by the scikit-learn pipeline itself (as they are used) and by a custom model
that runs the same ONNX. Servers share core 0, the client has core 1. All run side by side and are asked in turn, so
that whatever else the machine does meets them alike; figures are medians over rounds. CPU time is the server's alone.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.serving.goals import goals
from benchmarks.serving.load import PATH, Load, body, by_asyncio, by_wrk, wrk
from benchmarks.serving.process import FILES, PEERS, ROOT, TRAINED, Server
from benchmarks.serving.shadow import measure_shadow

RESULTS = Path(__file__).parents[1] / "results" / "serving.json"
CONNECTIONS = (1, 8, 32)
REPORTED = 8
SERVERS = {
    "ours": "as shipped: counters, feedback tokens",
    "ours_no_counters": "nothing counted",
    "constant": "a constant answered by our server: the limit",
    "kserve_sklearn": "KServe's Python server, scikit-learn",
    "mlserver_sklearn": "MLServer, scikit-learn",
    "kserve_onnx": "KServe's Python server, a custom model that runs ONNX",
    "mlserver_onnx": "MLServer, a custom runtime that runs ONNX",
}
PACKAGES = {
    "serving": ("uvicorn", "uvloop", "httptools", "starlette", "msgspec", "onnxruntime", "numpy"),
    "bench-kserve": ("kserve", "scikit-learn", "onnxruntime", "pandas", "numpy"),
    "bench-mlserver": ("mlserver", "scikit-learn", "onnxruntime", "pandas", "numpy"),
}


def prepare(say: Callable[[str], None], names: list[str]) -> None:
    """The others' environments, and the pipeline that they serve."""
    if not any(name.startswith(("kserve", "mlserver")) for name in names):
        return
    for environment in ("components", "bench-kserve", "bench-mlserver"):
        say(f"environment {environment}")
        subprocess.run([ROOT / "hack" / "venv", environment], check=True)
    if not TRAINED.exists():
        say("training the pipeline")
        TRAINED.parent.mkdir(parents=True, exist_ok=True)
        python = ROOT / ".venvs" / "components" / "bin" / "python"
        source = ROOT / "examples" / "data" / "cleveland.csv"
        subprocess.run([python, PEERS / "train.py", source, FILES / "signature.json", TRAINED], check=True)


def start(name: str, folder: Path, stack: ExitStack, times: int) -> tuple[Server, list[float]]:
    """The server, and how long each of a few starts took (s)."""
    ready = []
    for _ in range(times - 1):
        with Server(name, folder / name) as server:
            ready.append(server.ready_s)
    server = stack.enter_context(Server(name, folder / name))
    return server, [*ready, server.ready_s]


def predicted(server: Server) -> str:
    """The class that the server answers, by which a comparison of different models is noticed."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{PATH}", data=body(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["outputs"][0]["data"][0])


def measure(name: str, server: Server, connections: int, seconds: float) -> dict[str, float]:
    """One slice of load."""
    load = by_wrk if wrk() else by_asyncio
    before = server.cpu_seconds()
    result: Load = load(server.port, connections, seconds, body())
    cpu = server.cpu_seconds() - before
    if result.failed or not result.answered:
        raise SystemExit(f"{name}: {result.failed} of {result.answered} requests failed; nothing is reported")
    return {
        "rps": result.answered / result.seconds,
        "p50_ms": result.p50_ms,
        "p99_ms": result.p99_ms,
        "cpu_s_per_1k": 1000 * cpu / result.answered,
    }


def short(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def summary(slices: list[dict[str, float]]) -> dict[str, float]:
    """Medians over slices."""
    return {figure: short(statistics.median(each[figure] for each in slices)) for figure in slices[0]}


def run(names: list[str], rounds: int, seconds: float, starts: int, say: Callable[[str], None]) -> dict[str, Any]:
    """All figures by server."""
    slices: dict[str, dict[int, list[dict[str, float]]]] = {name: {c: [] for c in CONNECTIONS} for name in names}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        started = {}
        for name in names:
            say(f"starting {name}")
            started[name] = start(name, Path(folder), stack, starts)
        answers = {name: predicted(server) for name, (server, _) in started.items()}
        if len(set(answers.values())) > 1:
            raise SystemExit(f"the servers disagree, nothing is reported: {answers}")
        for number in range(rounds):
            for name, (server, _) in started.items():
                for connections in CONNECTIONS:
                    say(f"round {number + 1} of {rounds}: {name}, {connections} connections")
                    slices[name][connections].append(measure(name, server, connections, seconds))
        return {
            name: {
                "about": SERVERS[name],
                **summary(slices[name][REPORTED]),
                "rss_mib": short(server.rss_mib()),
                "ready_s": short(statistics.median(ready)),
                "by_connections": {str(connections): summary(found) for connections, found in slices[name].items()},
            }
            for name, (server, ready) in started.items()
        }


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    info = Path("/proc/cpuinfo").read_text()
    model = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": model, "cores": os.cpu_count(), "memory_gib": round(memory, 1), "kernel": platform.release()}


def versions() -> dict[str, dict[str, str]]:
    """The packages that matter, by environment."""
    found = {}
    for environment, names in PACKAGES.items():
        python = ROOT / ".venvs" / environment / "bin" / "python"
        if python.exists():
            script = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {names!r}}}))"
            answer = subprocess.run([python, "-c", script], check=True, capture_output=True, text=True)
            found[environment] = json.loads(answer.stdout)
    return found


def table(results: dict[str, Any]) -> Table:
    """The figures for the terminal."""
    view = Table(title=f"One row a request, medians; CPU, p50 and p99 at {REPORTED} connections")
    rates = " / ".join(map(str, CONNECTIONS))
    for heading in ("server", f"req/s at {rates}", "CPU s/1,000", "p50 ms", "p99 ms", "MiB", "ready s"):
        view.add_column(heading, justify="left" if heading == "server" else "right", no_wrap=True)
    for name, figures in results.items():
        view.add_row(
            name,
            " / ".join(f"{load['rps']:,.0f}" for load in figures["by_connections"].values()),
            f"{figures['cpu_s_per_1k']:.3f}",
            f"{figures['p50_ms']:.2f}",
            f"{figures['p99_ms']:.2f}",
            f"{figures['rss_mib']:.0f}",
            f"{figures['ready_s']:.2f}",
        )
    return view


def main() -> None:
    """Measures, prints the table, writes the results."""
    arguments = argparse.ArgumentParser(prog="benchmarks.serving", description=__doc__)
    arguments.add_argument("--seconds", type=float, default=2, help="of load in each turn (2)")
    arguments.add_argument("--rounds", type=int, default=5, help="over which medians are taken (5)")
    arguments.add_argument("--starts", type=int, default=3, help="over which the time to ready is taken (3)")
    arguments.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS), metavar="SERVER")
    arguments.add_argument("--results", type=Path, default=RESULTS)
    chosen = arguments.parse_args()
    console = Console(width=max(100, Console().width))
    if not wrk():
        console.print(
            "wrk is not installed (apt-get install wrk): a Python client asks instead, and is itself the limit."
        )
    prepare(console.print, chosen.servers)
    load_before = os.getloadavg()[0]
    shadow = {}
    with console.status("") as status:
        results = run(chosen.servers, chosen.rounds, chosen.seconds, chosen.starts, status.update)
        if wrk() and "ours" in chosen.servers:
            with tempfile.TemporaryDirectory() as folder:
                shadow = measure_shadow(Path(folder), chosen.rounds, chosen.seconds, status.update)
    met = goals(results, shadow)
    console.print(table(results))
    for goal in met:
        console.print(goal.line(), highlight=False)
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine()
        | {"load_average": {"before": round(load_before, 2), "after": round(os.getloadavg()[0], 2)}},
        "versions": versions(),
        "method": {
            "client": "wrk" if wrk() else "asyncio",
            "seconds": chosen.seconds,
            "rounds": chosen.rounds,
            "request": "13 named columns, 1 row",
            "reported_connections": REPORTED,
        },
        "servers": results,
        "shadow": shadow,
        "goals": {goal.name: {"value": goal.value, "limit": goal.limit, "met": goal.met} for goal in met},
    }
    chosen.results.parent.mkdir(parents=True, exist_ok=True)
    chosen.results.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
