"""A day of a predictor and of the operator in Prometheus' own files, and what the dashboards ask about it."""

import json
import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perennial.adapters.prometheus import Prometheus, Series
from tests.monitoring import servers
from tests.monitoring.story import BEGUN, END, HOUR, NAMESPACE, ROLLBACK, V1, V2, Story, scraped, timed

Json = dict[str, Any]
FOLDER = servers.ROOT / "charts/perennial/files/dashboards"
STEP = 120.0
"""Seconds between two samples."""
_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")
_QUERY_RESULT = re.compile(r"query_result\((.+)\)")


def dashboards() -> dict[str, Json]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


@dataclass(frozen=True)
class Asked:
    """A query with its variables filled in."""

    where: str
    expr: str
    now: bool


def write_day(folder: Path) -> float:
    """Makes ``folder``/data for a Prometheus; returns when the day ends, Unix seconds."""
    end = time.time() // STEP * STEP
    story = Story(end - END * HOUR)
    with (folder / "day.txt").open("w") as file:
        for line in _lines(story, end):
            file.write(line + "\n")
        file.write("# EOF\n")
    made = servers.promtool("tsdb", "create-blocks-from", "openmetrics", folder / "day.txt", folder / "data")
    assert made.returncode == 0, made.stderr
    return end


def _lines(story: Story, end: float) -> Iterator[str]:
    at = story.begin
    while at < end:
        yield from scraped(timed(story.at((at - story.begin) / HOUR), at), "perennial-system", "perennial-0")
        at += STEP
    served = ((V1, 0.0, 21.0, END), (V2, BEGUN, END, ROLLBACK + 1))
    for version, *hours in served:
        times = [f"{story.begin + hour * HOUR:.0f}" for hour in hours]
        command = [servers.ROOT / ".venvs/serving/bin/python", "-m", "tests.monitoring.predictor", version, *times]
        answer = subprocess.run([*command, f"{STEP:.0f}"], cwd=servers.ROOT, check=True, capture_output=True, text=True)
        yield from scraped(answer.stdout.splitlines(), NAMESPACE, f"{version}-0")


async def filled(client: Prometheus, variables: Iterable[Json], end: float) -> dict[str, list[str]]:
    """The values of each variable, in order, as Grafana would find them; the first is chosen, or all where it may."""
    values: dict[str, list[str]] = {}
    for each in variables:
        if each["type"] == "custom":
            values[each["name"]] = [each["current"]["value"]]
        if each["type"] != "query":
            continue
        chosen = {name: found[0] for name, found in values.items()}
        found = await _options(client, each, put(each["query"]["query"], chosen), end)
        assert found, each
        values[each["name"]] = found if each.get("includeAll") and each["name"] != "namespace" else found[:1]
    return values


async def _options(client: Prometheus, variable: Json, query: str, end: float) -> list[str]:
    """Without repetition; in the order of the answer, or of their names where the variable is sorted."""
    if match := _QUERY_RESULT.fullmatch(query):
        texts = [_text(series) for series in await client.query(match[1], end - STEP)]
    else:
        match = _LABEL_VALUES.fullmatch(query)
        assert match, variable
        answer = await client.query(f"count by ({match[2]}) (last_over_time({match[1]}[2d]))", end)
        texts = [series.labels.get(match[2], "") for series in answer]
    found = list(dict.fromkeys(filter(None, (_captured(variable, text) for text in texts))))
    return sorted(found) if variable["sort"] else found


def _text(series: Series) -> str:
    labels = ",".join(f'{name}="{value}"' for name, value in series.labels.items())
    return f"{{{labels}}} {series.points[-1][1]:g}"


def _captured(variable: Json, value: str) -> str:
    if not variable.get("regex"):
        return value
    match = re.search(variable["regex"].strip("/").replace("\\/", "/"), value)
    return match[match.lastindex or 0] if match else ""


def put(text: str, values: dict[str, str]) -> str:
    for name, value in {"__range": "26h", **values}.items():
        text = text.replace(f"${name}", value)
    return text


def queries(found: Json, values: dict[str, list[str]]) -> Iterator[Asked]:
    """Of all panels, repeated ones for each value, and of annotations."""
    chosen = {name: each[0] for name, each in values.items()}
    repeat = ""
    for panel in found["panels"]:
        if panel["type"] == "row":
            repeat = panel.get("repeat", "")
        over = panel.get("repeat") or repeat
        for value in values[over] if over else [""]:
            these = {**chosen, over: value} if over else chosen
            for target in panel.get("targets", ()):
                yield Asked(f"{panel['title']} {value}", put(target["expr"], these), target["instant"])
    for each in found["annotations"]["list"]:
        yield Asked(each["name"], put(each["expr"], chosen), now=False)


async def ask(client: Prometheus, asked: Asked, end: float) -> list[Series]:
    if asked.now:
        return await client.query(asked.expr, end - STEP)
    return await client.query_range(asked.expr, end - 25 * HOUR, end - STEP, 600)
