"""A DriftMonitor as a tree in the terminal: the verdict, what it rests on, what was done."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from perennial.api.drift import DriftMonitor, Performance
from perennial.api.verdict import Action, FeatureEvidence, MonitorStatus, PerformanceEvidence, SignalEvidence
from perennial.cli.words import ago
from perennial.domain.drift.evidence import title
from perennial.domain.drift.performance import ERRORS, let_pass, too_few, worst

Json = dict[str, Any]
COLOURS = {"Healthy": "green", "Drifting": "yellow", "PerformanceLoss": "red"}
CONCERNS = ("HumanNeeded", "LabelsSuspect", "SignalsBreached", "MonitorsDisagree")
SHOWN = 5
_SPECIAL = re.compile(r"__(missing|invalid|below|above|other)__")
_CELLS, _LIMIT = 12, 5
"""Of the bar of an index, and of those under its limit."""


def tree(raw: Json, now: datetime) -> RenderableType:
    """All that a person asks of it; the sentence on top is the caller's."""
    # What a newer operator added is not shown, and not an error.
    monitor = DriftMonitor.model_validate(raw, extra="ignore")
    status = monitor.status
    root = Tree(_head(monitor, now), guide_style="dim")
    for type_ in CONCERNS:
        for each in status.conditions:
            if each.type == type_ and each.status == "True":
                root.add(Text.assemble((f"{type_}  ", "bold red"), each.message))
    root.add(_window(monitor, now))
    if status.features:
        root.add(Text("features", "bold")).add(features(status.features))
    for found in (status.performance, status.estimated):
        if found is not None:
            root.add(_performance(found, monitor))
    if status.signals:
        root.add(Text("signals", "bold")).add(_signals(status.signals))
    _asked(root, "actions", status.actions, now)
    _asked(root, "would have been asked for", status.observed, now)
    if status.history:
        root.add(Text.assemble(("before  ", "bold"), (_history(status, now), "dim")))
    return root


def _head(monitor: DriftMonitor, now: datetime) -> Text:
    status, spec = monitor.status, monitor.spec
    verdict, cause = status.verdict or "not judged yet", f" ({status.cause})" if status.cause else ""
    since = f" for {ago(status.since, now)}" if status.since else ""
    windows = f", {status.consecutive} windows in a row" if status.consecutive > 1 else ""
    watching = "  only watches" if spec.mode == "Observe" else ""
    return Text.assemble(
        (f"{monitor.metadata.namespace}/{monitor.metadata.name}", "bold"), "  ",
        (f"{verdict}{cause}", f"bold {COLOURS.get(status.verdict or '', 'dim')}"), (f"{since}{windows}", "dim"), "  ",
        (status.version, "cyan"), (f"  of md/{spec.deployment}", "dim"), (watching, "yellow"),
    )  # fmt: skip


def _window(monitor: DriftMonitor, now: datetime) -> Text:
    status, window = monitor.status, monitor.spec.window
    until = f", closed {ago(status.window_end, now)} ago" if status.window_end else ""
    fast = f" and {window.fast}" if window.fast else ""
    known = status.baseline
    of = f"{known.source} of {known.version}" if known and known.version else monitor.spec.baseline.source
    learnt = f", {known.windows} of {known.wanted} windows learnt" if known and known.wanted else ""
    return Text.assemble(
        ("window  ", "bold"), f"{window.length}{fast} in {window.chunks} chunks{until}",
        f", {status.observations} predictions", ("  against  ", "bold"), f"{of}{learnt}",
    )  # fmt: skip


def features(found: Sequence[FeatureEvidence]) -> Table:
    """A line for each: its index against the limit, p, and what moved."""
    table = Table.grid(padding=(0, 2))
    for each in found:
        mark, colour = ("▲", "yellow") if each.drifting else ("✔", "green")
        moved = each.limit or _SPECIAL.sub(r"\1", each.top_bin)
        table.add_row(
            Text(f"{mark} {title(each.feature)}", colour), Text(bar(each.psi, each.threshold), colour),
            Text(f"PSI {each.psi:.3g}", colour), Text(f"≤ {each.threshold:.3g}", "dim"),
            Text(_chance(each.p_value), "dim"), Text(f"n {each.rows}", "dim"),
            Text(f"{moved}  in the fast window" if each.window else moved),
        )  # fmt: skip
    return table


def bar(value: float, limit: float) -> str:
    """``value`` against ``limit``, which is a line: ██████┃█░░░░░; full where it is more than twice as much."""
    times = max(value, 0.0) / limit if limit > 0 else float(value > 0) * _CELLS
    filled = min(_CELLS, round(_LIMIT * times))
    # What is over the limit shows over it, and what is not does not.
    filled = max(filled, _LIMIT + 1) if times > 1 else min(filled, _LIMIT)
    cells = "█" * filled + "░" * (_CELLS - filled)
    return f"{cells[:_LIMIT]}┃{cells[_LIMIT:]}"


def _chance(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p {p:.2g}"


def _performance(found: PerformanceEvidence, monitor: DriftMonitor) -> Text:
    name = f"estimated {found.metric}" if found.source == "Estimated" else found.metric
    of = "predictions" if found.source == "Estimated" else "labels"
    late = f", {found.delay} late on average" if found.delay else ""
    drop = f", {_let_pass(found, monitor.spec.performance)}" if monitor.spec.performance else ""
    held = f"  {number(found.reference)} held out"
    if found.value is None:
        few = too_few(found, monitor.spec.performance)
        return Text.assemble((f"{name}  ", "bold"), f"{found.labels} {of} {few}", (held, "dim"))
    mark, colour = ("✖", "red") if found.loss else ("✔", "green")
    interval = f" ({number(found.low)} to {number(found.high)})" if None not in (found.low, found.high) else ""
    return Text.assemble(
        (f"{name}  ", "bold"), (f"{mark} {number(found.value)}{interval}", colour),
        f"{held}{drop}", (f"  {found.labels} {of}{late}", "dim"),
    )  # fmt: skip


def _let_pass(found: PerformanceEvidence, wanted: Performance) -> str:
    if found.metric in ERRORS:
        return f"up to {number(worst(wanted, found))} let pass"
    return f"{let_pass(wanted, found.metric):g} let pass"


def number(value: float | None) -> str:
    """Three digits; all of them before the point, for an error may be of any size."""
    if value is None:
        return ""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _signals(found: Sequence[SignalEvidence]) -> Table:
    table = Table.grid(padding=(0, 2))
    for each in found:
        mark, colour = ("✖", "red") if each.breached else ("∅", "dim") if each.value is None else ("✔", "green")
        limits = (("≥", each.min), ("≤", each.max))
        row = f"{each.consecutive} chunks in a row" if each.consecutive else ""
        table.add_row(
            Text(f"{mark} {each.name}", colour), Text("no data" if each.value is None else f"{each.value:.4g}", colour),
            Text(", ".join(f"{sign} {limit:.4g}" for sign, limit in limits if limit is not None), "dim"),
            Text(row, colour), Text(each.message, "dim"),
        )  # fmt: skip
    return table


def _asked(root: Tree, what: str, actions: Sequence[Action], now: datetime) -> None:
    if not actions:
        return
    node = root.add(Text(what, "bold"))
    for each in actions[:SHOWN]:
        reason = f": {each.reason}" if each.reason else ""
        node.add(
            Text.assemble((each.kind, "magenta"), f" {each.version}", (f"  {ago(each.since, now)} ago", "dim"), reason)
        )
    if len(actions) > SHOWN:
        node.add(Text(f"and {len(actions) - SHOWN} before", "dim"))


def _history(status: MonitorStatus, now: datetime) -> str:
    return ", ".join(
        f"{each.verdict} {each.version} (from {ago(each.since, now)} ago)" for each in status.history[:SHOWN]
    )
