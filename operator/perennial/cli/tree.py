"""A ModelDeployment as a tree in the terminal."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from perennial.api.deployment import Measurement, Revision
from perennial.cli.deployment import Pod, View, headline, stages
from perennial.cli.words import ago, bounds, figure, percent, short_image, span

COLOURS = {
    "Healthy": "green", "Progressing": "yellow", "Paused": "yellow", "Holding": "magenta", "Degraded": "red",
    "Pending": "yellow",
}  # fmt: skip
_RESULTS = {"Pass": ("✔", "green"), "Fail": ("✖", "red"), "Inconclusive": ("?", "yellow"), "NoData": ("∅", "dim")}
_STAGES = {"done": ("✔", "green"), "now": ("●", "yellow"), "ahead": ("○", "dim")}


def tree(view: View, now: datetime) -> RenderableType:
    """All of it, with the sentence that says the most on top."""
    deployment, status = view.deployment, view.deployment.status
    colour = COLOURS.get(status.phase, "")
    root = Tree(
        Text.assemble(
            (f"{deployment.metadata.namespace}/{deployment.metadata.name}", "bold"), "  ",
            (status.phase or "Unknown", f"bold {colour}"),
            (f"  {deployment.spec.rollout.strategy}, traffic by {deployment.spec.traffic.provider}", "dim"),
        ),
        guide_style="dim",
    )  # fmt: skip
    if status.stable:
        _revision(root.add(_title("stable", status.stable, view, now)), status.stable, view, now)
    _rollout(root, view, now)
    if status.standby:
        revision, until = status.standby.revision, status.standby.until
        left = span((until - now).total_seconds())
        title = _title("standby", revision, view, now).append(f"  until {until:%H:%M:%S}Z, {left} left", "dim")
        _revision(root.add(title), revision, view, now)
    _kept_out(root, view, now)
    if status.history:
        before = ", ".join(f"{each.version} ({ago(each.since, now) or '?'} ago)" for each in status.history)
        root.add(Text.assemble(("promoted here  ", "bold"), (before, "dim")))
    return Group(Text(headline(view, now), colour), "", root)


def _title(role: str, revision: Revision, view: View, now: datetime) -> Text:
    pods = view.pods_of(revision)
    ready, wanted = sum(pod.ready for pod in pods), (view.wanted or {}).get(revision.revision, len(pods))
    since = f"  for {ago(revision.since, now)}" if revision.since else ""
    return Text.assemble(
        (f"{role}  ", "bold"), (revision.version, "cyan"), (f"  revision {revision.revision}", "dim"),
        (f"  {ready}/{wanted} ready", "green" if ready >= wanted else "yellow"),
        (f"{since}  {short_image(revision.image)}", "dim"),
    )  # fmt: skip


def _revision(node: Tree, revision: Revision, view: View, now: datetime) -> None:
    blocked = (view.blocked or {}).get(revision.revision)
    if blocked:
        node.add(Text(f"✖ no pod can be made: {blocked.reason}: {blocked.message}", "red"))
    pods = view.pods_of(revision)
    if pods:
        node.add(_pods(pods, now))
    for pod in pods:
        if pod.trouble:
            node.add(Text(f"{pod.name}: {pod.trouble.message}", "red"))


def _pods(pods: Sequence[Pod], now: datetime) -> Table:
    table = Table.grid(padding=(0, 2))
    for pod in pods:
        mark, colour = ("✔", "green") if pod.ready else ("✖", "red") if pod.trouble else ("◌", "yellow")
        restarts = Text(f"{pod.restarts} restarts" if pod.restarts else "", "yellow")
        table.add_row(
            Text(f"{mark} {pod.name}", colour), Text(pod.state, colour), restarts, Text(pod.node, "dim"),
            Text(ago(pod.created, now), "dim"),
        )  # fmt: skip
    return table


def _rollout(root: Tree, view: View, now: datetime) -> None:
    rollout = view.deployment.status.rollout
    if rollout is None:
        return
    title = _title("rollout →", rollout.target, view, now)
    node = root.add(title.append(f"  {rollout.strategy}, begun {ago(rollout.started_at, now)} ago", "dim"))
    for stage in stages(view, now):
        mark, colour = _STAGES[stage.state]
        left = f"  {span(stage.left.total_seconds())} left" if stage.left else ""
        node.add(
            Text.assemble((f"{mark} {stage.title}", colour), (left, "bold"), (stage.note and f"  {stage.note}", colour))
        )
    node.add(_shares(view))
    _measurements(node, view, now)
    _revision(node, rollout.target, view, now)


def _shares(view: View) -> Text:
    traffic = view.deployment.status.traffic
    parts = [f"wanted {percent(traffic.wanted_weight)}"]
    source = "the Gateway's" if view.deployment.spec.traffic.provider == "Gateway" else "of the pods"
    if traffic.real_weight is not None:
        parts.append(f"real {percent(traffic.real_weight)} {source}")
    if traffic.request_share is not None:
        parts.append(f"measured {percent(traffic.request_share)} of the requests")
    if traffic.mirror_share:
        parts.append(f"copies of {percent(traffic.mirror_share)}")
    return Text.assemble(("traffic  ", "bold"), ", ".join(parts))


def _measurements(node: Tree, view: View, now: datetime) -> None:
    """The newest measurement of each metric, with the verdicts before it, oldest first."""
    rollout, analysis = view.deployment.status.rollout, view.deployment.spec.rollout.analysis
    if rollout is None or not analysis.metrics:
        return
    counts = f"{rollout.passed} passed, {rollout.failed} failed ({analysis.failure_limit} let pass)"
    counts += f", {rollout.inconclusive} inconclusive" if rollout.inconclusive else ""
    counts += f", {rollout.no_data} in a row without data" if rollout.no_data else ""
    branch = node.add(Text.assemble(("analysis  ", "bold"), (f"every {analysis.interval}: {counts}", "dim")))
    table = Table.grid(padding=(0, 2))
    by_name = sorted(rollout.measurements, key=lambda each: each.name)
    for _, group in groupby(by_name, key=lambda each: each.name):
        _measurement(table, list(group), view, now)
    if table.row_count:
        branch.add(table)


def _measurement(table: Table, measured: list[Measurement], view: View, now: datetime) -> None:
    newest, metric = measured[0], view.metric(measured[0].name)
    mark, colour = _RESULTS[newest.result]
    trail = Text.assemble(*(_RESULTS[each.result] for each in reversed(measured)))
    table.add_row(
        Text(f"{mark} {newest.name}", colour), Text(figure(newest.value, metric), colour),
        Text(bounds(newest, metric), "dim"), Text(newest.result, colour), trail,
        Text(f"{ago(newest.at, now)} ago", "dim"), Text(newest.message, "dim"),
    )  # fmt: skip


def _kept_out(root: Tree, view: View, now: datetime) -> None:
    held, quarantined = view.deployment.status.held, view.quarantined or {}
    if held:
        what = f"the new configuration of {held.version}" if held.configuration else held.version
        root.add(_mark("held", what, held.reason, ago(held.since, now)))
    for version, mark in sorted(quarantined.items()):
        if held is None or version != held.version:
            root.add(_mark("quarantined", version, mark.reason, ago(mark.since, now)))


def _mark(role: str, what: str, reason: str, age: str) -> Text:
    return Text.assemble((f"{role}  ", "bold magenta"), (what, "cyan"), f"  {reason}", (f"  {age} ago", "dim"))
