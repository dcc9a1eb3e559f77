"""Our default candidates beside scikit-learn's boosted trees and FLAML: ``python -m benchmarks.training``.

All are trained on the rows that our split trains on and measured on those that it holds out; FLAML gets the seconds
that the whole of our run took. One at a time, each in an environment and a process of its own. The result is
benchmarks/results/training.json, and docs/training-benchmark.md.
"""

import argparse
import json
import os
import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import environments
from benchmarks.training import report
from benchmarks.training.datasets import DATASETS, LOWER_IS_BETTER, MEASURED, Dataset
from perennial.api.common import format_time
from perennial.api.run import Run
from perennial.api.training import ModelTraining
from perennial.domain.training.request import started

RESULTS = environments.ROOT / "benchmarks" / "results" / "training.json"
DOCUMENT = environments.ROOT / "docs" / "training-benchmark.md"
METHODS = ("ours", "hist_gradient_boosting", "flaml")
SPLITS = 2
PEERS = "benchmarks.training.peers"


def main() -> None:
    """Measures, shows and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[each.name for each in DATASETS], help="these data sets")
    parser.add_argument("--splits", type=int, default=SPLITS, help="how many times other rows are held out")
    arguments = parser.parse_args()
    chosen = [each for each in DATASETS if each.name in arguments.only]
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    found: dict[str, Any] = {}
    with Progress(*columns, console=console) as progress, tempfile.TemporaryDirectory() as folder:
        task = progress.add_task("", total=len(chosen) * arguments.splits * len(METHODS))
        for name in ("components", "bench-nannyml", "bench-flaml"):
            progress.update(task, description=f"environment {name}")
            environments.prepare(name)
        for dataset in chosen:
            found[dataset.name] = measure(dataset, arguments.splits, Path(folder), progress, task)
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cpus": os.cpu_count(), "processor": processor()},
        "splits": arguments.splits,
        "datasets": found,
    }
    report.show(console, results)
    if len(chosen) == len(DATASETS):
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        DOCUMENT.write_text(report.document(results))


def measure(dataset: Dataset, splits: int, root: Path, progress: Progress, task: Any) -> dict[str, Any]:
    """By method: the mean score and time over the splits, and the largest peak of memory."""
    answers: dict[str, list[dict[str, Any]]] = {method: [] for method in METHODS}
    for split in range(splits):
        folder = root / dataset.name / str(split)
        folder.mkdir(parents=True)
        environments.run((dataset.environment, "benchmarks.training.write"), (dataset.name, folder))
        (folder / "request.json").write_bytes(request(dataset, folder, split))
        for method in METHODS:
            progress.update(task, description=f"{dataset.name}, {report.NAMES[method]}")
            once(method, dataset, folder, answers)
            progress.advance(task)
    best = min if dataset.metric in LOWER_IS_BETTER else max
    return {
        "metric": dataset.metric,
        **{method: summary(each) for method, each in answers.items()},
        "winners": [each["winner"] for each in answers["ours"]],
        "first": best(METHODS, key=lambda method: mean(each["score"] for each in answers[method])),
    }


def once(method: str, dataset: Dataset, folder: Path, answers: dict[str, list[dict[str, Any]]]) -> None:
    """Trains and measures one method and appends what it answers."""
    if method == "ours":
        environments.run(("components", "benchmarks.training.ours"), (folder,))
    else:
        budget = [str(round(answers["ours"][-1]["seconds"], 1))] if method == "flaml" else []
        environments.run(("bench-flaml", f"{PEERS}.{method}"), (dataset.name, folder, *budget))
    answers[method].append(json.loads((folder / f"{method}.json").read_text()))


def summary(answers: list[dict[str, Any]]) -> dict[str, float]:
    """Over the splits."""
    return {
        "score": round(mean(each["score"] for each in answers), 4),
        "seconds": round(mean(each["seconds"] for each in answers), 1),
        "peak_mib": round(max(each["peak_mib"] for each in answers)),
    }


def request(dataset: Dataset, folder: Path, seed: int) -> bytes:
    """What the operator asks of a run whose spec names the data, its features and the metric, and nothing else."""
    header = (folder / MEASURED).read_text().partition("\n")[0].split(",")
    numeric = [name for name in header if name not in {dataset.target, *dataset.categorical}]
    spec = {
        "model": "bench",
        "task": dataset.task,
        "data": {
            "source": {"uri": f"file://{folder}/{MEASURED}"},
            "target": {"column": dataset.target},
            "split": {"seed": seed},
        },
        "features": {"numeric": numeric, "categorical": list(dataset.categorical)},
        "tuning": {"metric": dataset.metric},
    }
    metadata = {"name": "bench", "namespace": "bench", "uid": "bench", "generation": 1}
    now = format_time(datetime.now(UTC))
    run = Run.model_validate(
        {"number": 1, "trigger": {"type": "Spec"}, "phase": "Running", "job": "bench", "startedAt": now}
    )
    training = ModelTraining.parse({"metadata": {**metadata, "creationTimestamp": now}, "spec": spec})
    return msgspec.json.encode(started(training, run, f"file://{folder}/store", None).request)


def processor() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
