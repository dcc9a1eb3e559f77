"""Each query of the dashboards, asked of a real Prometheus that holds a day of a predictor and of the operator."""

import json
import math
import re
import subprocess
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from perennial.adapters.prometheus import Prometheus, Series
from tests.monitoring import servers
from tests.monitoring.story import BEGUN, DEPLOYMENT, END, HOUR, NAMESPACE, ROLLBACK, V1, V2, Story, scraped, timed

Json = dict[str, Any]
FOLDER = servers.ROOT / "charts/perennial/files/dashboards"
STEP = 120.0
_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")
_QUERY_RESULT = re.compile(r"query_result\((.+)\)")
_NAMES = re.compile(r"\b(?:perennial|process)_\w+")


@dataclass(frozen=True)
class Asked:
    """A query with its variables filled in."""

    where: str
    expr: str
    now: bool


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """(A folder with Prometheus' data, when they end)."""
    folder = tmp_path_factory.mktemp("history")
    end = time.time() // STEP * STEP
    story = Story(end - END * HOUR)
    with (folder / "day.txt").open("w") as file:
        for line in _lines(story, end):
            file.write(line + "\n")
        file.write("# EOF\n")
    made = servers.promtool("tsdb", "create-blocks-from", "openmetrics", folder / "day.txt", folder / "data")
    assert made.returncode == 0, made.stderr
    return folder, end


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


@pytest.fixture
async def client(history: tuple[Path, float]) -> AsyncIterator[Prometheus]:
    async with servers.prometheus(history[0], {}) as url, Prometheus(url) as client:
        yield client


def dashboards() -> dict[str, Json]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def test_the_dashboards_are_those_of_the_program() -> None:
    from hack.dashboards.__main__ import main

    assert main(["--check"]) == 0
    assert set(dashboards()) == {"perennial-models", "perennial-drift"}


def test_grafanas_own_schema_knows_all_of_it_and_misses_nothing(tmp_path: Path) -> None:
    answer = servers.schema(*FOLDER.glob("*.json"))
    assert answer.returncode == 0, answer.stderr
    wrong = tmp_path / "wrong.json"
    wrong.write_text((FOLDER / "perennial-drift.json").read_text().replace('"reduceOptions"', '"reduceOption"'))
    assert "unexpected field 'reduceOption'" in servers.schema(wrong).stderr


def test_panels_lie_beside_each_other_and_have_ids_of_their_own() -> None:
    for name, found in dashboards().items():
        taken: set[tuple[int, int]] = set()
        for panel in found["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, (name, panel["title"])
            assert place["x"] + place["w"] <= 24, (name, panel["title"])
            taken |= cells
        ids = [panel["id"] for panel in found["panels"]]
        assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", ["perennial-models", "perennial-drift"])
async def test_every_query_has_an_answer(name: str, client: Prometheus, history: tuple[Path, float]) -> None:
    found, end = dashboards()[name], history[1]
    values = await filled(client, found["templating"]["list"], end)
    asked = list(queries(found, values))
    assert len(asked) > 10
    if "version" in values:
        assert values["version"] == [V1], "what serves now comes first, not the version that was rolled back"
    known = {each.labels["__name__"] for each in await client.query('last_over_time({__name__!=""}[2d])', end)}
    for each in asked:
        assert "$" not in each.expr.replace('"$1"', ""), each
        answer = await ask(client, each, end)
        assert any(math.isfinite(value) for series in answer for _, value in series.points), each
        # "or vector(0)" answers whatever the metric is called.
        assert set(_NAMES.findall(each.expr)) <= known, each


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


async def test_the_table_has_one_row_a_model(client: Prometheus, history: tuple[Path, float]) -> None:
    table = next(each for each in dashboards()["perennial-models"]["panels"] if each["type"] == "table")
    for target in table["targets"]:
        answer = await client.query(put(target["expr"], {"namespace": ".*"}), history[1] - STEP)
        [row] = answer
        assert (row.labels["deployment"], row.labels["monitor"]) == (f"{NAMESPACE}/{DEPLOYMENT}", "watch"), target
        assert row.labels["version"] == V1, "what serves now"


async def test_a_model_without_a_monitor_has_a_row_too(history: tuple[Path, float], client: Prometheus) -> None:
    table = next(each for each in dashboards()["perennial-models"]["panels"] if each["type"] == "table")
    expr = put(table["targets"][0]["expr"], {"namespace": ".*"}).replace("perennial_monitor_verdict", "no_such_metric")
    [row] = await client.query(expr, history[1] - STEP)
    assert (row.labels["deployment"], row.labels["verdict"]) == (f"{NAMESPACE}/{DEPLOYMENT}", "Unwatched")


async def test_baseline_and_now_are_shares_of_the_same_bins(client: Prometheus, history: tuple[Path, float]) -> None:
    panels = [each for each in dashboards()["perennial-drift"]["panels"] if each["type"] == "barchart"]
    chosen = {"deployment": f"{NAMESPACE}/{DEPLOYMENT}", "version": V1, "feature": "age", "window": "6h"}
    for panel in panels:
        answers = [await client.query(put(one["expr"], chosen), history[1] - STEP) for one in panel["targets"]]
        was, now = ({each.labels["bin"]: each.points[0][1] for each in answer} for answer in answers)
        assert was.keys() == now.keys(), panel["title"]
        assert sum(was.values()) == pytest.approx(1, abs=1e-3)
        assert sum(now.values()) == pytest.approx(1, abs=1e-3)
    ages = await client.query(put(panels[-1]["targets"][0]["expr"], chosen), history[1] - STEP)
    edges = {each.labels["bin"]: float(each.labels["edge"]) for each in ages if each.labels.get("edge")}
    assert len(edges) > 5
    assert all(bin_.startswith(f"[{edge:g},") for bin_, edge in edges.items())
    assert now["__above__"] > 0.05 > was["__above__"], "older patients came"


async def test_annotations_lie_where_things_happened(client: Prometheus, history: tuple[Path, float]) -> None:
    found, end = dashboards()["perennial-drift"], history[1]
    begin = end - END * HOUR
    chosen = {"deployment": f"{NAMESPACE}/{DEPLOYMENT}", "monitor": "watch"}
    told: dict[str, set[float]] = {}
    for each in found["annotations"]["list"]:
        answer = await client.query_range(put(each["expr"], chosen), begin, end - STEP, 300)
        told[each["name"]] = {round((value / 1000 - begin) / HOUR, 1) for one in answer for _, value in one.points}
    assert told == {"Retrain": {9.0}, "Rollback": {19.0}, "Rollout": {10.0}, "Promotion": {0.0, 11.0, 19.0}}
