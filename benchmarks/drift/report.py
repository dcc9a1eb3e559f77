"""The results as tables: for a terminal, and as docs/drift-benchmark.md."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

TEMPLATE = Path(__file__).with_name("document.md")
NAMES = {"ours": "Perennial", "evidently": "Evidently", "nannyml": "NannyML", "alibi": "Alibi Detect"}
_BARS = "▁▂▃▄▅▆▇█"
_STYLES = {"good": "green", "bad": "red", "": ""}


@dataclass(frozen=True)
class Cell:
    """A figure and how it is to be seen."""

    text: str
    mood: Literal["good", "bad", ""] = ""


@dataclass(frozen=True)
class Table:
    """``rows`` of cells under ``head``; the first ``named`` columns say what the row is."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    named: int = 1


def tables(results: Mapping[str, Any]) -> list[Table]:
    """All of the results."""
    made = [_headlines(results["methods"]), sizes(results["scenarios"]), _streams(results)]
    made += [_employment(results["employment"]), _patients(results["patients"])]
    return [*made, _cost(results["cost"])] if "cost" in results else made


def show(console: Console, results: Mapping[str, Any]) -> None:
    """Prints the tables."""
    for table in tables(results):
        rich = RichTable(
            title=table.title, box=box.SIMPLE_HEAD, title_style="bold", title_justify="left", pad_edge=False
        )
        for at, name in enumerate(table.head):
            rich.add_column(name, justify="left" if at < table.named else "right")
        for row in table.rows:
            rich.add_row(*(Text(cell.text, style=_STYLES[cell.mood]) for cell in row))
        console.print(rich)
    employment = results["employment"]
    lines = {
        "real": employment["real"],
        **{NAMES[n]: employment["methods"][n]["estimated"] for n in ("ours", "nannyml")},
    }
    lowest, highest = (of(min(values) if of is min else max(values) for values in lines.values()) for of in (min, max))
    for name, values in lines.items():
        console.print(f"  accuracy, {name:<10} {_bars(values, lowest, highest)}")


def document(results: Mapping[str, Any]) -> str:
    """docs/drift-benchmark.md."""
    methods = results["methods"]
    parts = {f"table{at}": _markdown(table) for at, table in enumerate(tables(results), 1)}
    versions = ", ".join(
        f"{NAMES[name]} {methods[name]['versions'][package]}"
        for name, package in (("evidently", "evidently"), ("nannyml", "nannyml"), ("alibi", "alibi-detect"))
    )
    return Template(TEMPLATE.read_text()).substitute(
        parts, versions=versions, windows=results["windows"], date=results["date"],
        machine=f"{results['machine']['cpus']} cores, {results['machine']['processor']}",
        minutes=round(results["seconds"] / 60), preset=methods["evidently"]["preset_cpu_ms"],
        checked=methods["evidently"]["preset_agrees"],
    )  # fmt: skip


def _markdown(table: Table) -> str:
    rule = ["---" if at < table.named else "---:" for at in range(len(table.head))]
    lines = [table.head, rule, *([cell.text for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# --- the tables ---------------------------------------------------------------------------------------------------


def _headlines(methods: Mapping[str, Any]) -> Table:
    lines: tuple[tuple[str, str, Callable[[float], Cell]], ...] = (
        ("independent rows: false alarms", "clean_alarm_rate", _alarms),
        ("  a shift of 0.25 sd found", "power_025_n1000", _found),
        ("AR(1) 0.9: false alarms", "ar1_alarm_rate", _alarms),
        ("  a shift of 0.5 sd found", "ar1_power_05", _found),
        ("long season: false alarms", "seasonal_alarm_rate", _alarms),
        ("  a shift of 0.5 sd found", "seasonal_power_05", _found),
        ("short season: false alarms", "short_season_alarm_rate", _alarms),
        ("  a shift of 0.5 sd found", "short_season_power_05", _found),
        ("CPU time a window, ms", "cpu_ms_per_window", lambda value: Cell(f"{value:.0f}")),
    )
    rows = [[Cell(title), *(make(methods[name][key]) for name in NAMES)] for title, key, make in lines]
    return Table("Windows of 1,000 rows, 20 features", ["", *NAMES.values()], rows)


def sizes(scenarios: Mapping[str, Any]) -> Table:
    grouped: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for name, each in scenarios.items():
        if name.startswith("normal"):
            grouped.setdefault((-each["m"], each["n"]), []).append(each)
    rows = []
    for (m, n), each in sorted(grouped.items()):
        for at, (method, title) in enumerate(NAMES.items()):
            place = [Cell(f"{-m:,}"), Cell(f"{n:,}")] if at == 0 else [Cell(""), Cell("")]
            found = [scenario["methods"].get(method) for scenario in sorted(each, key=lambda one: one["shift"])]
            rates = [Cell("-") if one is None else _found(one["found"]) for one in found[1:]]
            rows.append([*place, Cell(title), Cell("-") if found[0] is None else _alarms(found[0]["alarms"]), *rates])
    head = ["reference", "window", "", "false alarms", "0.1 sd found", "0.25 sd", "0.5 sd"]
    return Table("Independent rows by size of reference and window", head, rows, named=3)


def _streams(results: Mapping[str, Any]) -> Table:
    def cell(each: Mapping[str, Any]) -> Cell:
        delay = f"{each['delay_rows']:,.0f}" if each["delay_rows"] else "-"
        return Cell(
            f"{delay} · {each['missed']} · {each['false']}", "good" if each["missed"] + each["false"] == 0 else ""
        )

    rows = [
        [Cell(title), *(cell(methods[name]) for name in NAMES)] for title, methods in results["streams"].items()
    ]  # fmt: skip
    totals = {name: results["methods"][name]["streams"] for name in NAMES}
    known = totals["ours"]
    rows.append(
        [Cell(f"{known['changes']} changes, {known['clean_windows']} clean windows"), *map(cell, totals.values())]
    )
    title = "Streams with a known change: delay in rows · changes missed · clean windows with an alarm"
    return Table(title, ["stream", *NAMES.values()], rows)


def _employment(found: Mapping[str, Any]) -> Table:
    names = {"ours": "Perennial: counters", "nannyml": "NannyML: CBPE"}
    rows = []
    for name, title in names.items():
        each = found["methods"][name]
        cells = [f"{each['mean_absolute_error']:.2%}", f"{each['largest_error']:.2%}", f"{each['correlation']:.2f}"]
        cells += [f"{each['found']} of {found['losses']}", f"{each['false']} of {found['chunks'] - found['losses']}"]
        rows.append([Cell(title), *map(Cell, cells)])
    constant = f"{found['methods']['reference_accuracy']['mean_absolute_error']:.2%}"
    rows.append([Cell("the reference's accuracy, always"), Cell(constant), *[Cell("-")] * 4])
    chunks = f"{found['chunks']} chunks of {found['rows_a_chunk']:,} rows"
    title = f"Accuracy without labels: employment in Massachusetts, {chunks}"
    return Table(title, ["estimate", "mean error", "largest error", "correlation", "losses found", "false"], rows)


def _patients(people: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [Cell(each["situation"]), Cell(str(each["chunks"])), Cell(f"{each['n']:,}"), Cell(f"{each['alarms']:.1%}")]
        for each in people
    ]
    return Table("Heart disease patients, ours", ["situation", "chunks", "window", "drifting"], rows)


def _cost(found: Mapping[str, Any]) -> Table:
    columns = {
        "CPU ms a monitor": "cpu_ms_per_monitor", "with a report": "report_cpu_ms_per_monitor",
        "queries for 100": "queries_per_100_monitors", "samples read a monitor": "samples_per_monitor",
        "Prometheus' CPU ms": "prometheus_cpu_ms_per_monitor", "memory MiB": "memory_mib",
    }  # fmt: skip
    fleets = [(f"{size} monitors", each) for size, each in found["monitors"].items()]
    fleets += [(f"100 monitors, traffic {rows} x", each) for rows, each in found["rows_per_second"].items()]
    rows = [
        [
            Cell(title),
            *(Cell(f"{each[key]:,.0f}" if each[key] >= 100 else f"{each[key]:.1f}") for key in columns.values()),
        ]
        for title, each in fleets
    ]
    return Table("What monitors cost at a chunk's close", ["", *columns], rows)


def _alarms(rate: float) -> Cell:
    return Cell(f"{rate:.1%}", "good" if rate <= 0.01 else "bad" if rate > 0.05 else "")


def _found(rate: float) -> Cell:
    return Cell(f"{rate:.0%}", "good" if rate >= 0.95 else "bad" if rate < 0.5 else "")


def _bars(values: Sequence[float], lowest: float, highest: float) -> str:
    def bars() -> Iterator[str]:
        for value in values:
            yield _BARS[round((value - lowest) / (highest - lowest) * (len(_BARS) - 1))]

    return "".join(bars())
