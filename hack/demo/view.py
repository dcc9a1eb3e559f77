"""The live view in the terminal: what has happened, what is being waited for, and the four resources as they stand."""

import asyncio
import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from hack.demo.story import NAME, Step, Story, summary

KINDS = {
    "ModelTraining": ("phase", "latestVersion", "latestScore"),
    "ModelDeployment": ("phase",),
    "DriftMonitor": ("verdict", "worst", "lastAction"),
}


class View:
    """Draws a story while it is played; on a plain stream it prints a line a step instead."""

    def __init__(self, story: Story, console: Console) -> None:
        self.story, self.console = story, console
        self._objects: dict[str, dict[str, Any]] = {}
        self._versions: list[dict[str, Any]] = []

    async def follow(self) -> None:
        """Draws until it is cancelled."""
        if not self.console.is_terminal:
            await self._lines()
            return
        with Live(self._draw(), console=self.console, refresh_per_second=4, screen=False) as live:
            try:
                while True:
                    await self._read()
                    live.update(self._draw())
                    await asyncio.sleep(0.5)
            finally:
                live.update(self._steps())

    async def _lines(self) -> None:
        said: set[tuple[str, str]] = set()
        while True:
            for step in self.story.steps:
                for key, text in (("waiting", step.waiting), ("evidence", step.evidence)):
                    if text and (step.title, text) not in said:
                        said.add((step.title, text))
                        prefix = "…" if key == "waiting" else "✓"
                        self.console.print(
                            f"{time.strftime('%H:%M:%S')} {prefix} {step.title}: {text}", highlight=False
                        )
            await asyncio.sleep(0.3)

    async def _read(self) -> None:
        for kind in KINDS:
            self._objects[kind] = await self.story.stage.get(kind, NAME)
        self._versions = list(await self.story.stage.versions())

    def _draw(self) -> Group:
        return Group(self._steps(), self._resources(), self._traffic())

    def _steps(self) -> Panel:
        table = Table.grid(padding=(0, 1))
        for step in self.story.steps:
            mark: Any = (
                Spinner("dots")
                if step.ended is None
                else Text("✗" if step.failed else "✓", "red" if step.failed else "green")
            )
            took = f"{(step.ended or time.time()) - (step.began or time.time()):.0f} s"
            detail = (
                Text(step.evidence, "green")
                if step.evidence
                else Text(f"waiting for {step.waiting}" if step.waiting else "", "yellow")
            )
            table.add_row(mark, Text(step.title), Text(took, "dim"), detail)
        return Panel(table, title="Perennial: models that come back", border_style="cyan")

    def _resources(self) -> Panel:
        table = Table.grid(padding=(0, 2))
        for kind, fields in KINDS.items():
            status = self._objects.get(kind, {}).get("status", {})
            words = [str(status[name]) for name in fields if status.get(name)]
            if kind == "ModelDeployment":
                words += _shares(status)
            table.add_row(Text(kind, "bold"), Text("  ".join(words) or "-"), Text(_reason(status), "dim"))
        for each in self._versions:
            record, spec = each["spec"]["record"], each["spec"]
            state = each.get("status", {}).get("state", "")
            style = "red" if state == "Quarantined" else "green" if state == "Serving" else ""
            table.add_row(
                Text(each["metadata"]["name"]),
                Text(f"{record['score']['text']}  {spec['approval']}"),
                Text(state, style),
            )
        return Panel(table, title="kubectl get mlops", border_style="blue")

    def _traffic(self) -> Panel:
        traffic = self.story.traffic
        if traffic is None:
            return Panel(Text("no traffic yet", "dim"), title="traffic", border_style="magenta")
        shares = "  ".join(f"{version} {share:.0%}" for version, share in traffic.shares().items())
        sums = f"{sum(traffic.answered.values())} predictions, {traffic.labels} labels, {len(traffic.lost)} lost"
        return Panel(Text(f"{sums}   now: {shares}"), title="traffic", border_style="magenta")


def _reason(status: dict[str, Any]) -> str:
    ready: dict[str, Any] = next((each for each in status.get("conditions", []) if each["type"] == "Ready"), {})
    return f"{ready.get('reason', '')}: {ready.get('message', '')}"[:160] if ready else ""


def _shares(status: dict[str, Any]) -> list[str]:
    traffic, rollout = status.get("traffic", {}), status.get("rollout")
    words = [(status.get("stable") or {}).get("version", "")]
    if rollout:
        words.append(f"→ {rollout['target']['version']} wanted {traffic.get('wantedWeight', 0)} %")
        words += [
            f"{name} {traffic[key]:.0f} %"
            for name, key in (("real", "realWeight"), ("requests", "requestShare"))
            if traffic.get(key) is not None
        ]
    return words


def final_table(steps: list[Step]) -> Table:
    """What happened and when."""
    table = Table(title="What happened", title_style="bold", show_lines=False)
    table.add_column("at", justify="right")
    table.add_column("took", justify="right")
    table.add_column("step")
    table.add_column("read back from the cluster", style="green")
    for row in summary(steps):
        table.add_row(_clock(row["at"]), f"{row['took']:.0f} s", row["title"], row["evidence"])
    return table


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
