"""The other kinds in the terminal, in a simple form, and the table of all ModelDeployments."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from perennial.api.common import Object, parse_time
from perennial.api.drift import DriftMonitor
from perennial.cli import monitor
from perennial.cli.deployment import View, headline
from perennial.cli.tree import COLOURS
from perennial.cli.words import ago, percent

Json = dict[str, Any]

_FIELDS: dict[str, tuple[tuple[str, str], ...]] = {
    "ModelTraining": (
        ("phase", "status.phase"), ("model", "spec.model"), ("latest version", "status.latestVersion"),
        ("score", "status.latestScore"), ("runs", "status.runCounter"), ("next run", "status.nextRun"),
    ),
    "ModelVersion": (
        ("state", "status.state"), ("approval", "spec.approval"), ("model", "spec.record.model"),
        ("score", "spec.record.score.text"), ("algorithm", "spec.record.algorithm"),
        ("trained on", "spec.record.data.source"), ("rows", "spec.record.data.rows"),
        ("trigger", "spec.record.trigger.type"), ("created", "spec.record.created"),
    ),
}  # fmt: skip
"""What is shown of a kind: (title, path)."""
_BAD = frozenset({"Degraded", "Stalled"})


def sentence(kind: type[Object], raw: Json) -> str:
    """The object in one sentence: what its Ready condition says."""
    ready = next((each for each in _conditions(raw) if each["type"] == "Ready"), None)
    if ready is None:
        return "" if kind.KIND == "ModelVersion" else "the operator has not looked at it yet: is it running?"
    reason, message = str(ready["reason"]), ready.get("message", "")
    # A monitor's message begins with its verdict.
    told = kind is DriftMonitor and (reason == "Judged" or message.startswith(reason))
    return message if told else f"{reason}: {message}" if message else reason


def tree(kind: type[Object], raw: Json, now: datetime) -> RenderableType:
    """The object's key fields and conditions; of a DriftMonitor what it has found."""
    told = sentence(kind, raw)
    if kind is DriftMonitor:
        shown: RenderableType = monitor.tree(raw, now)
    else:
        shown = _simple(kind, raw, now)
    return Group(Text(told), "", shown) if told else shown


def _simple(kind: type[Object], raw: Json, now: datetime) -> Tree:
    metadata = raw["metadata"]
    root = Tree(Text(f"{kind.KIND} {metadata['namespace']}/{metadata['name']}", "bold"), guide_style="dim")
    fields = Table.grid(padding=(0, 2))
    for title, path in _FIELDS[kind.KIND]:
        if value := _at(raw, path):
            fields.add_row(Text(title, "bold"), Text(str(value)))
    root.add(fields)
    _add_runs(root, raw, now)
    for line in _places(raw):
        root.add(line)
    if conditions := _conditions(raw):
        root.add(_condition_table(conditions, now))
    return root


def _condition_table(conditions: Sequence[Json], now: datetime) -> Table:
    table = Table.grid(padding=(0, 2))
    for each in conditions:
        wrong = each["status"] == ("True" if each["type"] in _BAD else "False") and each["type"] != "Progressing"
        table.add_row(
            Text(each["type"], "red" if wrong else "green" if each["status"] == "True" else "dim"),
            Text(each["status"]), Text(each["reason"]), Text(each.get("message", ""), "dim"),
            Text(ago(parse_time(each["lastTransitionTime"]), now), "dim"),
        )  # fmt: skip
    return table


def _add_runs(root: Tree, raw: Json, now: datetime) -> None:
    """The runs, newest first; of the newest that has one, the leaderboard."""
    colours = {"Succeeded": "green", "Failed": "red", "Cancelled": "magenta"}
    runs: list[Json] = (raw.get("status") or {}).get("runs", [])
    ranked = next((run["number"] for run in runs if run.get("leaderboard")), None)
    for run in runs:
        words, by = _of_run(run), run["trigger"].get("by")
        line = Text.assemble(
            (f"run {run['number']}  ", "bold"), (run["phase"], colours.get(run["phase"], "yellow")),
            f"  {run['trigger']['type']}", (f" by {by}" if by else ""), (f"  {words}" if words else ""),
            (f"  {ago(parse_time(run['startedAt']), now)} ago", "dim"),
        )  # fmt: skip
        node = root.add(line)
        for place, each in enumerate(run["leaderboard"] if run["number"] == ranked else (), 1):
            tried = f"{each['trials']} trial{'' if each['trials'] == 1 else 's'}"
            node.add(Text(f"{place}. {each['algorithm']}  {each['score']:.4g}  {tried}", "dim"))


def _of_run(run: Json) -> str:
    told: tuple[str, ...] = ("outcome", "version", "score", "message")
    if run["phase"] == "Running" and run.get("launched"):  # of a second attempt the message is about the first
        told = ("progress",)
    attempt = f"attempt {run['attempt']}" if run.get("attempt", 1) > 1 else ""
    reproduced = f"to reproduce {run['reproduces']}" if run.get("reproduces") else ""
    return " ".join(filter(None, (attempt, reproduced, *(run.get(key) for key in told))))


def run_sentence(run: Json) -> str:
    """A run of a ModelTraining in one sentence; {} is one that is not in the status any more."""
    if not run:
        return "the run is not in the status any more: later ones have taken its place"
    words = _of_run(run)
    return f"run {run['number']}: {run['phase']}{f': {words}' if words else ''}"


def _places(raw: Json) -> Iterable[Text]:
    """Where a version serves, and where it is kept out."""
    status = raw.get("status") or {}
    for each in status.get("serving", []):
        yield Text.assemble((f"{each['role']}  ", "bold"), f"in {each['deployment']}")
    for each in status.get("quarantined", []):
        yield Text.assemble(("quarantined  ", "bold magenta"), f"in {each['deployment']}: {each['reason']}")


def _conditions(raw: Json) -> list[Json]:
    return list((raw.get("status") or {}).get("conditions") or ())


def _at(raw: Any, path: str) -> Any:
    for key in path.split("."):
        raw = (raw or {}).get(key)
    return raw


def table(views: Sequence[View], now: datetime, *, namespaces: bool) -> RenderableType:
    """One line for each ModelDeployment."""
    if not views:
        return Text("there are no ModelDeployments here")
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    titles = ("NAME", "STABLE", "PHASE", "NEXT", "WEIGHT", "READY", "AGE", "")
    for title in ("NAMESPACE", *titles) if namespaces else titles:
        made.add_column(title, overflow="fold" if title else "ellipsis", no_wrap=not title)
    for view in views:
        metadata, status = view.deployment.metadata, view.deployment.status
        row = [
            Text(metadata.name, "bold"), Text(status.stable.version if status.stable else "-", "cyan"),
            Text(status.phase or "-", COLOURS.get(status.phase, "")),
            Text(status.rollout.target.version if status.rollout else "-"),
            Text(percent(status.traffic.wanted_weight) if status.rollout else "-"), Text(str(status.ready_replicas)),
            Text(ago(metadata.creation_timestamp, now)), Text(headline(view, now), "dim"),
        ]  # fmt: skip
        made.add_row(*([Text(metadata.namespace), *row] if namespaces else row))
    return made
