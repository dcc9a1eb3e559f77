"""Each query of the dashboards, asked of a real Prometheus that holds a day of a predictor and of the operator."""

import math
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perennial.adapters.prometheus import Prometheus
from tests.monitoring import servers
from tests.monitoring.day import FOLDER, STEP, ask, dashboards, filled, put, queries, write_day
from tests.monitoring.story import DEPLOYMENT, END, HOUR, NAMESPACE, V1

_NAMES = re.compile(r"\b(?:perennial|process)_\w+")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """(A folder with Prometheus' data, when they end)."""
    folder = tmp_path_factory.mktemp("history")
    return folder, write_day(folder)


@pytest.fixture
async def client(history: tuple[Path, float]) -> AsyncIterator[Prometheus]:
    async with servers.prometheus(history[0], {}) as url, Prometheus(url) as client:
        yield client


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
