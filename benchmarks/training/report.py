"""The results as a table: for a terminal, and as docs/training-benchmark.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.training.datasets import LOWER_IS_BETTER

NAMES = {"ours": "Perennial", "hist_gradient_boosting": "HistGradientBoosting", "flaml": "FLAML"}
_TEMPLATE = Path(__file__).with_name("document.md")


def lines(results: Mapping[str, Any]) -> list[list[str]]:
    """A line a data set: its metric, and for each method score, seconds and MiB."""
    return [
        [
            name,
            words(each["metric"]),
            *(cell(each, method) for method in NAMES),
            ", ".join(sorted(set(each["winners"]))),
        ]
        for name, each in results["datasets"].items()
    ]


def winners(found: Sequence[str]) -> str:
    """Each that won, once."""
    return ", ".join(sorted(set(found)))


def words(metric: str) -> str:
    """The metric, and which way is better."""
    return f"{metric} ({'lower' if metric in LOWER_IS_BETTER else 'higher'} is better)"


def cell(each: Mapping[str, Any], method: str) -> str:
    """Score / seconds / MiB; the best score is bold."""
    found = each[method]
    score = f"{found['score']:.4g}"
    score = f"**{score}**" if each["first"] == method else score
    return f"{score} / {found['seconds']:.1f} / {found['peak_mib']}"


def head() -> list[str]:
    """The columns."""
    return ["data set", "metric", *NAMES.values(), "our winner"]


def show(console: Console, results: Mapping[str, Any]) -> None:
    """Prints the table."""
    table = Table(title="held-out score / seconds / MiB", box=box.SIMPLE_HEAD, title_justify="left")
    for at, name in enumerate(head()):
        table.add_column(name, justify="left" if at < 2 else "right")
    for line in lines(results):
        table.add_row(*(text.replace("**", "") for text in line))
    console.print(table)


def document(results: Mapping[str, Any]) -> str:
    """docs/training-benchmark.md."""
    rows = [head(), ["---"] * len(head()), *lines(results)]
    machine = results["machine"]
    return Template(_TEMPLATE.read_text()).substitute(
        table="\n".join(f"| {' | '.join(row)} |" for row in rows),
        machine=f"{machine['cpus']} cores, {machine['processor']}",
        date=results["date"],
        splits=results["splits"],
    )
