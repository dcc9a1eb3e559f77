"""The results as tables: for a terminal, and as docs/kubeflow-benchmark.md. A column is a number of namespaces."""

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

_TEMPLATE = Path(__file__).with_name("document.md")
_FIGURES = {
    "under_way": "runs under way, mean",
    "ends_per_minute": "runs that end a minute",
    "mib": "operator's resident memory, MiB",
    "mib_peak": "its largest, MiB",
    "cpu_seconds_per_minute": "its CPU, seconds a minute",
    "overdue_seconds_max": "longest wait for a worker, s",
}
_SPREADS = {
    "seconds_from_end_to_version": "from a run's end to its ModelVersion, median / p95, s",
    "seconds_from_request_to_run": "from a request to the run in Kubeflow, median / p95, s",
}
_COUNTS = {
    "kubeflow_calls_per_minute": "calls to Kubeflow",
    "kubernetes_calls_per_minute": "calls to Kubernetes",
    "looks_per_minute": "looks at objects",
    "errors_per_minute": "looks that failed",
}

Results = Mapping[str, Any]


def figures(results: Results) -> list[list[str]]:
    """A line each of memory, CPU and waits."""
    found = list(results["namespaces"].values())
    lines = [[title, *(f"{each[name]:g}" for each in found)] for name, title in _FIGURES.items()]
    for name, title in _SPREADS.items():
        lines.append([title, *(f"{each[name]['median']:g} / {each[name]['p95']:g}" for each in found)])
    return lines


def counts(results: Results) -> list[list[str]]:
    """What happens how often a minute: a line in bold for all, then one each."""
    lines = []
    for name, title in _COUNTS.items():
        found = [each[name] for each in results["namespaces"].values()]
        lines.append([f"**{title}**", *(f"**{sum(each.values()):.0f}**" for each in found)])
        whats = dict.fromkeys(what for each in found for what in each)
        lines += [[what, *(f"{each.get(what, 0):g}" for each in found)] for what in whats]
    return lines


def show(console: Console, results: Results) -> None:
    """Prints both tables."""
    size = f"{results['trainings']} ModelTrainings, {results['running']} of them running"
    for title, lines in ((size, figures(results)), ("a minute", counts(results))):
        table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
        for at, name in enumerate(_head(results)):
            table.add_column(name, justify="right" if at else "left")
        for line in lines:
            style = "bold" if line[0].startswith("**") else None
            table.add_row(*(text.replace("**", "") for text in line), style=style)
        console.print(table)


def document(results: Results) -> str:
    """docs/kubeflow-benchmark.md."""
    machine = results["machine"]
    loads = ", ".join(f"{each['load']:g}" for each in results["namespaces"].values())
    return Template(_TEMPLATE.read_text()).substitute(
        figures=_markdown(results, figures(results)),
        counts=_markdown(results, counts(results)),
        machine=f"{machine['cpus']} cores, {machine['processor']}",
        load=loads,
        date=results["date"],
        trainings=f"{results['trainings']:,}",
        running=results["running"],
        run_minutes=f"{results['run_minutes']:g}",
        minutes=f"{results['minutes']:g}",
    )


def _head(results: Results) -> list[str]:
    return ["", *(f"{each} namespaces" if each != "1" else "1 namespace" for each in results["namespaces"])]


def _markdown(results: Results, lines: list[list[str]]) -> str:
    head = _head(results)
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
