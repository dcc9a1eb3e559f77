"""The alerts: by promtool, and on their way from the operator through Prometheus and Alertmanager to a person."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import aiohttp
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from perennial.api.verdict import Verdict
from perennial.domain.drift.monitor import DISAGREES, HUMAN, READY, SUSPECT
from perennial.reconcile.watch import Index
from perennial.telemetry import Health, Metrics, serving
from tests.api.process import free_port
from tests.monitoring import servers
from tests.monitoring.story import condition, deployment, evidence, monitor, revision

Json = dict[str, Any]
HERE = Path(__file__).parent
RUNBOOKS = servers.ROOT / "docs/runbooks"


def rules() -> dict[str, Json]:
    groups = yaml.safe_load(servers.ALERTS.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def test_prometheus_takes_the_file_and_the_alerts_fire_when_they_should() -> None:
    for arguments in (("check", "rules", servers.ALERTS), ("test", "rules", HERE / "alerts.test.yaml")):
        answer = servers.promtool(*arguments)
        assert answer.returncode == 0, answer.stdout + answer.stderr


def test_each_alert_is_played_there() -> None:
    played = (HERE / "alerts.test.yaml").read_text()
    assert [
        name for name in rules() if name not in played and name.removeprefix("PerennialMonitor") not in played
    ] == []


def test_every_verdict_and_every_condition_has_an_alert() -> None:
    """But what is good. Ready says why nothing can be judged."""
    asked = " ".join(rule["expr"] for rule in rules().values())
    for verdict in set(get_args(Verdict)) - {"Healthy"}:
        assert f'verdict="{verdict}"' in asked, verdict
    # SignalsBreached has one for each signal, by perennial_monitor_signal_breached.
    for type_ in (READY, SUSPECT, HUMAN, DISAGREES):
        assert f'perennial_monitor_condition{{type="{type_}"' in asked, type_


@dataclass
class Team:
    """Whoever Alertmanager tells."""

    told: list[Json] = field(default_factory=list)

    async def hear(self, request: web.Request) -> web.Response:
        self.told += (await request.json())["alerts"]
        return web.Response()

    def last(self, name: str) -> str:
        """firing, resolved, or "" before anything was said of the alert."""
        return next((each["status"] for each in reversed(self.told) if each["labels"]["alertname"] == name), "")


@dataclass
class Chain:
    """An operator's metrics, a Prometheus that scrapes them, an Alertmanager, and a team."""

    index: Index
    team: Team
    alertmanager: str

    async def alerts(self) -> dict[str, Json]:
        """What Alertmanager's API shows, by name."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.alertmanager}/api/v2/alerts") as answer:
            return {each["labels"]["alertname"]: each for each in await answer.json()}


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    index, metrics, port, team = Index(), Metrics(), free_port(), Team()
    metrics.leads()
    metrics.follow_roles(index.roles)
    metrics.follow_objects(index.exposition)
    app = web.Application()
    app.add_routes([web.post("/", team.hear)])
    async with (
        serving(metrics, Health(), port),
        TestServer(app) as webhook,
        servers.alertmanager(tmp_path, str(webhook.make_url("/"))) as alerting,
        servers.prometheus(tmp_path, _configuration(port, alerting)),
    ):
        yield Chain(index, team, alerting)


def _configuration(port: int, alerting: str) -> Json:
    # As a scrape by annotations has it: the operator's own namespace, and no honor_labels.
    labels = {"namespace": "perennial-system", "pod": "perennial-0"}
    target = {"targets": [f"127.0.0.1:{port}"], "labels": labels}
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(servers.ALERTS)],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alerting.removeprefix("http://")]}]}]},
        "scrape_configs": [{"job_name": "pods", "static_configs": [target]}],
    }


async def test_a_verdict_reaches_the_team_with_its_runbook_and_is_taken_back(chain: Chain) -> None:
    chain.index.seen(monitor(status=evidence("Drifting", "heart-v1", 0.0)))

    async def fires() -> bool:
        return "PerennialModelDrifting" in await chain.alerts()

    await servers.until(fires, "Alertmanager shows no alert")
    alert = (await chain.alerts())["PerennialModelDrifting"]
    assert alert["labels"] == {
        "alertname": "PerennialModelDrifting", "severity": "warning", "namespace": "clinic",
        "deployment": "clinic/heart", "monitor": "watch", "version": "heart-v1",
    }  # fmt: skip
    assert alert["annotations"]["runbook_url"] == "docs/runbooks/PerennialModelDrifting.md"
    for part in ("InputDrift in heart-v1", "age (stability index 0.310)", "chol (stability index 0.120)"):
        assert part in alert["annotations"]["description"]

    async def told(status: str) -> bool:
        return chain.team.last("PerennialModelDrifting") == status

    await servers.until(lambda: told("firing"), "the team hears nothing")
    chain.index.seen(monitor(status=evidence("Healthy", "heart-v1", 0.0)))
    await servers.until(lambda: told("resolved"), "the team does not hear that it is over")
    assert "PerennialModelDrifting" not in await chain.alerts()


async def test_every_text_is_whole(chain: Chain) -> None:
    """Those of alerts that fire at once; promtool plays the others, and their texts ask nothing."""
    for name, verdict in (("a", "Drifting"), ("b", "PerformanceLoss"), ("c", "NoTraffic"), ("d", "NoMetrics")):
        chain.index.seen(monitor(name, name, evidence(verdict, f"{name}-v1", 0.0)))
    suspicious = [condition(type_, "True", "Why") for type_ in ("HumanNeeded", "LabelsSuspect")]
    actions = [{"id": "x", "kind": "Retrain", "version": "e-v1", "since": "2026-01-01T00:00:00Z"}]
    status = {**evidence("InsufficientData", "e-v1", 0.0), "conditions": suspicious, "actions": actions}
    chain.index.seen(monitor("e", "e", status))
    held = {"version": "f-v2", "reason": "rolled back", "since": "2026-01-01T00:00:00Z"}
    chain.index.seen(deployment("f", {"stable": revision("f-v1", 0.0), "held": held}))
    wanted = {name for name, rule in rules().items() if "for" not in rule}

    async def all_fire() -> bool:
        return wanted <= set(await chain.alerts())

    await servers.until(all_fire, "not all alerts fire")
    found = await chain.alerts()
    for name in wanted:
        texts = found[name]["annotations"]
        for part in ("<no value>", "<error", "%!", "  "):
            assert part not in texts["summary"] + texts["description"], (name, texts)
        assert found[name]["labels"]["namespace"] == "clinic"
    assert "accuracy 0.71 (Labels)" in found["PerennialPerformanceLoss"]["annotations"]["description"]
    assert "Retrain 1 times, Rollback 0 times" in found["PerennialHumanNeeded"]["annotations"]["description"]
    assert "4321 predictions" in found["PerennialInsufficientData"]["annotations"]["description"]
    assert json.dumps(found).count("docs/runbooks/") == len(found)


def test_each_alert_has_a_severity_texts_and_a_runbook_that_exists() -> None:
    for name, rule in rules().items():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, name
        assert {"summary", "description", "runbook_url"} <= rule["annotations"].keys(), name
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
        text = (RUNBOOKS / f"{name}.md").read_text()
        assert f"Severity: {rule['labels']['severity']}." in text, name
        for part in ("## What it means", "## How to look", "## What to do", "## When to silence"):
            assert part in text, (name, part)
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(rules())
