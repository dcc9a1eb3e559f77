"""The idle operator: memory, CPU and API calls with 0, 100 and 1,000 ModelDeployments that wait for a version.

``python -m benchmarks.operator`` starts a real etcd and kube-apiserver, and the operator as a process of its own.
"""

import argparse
import asyncio
import json
import os
import platform
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from perennial.adapters.kubernetes import KubernetesApi
from perennial.api.common import API_VERSION
from tests.api import apiserver
from tests.api.process import Operator, launch

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks/results/operator.json"
NAMESPACE = "bench"


async def start(server: apiserver.ApiServer, folder: Path) -> Operator:
    """The operator, ready."""
    names = {"PERENNIAL_NAMESPACES": "", "PERENNIAL_LEASE_NAMESPACE": NAMESPACE}
    operator = await launch(server.kubeconfig, "bench", folder, **names)
    await operator.until("/readyz", lambda status, _text: status == 200)
    return operator


async def sample(operator: Operator) -> dict[str, float]:
    """CPU seconds, resident MiB, API calls and writes since the process began, and keys that wait."""
    text = (await operator.get("/metrics"))[1]
    figures = {"cpu": 0.0, "mib": 0.0, "calls": 0.0, "writes": 0.0, "waiting": 0.0}
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if name == "process_cpu_seconds_total":
            figures["cpu"] = float(value)
        elif name == "process_resident_memory_bytes":
            figures["mib"] = float(value) / 2**20
        elif name.startswith("perennial_operator_queue_depth"):
            figures["waiting"] += float(value)
        elif name.startswith("perennial_operator_api_requests_total"):
            figures["calls"] += float(value)
            reads = ('verb="get"', 'verb="list"', 'verb="watch"')
            figures["writes"] += 0.0 if any(read in name for read in reads) or 'kind="Lease"' in name else float(value)
    return figures


async def measure(operator: Operator, seconds: float) -> dict[str, float]:
    """What ``seconds`` of rest cost, once nothing is to be done any more."""
    before = await sample(operator)
    while True:
        await asyncio.sleep(3)
        after = await sample(operator)
        if after["writes"] == before["writes"] and after["cpu"] - before["cpu"] < 0.3:
            break
        before = after
    before = await sample(operator)
    await asyncio.sleep(seconds)
    after = await sample(operator)
    return {
        "mib": round(after["mib"], 1),
        "cpu_percent": round(100 * (after["cpu"] - before["cpu"]) / seconds, 2),
        "calls_per_minute": round(60 * (after["calls"] - before["calls"]) / seconds, 1),
        "writes_per_minute": round(60 * (after["writes"] - before["writes"]) / seconds, 1),
    }


async def run(sizes: list[int], seconds: float) -> list[dict[str, float]]:
    """One row a size."""
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, apiserver.running(Path(folder)) as server:
        server.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        server.create_namespace(NAMESPACE)
        operator = await start(server, Path(folder))
        async with KubernetesApi(server.connection()) as api:
            made = 0
            for size in sizes:
                for number in track(range(made, size), f"{size} ModelDeployments", transient=True):
                    await api.create(manifest(number))
                made = size
                rows.append({"objects": size, **await measure(operator, seconds)})
        operator.process.terminate()
        await operator.process.wait()
    return rows


def manifest(number: int) -> dict[str, Any]:
    """A ModelDeployment whose model has no version yet."""
    name = f"waits-{number}"
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"model": name},
    }


def show(rows: list[dict[str, float]]) -> None:
    """The table."""
    table = Table(title="The operator at rest")
    for title in ("objects", "MiB", "CPU %", "API calls/min", "writes/min (without the Lease)"):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(*(f"{value:g}" for value in row.values()))
    Console().print(table)


def main() -> None:
    """Measures, shows, writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operator", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="of rest, for each size")
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 100, 1000])
    options = parser.parse_args()
    rows = asyncio.run(run(options.sizes, options.seconds))
    show(rows)
    RESULTS.parent.mkdir(exist_ok=True)
    figures = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cpus": os.cpu_count(), "processor": platform.machine(), "system": platform.system()},
        "versions": {name: version(name) for name in ("kopf", "kubernetes", "aiohttp", "pydantic")},
        "seconds": options.seconds,
        "at_rest": rows,
    }
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
