"""The controller over time: what it asks, what it remembers, what it says, and what it does after a restart."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from perennial.adapters.prometheus import Prometheus
from perennial.adapters.store import StoreUnavailable
from perennial.api.common import format_time
from perennial.contracts.objects import DigestMismatch
from perennial.domain.plan import Apply, Plan
from perennial.reconcile.drift import MonitorController
from tests.unit.drift.prometheus_server import PrometheusServer, Traffic
from tests.unit.drift.support import (
    AGE,
    NOW,
    SEX,
    STEP,
    action,
    baseline,
    deployment_json,
    monitor_json,
    signature,
    training_json,
    version_json,
)

CALM_BINS = {
    ("age", "[20,40)"): 6.0,
    ("age", "[40,60)"): 8.0,
    ("age", "[60,80]"): 6.0,
    ("sex", "0"): 6.4,
    ("sex", "1"): 13.6,
}
OLDER_BINS = {**CALM_BINS, ("age", "[20,40)"): 2.0, ("age", "[60,80]"): 10.0}
AGES_AGO = NOW.timestamp() - 7200


@dataclass
class Setting:
    """One monitor and what it reads, with a clock; ``look`` is what the loop does."""

    server: PrometheusServer
    prometheus: Prometheus
    now: datetime = NOW
    objects: dict[tuple[str, str], Any] = field(default_factory=dict)
    stored: bytes | Exception = field(default_factory=baseline)
    raw: dict[str, Any] = field(default_factory=monitor_json)
    controller: MonitorController = field(default_factory=MonitorController)

    async def get(self, _api_version: str, kind: str, _namespace: str, name: str) -> Any:
        return self.objects.get((kind, name))

    async def read(self, _namespace: str, artifact: Any) -> bytes:
        if isinstance(self.stored, Exception):
            raise self.stored
        return signature() if artifact.uri.endswith("signature.json") else self.stored

    async def look(self) -> Plan:
        """Gathers, decides, writes the status."""
        context: Any = SimpleNamespace(api=self, store=self, prometheus=self.prometheus)
        plan = self.controller.decide(await self.controller.gather(context, self.raw, self.now), self.now)
        if plan.status is not None:
            self.raw["status"] = plan.status.wire()
        return plan

    async def go_on(self, seconds: float) -> list[str]:
        """Looks whenever it asked to, for so long; the reasons of all events."""
        until, events = self.now + timedelta(seconds=seconds), []
        while self.now < until:
            plan = await self.look()
            events += [event.reason for event in plan.events]
            wait = (await self.look()).requeue
            assert wait, "it never looks again"
            self.now += timedelta(seconds=wait + 0.01)
        return events

    def serve(self, version: str, since: datetime, **status: Any) -> None:
        self.objects["ModelDeployment", "heart"] = deployment_json(version, since=since, **status)
        self.objects["ModelVersion", version] = version_json(version)

    def flow(self, bins: dict[tuple[str, str], float], version: str = "heart-v1", **more: Any) -> None:
        """From now on (or from ``start``) this is what comes."""
        start = more.pop("start", self.now.timestamp())
        kept = [
            Traffic(old.version, old.start, min(old.end, start), old.bins, old.predictions, old.feedback)
            for old in self.server.traffic
        ]
        flow = Traffic(version, start, 1e12, bins, {"1": sum(bins.values()) / 2}, **more)
        self.server.traffic = [*kept, flow]

    def ready(self) -> tuple[str, str]:
        [found] = [each for each in self.raw["status"]["conditions"] if each["type"] == "Ready"]
        return found["status"], found["reason"]


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    async with PrometheusServer() as server, Prometheus(server.url) as prometheus:
        made = Setting(server, prometheus)
        made.serve("heart-v1", NOW - timedelta(hours=1))
        made.flow(CALM_BINS, start=AGES_AGO)
        yield made


async def test_a_calm_hour_is_healthy_and_nothing_is_asked_for(setting: Setting) -> None:
    assert await setting.go_on(600) == ["Healthy"]
    status = setting.raw["status"]
    assert (status["verdict"], status["version"], status["observations"]) == ("Healthy", "heart-v1", 1200)
    assert status.get("actions", []) == []
    assert status["consecutive"] == 10
    assert setting.ready() == ("True", "Judged")


async def test_the_verdict_comes_at_a_chunks_close_and_nothing_is_written_in_between(setting: Setting) -> None:
    plan = await setting.look()
    assert plan.requeue is not None
    again = await setting.look()
    assert again.status is None
    assert again.requeue == plan.requeue
    asked = len(setting.server.asked)
    setting.now += timedelta(seconds=plan.requeue - 0.1)
    assert (await setting.look()).status is None
    assert len(setting.server.asked) == asked, "Prometheus is asked once a chunk"


async def test_only_the_newest_chunk_is_asked_for_and_a_restart_reads_back_once(setting: Setting) -> None:
    await setting.go_on(2 * STEP)
    spans = {float(each["end"]) - float(each["start"]) for each in setting.server.asked[1:]}
    assert spans == {0.0}
    judged = setting.raw["status"]["features"]
    setting.controller = MonitorController()
    del setting.raw["status"]["windowEnd"]
    setting.server.asked.clear()
    await setting.look()
    assert [float(each["end"]) - float(each["start"]) for each in setting.server.asked] == [2.0 * STEP]
    assert setting.raw["status"]["features"] == judged


async def test_drift_is_seen_named_and_answered_once(setting: Setting) -> None:
    await setting.go_on(60)
    setting.flow(OLDER_BINS)
    events = await setting.go_on(100)
    assert events == ["Drifting", "Retrain"]
    status = setting.raw["status"]
    assert (status["verdict"], status["worst"]) == ("Drifting", "age")
    [asked] = status["actions"]
    assert (asked["kind"], asked["version"], asked["digest"]) == ("Retrain", "heart-v1", "ab" * 32)
    assert status["lastAction"] == "Retrain heart-v1"
    await setting.go_on(300)
    assert len(setting.raw["status"]["actions"]) == 1, "nobody has taken it up yet"


async def test_ended_before_its_status_was_written_it_asks_for_the_same(setting: Setting) -> None:
    setting.flow(OLDER_BINS, start=AGES_AGO)
    before = dict(setting.raw)
    await setting.look()
    first = setting.raw["status"]["actions"]
    setting.raw, setting.controller = before, MonitorController()
    setting.now += timedelta(seconds=3)
    await setting.look()
    assert [each["id"] for each in setting.raw["status"]["actions"]] == [each["id"] for each in first]


async def test_a_promotion_begins_anew(setting: Setting) -> None:
    setting.flow(OLDER_BINS, start=AGES_AGO)
    await setting.go_on(30)
    promoted = setting.now
    setting.serve("heart-v2", promoted)
    setting.flow(CALM_BINS, "heart-v2")
    assert await setting.go_on(45) == ["InsufficientData"]
    status = setting.raw["status"]
    assert (status["version"], status["features"], len(status["actions"])) == ("heart-v2", [], 1)
    assert "of 3 parts of the window have passed since heart-v2" in status["conditions"][0]["message"]
    assert setting.ready() == ("Unknown", "InsufficientData")
    assert await setting.go_on(60) == ["Healthy"]


async def test_a_rollout_holds_actions_back(setting: Setting) -> None:
    setting.flow(OLDER_BINS, start=AGES_AGO)
    moment = format_time(setting.now)
    target = {"version": "heart-v2", "revision": "r2", "image": "serving:1"}
    rollout = {"target": target, "startedAt": moment, "stepSince": moment}
    setting.serve("heart-v1", NOW - timedelta(hours=1), rollout=rollout)
    assert await setting.go_on(60) == ["Drifting"]
    assert "a rollout is under way" in setting.raw["status"]["conditions"][0]["message"]
    setting.serve("heart-v1", NOW - timedelta(hours=1))
    assert await setting.go_on(STEP) == ["Retrain"]


async def test_labels_show_a_loss_and_the_version_is_rolled_back(setting: Setting) -> None:
    setting.raw = monitor_json(
        performance={"minLabels": 100}, policy={"onPerformanceLoss": "Rollback", "onInputDrift": "Alert"}
    )
    setting.flow(OLDER_BINS, start=AGES_AGO, feedback={("1", "1"): 2.0, ("1", "0"): 2.0})
    assert await setting.go_on(30) == ["PerformanceLoss", "Rollback"]
    status = setting.raw["status"]
    assert status["worst"] == "age"
    assert "inputs drift too: age" in status["conditions"][0]["message"]
    assert (status["performance"]["value"], status["performance"]["loss"]) == (0.5, True)
    assert status["actions"][0]["reason"].startswith("accuracy 0.5 (95 % interval")


async def test_replayed_labels_are_not_believed(setting: Setting) -> None:
    setting.raw = monitor_json(performance={"minLabels": 100}, policy={"onPerformanceLoss": "Rollback"})
    setting.flow(CALM_BINS, start=AGES_AGO, feedback={("1", "0"): 50.0})
    assert await setting.go_on(30) == ["Healthy", "LabelsSuspect"]
    status = setting.raw["status"]
    assert "performance" not in status
    assert status.get("actions", []) == []
    assert [each["type"] for each in status["conditions"]] == ["LabelsSuspect", "Ready"]
    setting.flow(CALM_BINS)
    setting.server.traffic = setting.server.traffic[-1:]
    await setting.go_on(60)
    assert [each["type"] for each in setting.raw["status"]["conditions"]] == ["Ready"]


async def test_the_verdict_stands_while_prometheus_is_away(setting: Setting) -> None:
    setting.flow(OLDER_BINS, start=AGES_AGO)
    await setting.look()
    before = setting.raw["status"]
    setting.server.broken = 503, "starting"
    setting.now += timedelta(seconds=STEP)
    plan = await setting.look()
    assert [event.reason for event in plan.events] == ["PrometheusUnavailable"]
    assert setting.ready() == ("False", "PrometheusUnavailable")
    assert plan.requeue == 15.0
    unchanged = ("verdict", "since", "consecutive", "features", "actions", "windowEnd")
    assert {key: before[key] for key in unchanged} == {key: setting.raw["status"][key] for key in unchanged}
    again = await setting.look()
    assert again.events == ()
    assert again.status is not None
    assert again.status.wire() == setting.raw["status"], "nothing new is written"
    setting.server.broken = None
    await setting.look()
    assert setting.ready() == ("True", "Judged")


@pytest.mark.parametrize("policy", [{}, {"onPerformanceLoss": "RollbackAndRetrain"}])
async def test_no_series_is_no_health(setting: Setting, policy: dict[str, str]) -> None:
    setting.raw = monitor_json(policy=policy)
    setting.server.traffic = []
    assert await setting.go_on(100) == ["NoMetrics"]
    assert setting.ready() == ("False", "NoMetrics")
    assert setting.raw["status"].get("actions", []) == []


async def test_quiet_is_no_health(setting: Setting) -> None:
    setting.flow({key: value / 10 for key, value in CALM_BINS.items()}, start=AGES_AGO)
    assert await setting.go_on(60) == ["InsufficientData"]
    assert "120 predictions in the window" in setting.raw["status"]["conditions"][0]["message"]


def unserved(setting: Setting) -> None:
    setting.objects["ModelDeployment", "heart"]["status"] = {}


def without_version(setting: Setting) -> None:
    del setting.objects["ModelVersion", "heart-v1"]


def without_deployment(setting: Setting) -> None:
    setting.objects.clear()


def without_baseline(setting: Setting) -> None:
    del setting.objects["ModelVersion", "heart-v1"]["spec"]["record"]["artifacts"]["baseline.json"]


def store_away(setting: Setting) -> None:
    setting.stored = StoreUnavailable("connection refused")


def other_bytes(setting: Setting) -> None:
    setting.stored = DigestMismatch("SHA-256 is another")


def other_format(setting: Setting) -> None:
    setting.stored = b'{"rows": "many"}'


def refused(setting: Setting) -> None:
    setting.server.broken = 422, '{"status":"error","errorType":"execution","error":"too many samples"}'


def short(setting: Setting) -> None:
    setting.raw["spec"]["window"] = {"length": "59s", "chunks": 3}


@pytest.mark.parametrize(
    ("break_it", "reason", "says"),
    [
        (short, "WindowTooShort", "make window.length at least 1m"),
        (without_deployment, "DeploymentMissing", "no ModelDeployment heart"),
        (unserved, "NothingServes", "no version of ModelDeployment heart"),
        (without_version, "VersionMissing", "heart-v1"),
        (without_baseline, "NoBaseline", "retrain"),
        (store_away, "StoreUnavailable", "connection refused"),
        (other_bytes, "BaselineUnreadable", "SHA-256"),
        (other_format, "BaselineUnreadable", "Expected `int`"),
        (refused, "QueryRejected", "too many samples"),
    ],
)
async def test_what_keeps_it_from_judging_is_said(setting: Setting, break_it: Any, reason: str, says: str) -> None:
    break_it(setting)
    plan = await setting.look()
    assert setting.ready() == ("False", reason)
    assert says in setting.raw["status"]["conditions"][0]["message"]
    assert "verdict" not in setting.raw["status"] or setting.raw["status"]["verdict"] == "InsufficientData"
    assert [event.reason for event in plan.events] == [reason]
    assert (await setting.look()).events == ()


async def test_excluded_features_are_not_judged(setting: Setting) -> None:
    setting.raw = monitor_json(inputs={"exclude": ["age"]})
    setting.flow(OLDER_BINS, start=AGES_AGO)
    assert await setting.go_on(30) == ["Healthy"]
    assert [each["feature"] for each in setting.raw["status"]["features"]] == ["sex"]


async def test_a_changed_spec_is_judged_at_once(setting: Setting) -> None:
    setting.flow(OLDER_BINS, start=AGES_AGO)
    setting.raw["spec"]["policy"]["onInputDrift"] = "Alert"
    await setting.look()
    setting.raw["spec"]["policy"]["onInputDrift"] = "Retrain"
    setting.raw["metadata"]["generation"] = 2
    plan = await setting.look()
    assert [event.reason for event in plan.events] == ["Retrain"]
    assert setting.raw["status"]["consecutive"] == 1


def pages(plan: Plan) -> list[dict[str, Any]]:
    """The ConfigMaps with reports that the plan writes."""
    return [each.manifest for each in plan.steps if isinstance(each, Apply) and "report.html" in each.manifest["data"]]


async def test_a_change_of_verdict_leaves_a_report(setting: Setting) -> None:
    [page] = pages(await setting.look())
    assert page["metadata"]["name"] == "heart-drift-report"
    assert page["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert "2 features as in the baseline" in page["data"]["report.html"]
    setting.now += timedelta(seconds=STEP)
    assert pages(await setting.look()) == [], "the verdict is as before"
    setting.flow(OLDER_BINS)
    setting.now += timedelta(seconds=3 * STEP)
    [page] = pages(await setting.look())
    assert "[60,80]" in page["data"]["report.html"]


async def test_a_report_is_made_on_demand_and_nothing_is_asked_or_judged_for_it(setting: Setting) -> None:
    await setting.look()
    before, asked = dict(setting.raw["status"]), len(setting.server.asked)
    setting.raw["metadata"]["annotations"] = {"perennial.dev/request": "report/heart/id-1"}
    [page] = pages(await setting.look())
    assert page["metadata"]["annotations"] == {"perennial.dev/request": "id-1"}
    assert setting.raw["status"] == {**before, "handledRequest": "id-1"}
    assert len(setting.server.asked) == asked
    assert pages(await setting.look()) == []


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ("promote/heart/id-2", "write report/heart/<id>"),
        ("report/id-2", "write report/heart/<id>"),
        ("report/lung/id-2", "it is about lung"),
    ],
)
async def test_what_cannot_be_asked_is_refused(setting: Setting, request_: str, says: str) -> None:
    await setting.look()
    setting.raw["metadata"]["annotations"] = {"perennial.dev/request": request_}
    plan = await setting.look()
    assert pages(plan) == []
    [event] = plan.events
    assert event.reason == "RequestRefused"
    assert says in event.message
    assert setting.raw["status"]["handledRequest"]


async def test_a_report_of_what_cannot_be_judged_is_refused(setting: Setting) -> None:
    unserved(setting)
    setting.raw["metadata"]["annotations"] = {"perennial.dev/request": "report/heart/id-3"}
    plan = await setting.look()
    assert [each.reason for each in plan.events] == ["NothingServes", "RequestRefused"]
    assert setting.raw["status"]["handledRequest"] == "id-3"


async def test_what_service_began_with_is_learnt_kept_and_compared_with(setting: Setting) -> None:
    setting.raw = monitor_json(baseline={"from": "Serving", "windows": 2})
    since = NOW - timedelta(seconds=90)
    setting.serve("heart-v1", since)
    setting.flow(OLDER_BINS, start=AGES_AGO)
    plan = await setting.look()
    assert setting.ready() == ("Unknown", "InsufficientData")
    setting.now += timedelta(seconds=120)
    plan = await setting.look()
    [kept] = [each.manifest for each in plan.steps if isinstance(each, Apply) and each.apart == "baseline"]
    assert kept["metadata"]["name"] == "heart-drift-baseline"
    assert setting.raw["status"]["verdict"] == "Healthy", "older patients are what it began with"
    assert setting.raw["status"]["baseline"] == {
        "source": "Serving", "version": "heart-v1", "windows": 2, "wanted": 2,
    }  # fmt: skip
    setting.objects["ConfigMap", "heart-drift-baseline"] = kept
    setting.flow(CALM_BINS)
    setting.server.traffic = setting.server.traffic[-1:]  # Prometheus has forgotten
    setting.controller = MonitorController()
    setting.now += timedelta(seconds=90)
    plan = await setting.look()
    assert setting.raw["status"]["verdict"] == "Drifting"
    assert [each for each in plan.steps if isinstance(each, Apply) and each.apart == "baseline"] == []


async def test_a_spent_budget_asks_for_a_person_once(setting: Setting) -> None:
    setting.raw = monitor_json(policy={"retrainBudget": {"max": 1, "days": 7}})
    old = action("Retrain", "heart-v0", ago=86400).model_dump(mode="json", by_alias=True)
    setting.raw["status"] = {"actions": [old]}
    setting.objects["ModelTraining", "heart"] = training_json("a-1")
    setting.flow(OLDER_BINS, start=AGES_AGO)
    assert await setting.go_on(100) == ["Drifting", "HumanNeeded"]
    assert [each["type"] for each in setting.raw["status"]["conditions"]] == ["HumanNeeded", "Ready"]
    assert len(setting.raw["status"]["actions"]) == 1


async def test_being_deleted_it_does_nothing(setting: Setting) -> None:
    setting.raw["metadata"]["deletionTimestamp"] = "2026-03-02T12:00:00Z"
    assert await setting.look() == Plan()


def test_the_fixture_is_in_the_shares_of_training() -> None:
    for feature in (AGE, SEX):
        rates = [CALM_BINS.get((feature.name, name), 0.0) for name in feature.bins]
        assert [rate / sum(rates) for rate in rates] == pytest.approx(
            [count / sum(feature.counts) for count in feature.counts]
        )
