"""Draws the dashboard Perennial / Drift as it is laid out, with the answers to its queries, into docs/monitoring.svg.

python -m tests.monitoring.picture. It is no picture of Grafana: it shows what the queries answer, and where.
"""

import asyncio
import math
import tempfile
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Any

from perennial.adapters.prometheus import Prometheus, Series
from tests.monitoring import servers
from tests.monitoring.day import STEP, Asked, ask, dashboards, filled, put, write_day
from tests.monitoring.story import END, HOUR

Json = dict[str, Any]
TARGET = servers.ROOT / "docs/monitoring.svg"
CELL, LINE, PAD = 42, 26, 8
"""Pixels of a column and of a row of Grafana's grid, and within a panel."""
SHOWN = ("age", "chol")
"""Features that are drawn, for these drift."""
COLOURS = ("#3274d9", "#e0752d", "#629e51", "#bf1b00", "#705da0", "#0a437c", "#6d1f62", "#c15c17", "#508642", "#0a50a1")
NAMED = {"green": "#56a64b", "orange": "#ff9830", "red": "#e02f44", "blue": "#3274d9", "purple": "#8f3bb8"}


class Drawing:
    """One panel's SVG, within its place in pixels."""

    def __init__(self, x: float, y: float, w: float, h: float) -> None:
        self.x, self.y, self.w, self.h = x + PAD, y + 24, w - 2 * PAD, h - 24 - PAD
        self.parts = [
            f'<rect x="{x + 2}" y="{y + 2}" width="{w - 4}" height="{h - 4}" fill="#fff" stroke="#d0d4d8" rx="3"/>'
        ]

    def text(self, x: float, y: float, text: str, size: int = 11, **more: str) -> None:
        extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}"{extra}>{escape(text)}</text>')

    def box(self, x: float, y: float, w: float, h: float, fill: str) -> None:
        size = f'width="{max(w, 0):.1f}" height="{max(h, 0):.1f}"'
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="{fill}"/>')

    def line(self, points: Iterable[tuple[float, float]], colour: str, dash: str = "") -> None:
        path = " ".join(f"{x:.0f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-dasharray="{dash}"/>')


def mapped(panel: Json, value: float) -> tuple[str, str]:
    """(Text, colour) of a value that has a name."""
    for each in panel["fieldConfig"]["defaults"].get("mappings", ()):
        if found := each["options"].get(f"{value:g}"):
            return found["text"], NAMED.get(found["color"], found["color"])
    unit = panel["fieldConfig"]["defaults"].get("unit", "")
    if unit == "dateTimeFromNow":
        return f"{(END * HOUR - (value / 1000 - Drawn.begin)) / HOUR:.0f} hours ago", "#333"
    return f"{value:.{panel['fieldConfig']['defaults'].get('decimals', 2)}f}", "#333"


def legend(target: Json, labels: dict[str, str]) -> str:
    text = str(target["legendFormat"])
    for name, value in labels.items():
        text = text.replace("{{" + name + "}}", value)
    return text


class Drawn:
    """What all panels share: when the day began (Unix s)."""

    begin = 0.0


def across(drawing: Drawing, at: float) -> float:
    return drawing.x + drawing.w * (at - Drawn.begin) / (END * HOUR)


def stat(drawing: Drawing, panel: Json, answers: list[list[Series]]) -> None:
    series = answers[0][0]
    text, colour = mapped(panel, series.points[-1][1])
    name = legend(panel["targets"][0], series.labels)
    if panel["options"]["colorMode"] == "background":
        drawing.box(drawing.x, drawing.y, drawing.w, drawing.h, colour)
        colour = "#fff"
    drawing.text(drawing.x + 6, drawing.y + 34, text, 16, fill=colour)
    drawing.text(drawing.x + 6, drawing.y + 54, "" if name == "__auto" else name)


def timeline(drawing: Drawing, panel: Json, answers: list[list[Series]]) -> None:
    rows = [
        (legend(target, each.labels), each)
        for target, answer in zip(panel["targets"], answers, strict=True)
        for each in answer
    ]
    height = drawing.h / len(rows)
    for number, (name, series) in enumerate(rows):
        top = drawing.y + number * height
        for first, last, value in runs(series.points):
            text, colour = mapped(panel, value)
            begin, end = across(drawing, first), across(drawing, last)
            drawing.box(begin, top + 2, end - begin, height - 6, colour)
            if end - begin > 7 * len(text):
                drawing.text(begin + 3, top + height / 2 + 2, text, fill="#fff")
        drawing.text(drawing.x + 2, top + height - 5, name, 9, fill="#111")


def runs(points: Iterable[tuple[float, float]]) -> Iterator[tuple[float, float, float]]:
    """(First, last, value) of stretches without a change or a gap."""
    first = last = value = None
    for at, each in points:
        if value is None or each != value or at - last > 601:
            if value is not None:
                yield first, min(at, last + 600), value
            first, value = at, each
        last = at
    if value is not None:
        yield first, last, value


def timeseries(drawing: Drawing, panel: Json, answers: list[list[Series]]) -> None:
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    series = [each for answer in answers for each in answer]
    if "stacking" in custom:
        stacked(drawing, series)
        return
    values = [value for each in series for _, value in each.points if math.isfinite(value)]
    low, high = (min(values), max(values)) if max(values) > min(values) else (values[0] - 0.5, values[0] + 0.5)

    def up(value: float) -> float:
        return drawing.y + drawing.h * (high - value) / (high - low)

    for number, each in enumerate(series):
        colour, name = COLOURS[number % len(COLOURS)], legend(panel["targets"][0], each.labels)
        dash = "4 4" if name.split()[-1] in {"reference", "min", "max"} else ""
        drawing.line(((across(drawing, at), up(value)) for at, value in each.points), colour, dash)
        drawing.text(drawing.x + 4, drawing.y + 10 + 11 * number, name, 9, fill=colour)
    if "thresholdsStyle" in custom:
        drawing.line([(drawing.x, up(1)), (drawing.x + drawing.w, up(1))], "#e02f44")
    drawing.text(drawing.x + drawing.w, drawing.y - 2, f"{low:.3g} … {high:.3g}", 9, text_anchor="end", fill="#777")


def stacked(drawing: Drawing, series: list[Series]) -> None:
    """Shares over each other, as areas."""
    below: dict[float, float] = {}
    for number, each in enumerate(series):
        points = [(at, value) for at, value in each.points if math.isfinite(value)]
        floor = [(across(drawing, at), drawing.y + drawing.h * (1 - below.get(at, 0.0))) for at, _ in points]
        below |= {at: below.get(at, 0.0) + value for at, value in points}
        roof = [(across(drawing, at), drawing.y + drawing.h * (1 - below[at])) for at, _ in points]
        path = " ".join(f"{x:.0f},{y:.0f}" for x, y in [*roof, *reversed(floor)])
        drawing.parts.append(f'<polygon points="{path}" fill="{COLOURS[number % len(COLOURS)]}"/>')


def barchart(drawing: Drawing, _panel: Json, answers: list[list[Series]]) -> None:
    was, now = ({each.labels["bin"]: each.points[0][1] for each in answer} for answer in answers)
    edges = {each.labels["bin"]: float(each.labels.get("edge") or "-inf") for each in answers[0]}
    bins = sorted(was, key=lambda name: (edges[name], name))
    width, highest = drawing.w / len(bins), max(*was.values(), *now.values())
    floor = drawing.y + drawing.h - 34
    for number, name in enumerate(bins):
        left = drawing.x + number * width
        for place, (share, colour) in enumerate(((was[name], "#8e8e8e"), (now.get(name, 0.0), "#3274d9"))):
            height = (floor - drawing.y) * share / highest
            drawing.box(left + place * width * 0.4, floor - height, width * 0.38, height, colour)
        turned = f"rotate(20 {left + 2:.0f} {floor + 12:.0f})"
        drawing.text(left + 2, floor + 12, name, 8, transform=turned, fill="#555")


DRAW = {"stat": stat, "state-timeline": timeline, "timeseries": timeseries, "barchart": barchart}


async def drawn(client: Prometheus, end: float) -> str:
    found = dashboards()["perennial-drift"]
    values = await filled(client, found["templating"]["list"], end)
    chosen = {name: each[0] for name, each in values.items()}
    parts: list[str] = []
    top = 0.0
    for panel, these in repeated(found["panels"], values, chosen):
        place = panel["gridPos"]
        top = max(top, (place["y"] + place["h"]) * LINE)
        if panel["type"] == "row":
            title = escape(put(panel["title"], these))
            parts.append(f'<text x="6" y="{place["y"] * LINE + 18}" font-size="13">{title}</text>')
            continue
        drawing = Drawing(place["x"] * CELL, place["y"] * LINE, place["w"] * CELL, place["h"] * LINE)
        drawing.text(drawing.x, drawing.y - 8, put(panel["title"], these), 11, font_weight="bold")
        asked = [Asked(panel["title"], put(each["expr"], these), each["instant"]) for each in panel["targets"]]
        DRAW[panel["type"]](drawing, panel, [await ask(client, each, end) for each in asked])
        if panel["type"] in {"state-timeline", "timeseries"}:
            await mark(drawing, client, found, chosen, end)
        parts += drawing.parts
    size = f'width="{24 * CELL}" height="{top:.0f}" viewBox="0 0 {24 * CELL} {top:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#f4f5f5"/>', *parts, "</svg>", ""])


def repeated(
    panels: list[Json], values: dict[str, list[str]], chosen: dict[str, str]
) -> Iterator[tuple[Json, dict[str, str]]]:
    """Panels with their place and variables: signals beside each other, the first features below each other."""
    first = next(each["gridPos"]["y"] for each in panels if each.get("repeat") == "feature")
    fixed = [each for each in panels if each["gridPos"]["y"] < first]
    for panel in fixed:
        over = panel.get("repeat", "")
        for number, value in enumerate(values[over] if over else [""]):
            place = {**panel["gridPos"], "x": panel["gridPos"]["x"] + number * panel["gridPos"]["w"]}
            yield {**panel, "gridPos": place}, {**chosen, over: value} if over else chosen
    again = [each for each in panels if each not in fixed]
    height = 1 + max(each["gridPos"]["h"] for each in again[1:])
    for number, value in enumerate(SHOWN):
        for panel in again:
            place = {**panel["gridPos"], "y": panel["gridPos"]["y"] + number * height}
            yield {**panel, "gridPos": place}, {**chosen, "feature": value}


async def mark(drawing: Drawing, client: Prometheus, found: Json, chosen: dict[str, str], end: float) -> None:
    """A line for each retrain, rollout, promotion and rollback."""
    for each in found["annotations"]["list"]:
        answer = await ask(client, Asked(each["name"], put(each["expr"], chosen), now=False), end)
        for at in sorted({value / 1000 for series in answer for _, value in series.points}):
            if at > Drawn.begin:
                x = across(drawing, at)
                drawing.line([(x, drawing.y), (x, drawing.y + drawing.h)], NAMED[each["iconColor"]], "2 2")


async def main() -> None:
    """Writes the picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        end = write_day(folder)
        Drawn.begin = end - END * HOUR
        async with servers.prometheus(folder, {}) as url, Prometheus(url) as client:
            text = await drawn(client, end)
    TARGET.write_text(text)
    print(f"{TARGET.name}: {len(text) // 1024} KiB, a day in steps of {STEP:.0f} s")


if __name__ == "__main__":
    asyncio.run(main())
