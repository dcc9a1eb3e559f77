"""Every strategy by both ways of sharing traffic, to every end that a rollout can come to, under load.

The clients keep their connections; but for Recreate, whose point it is, no request of theirs may be lost.
"""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from perennial.adapters.prometheus import Prometheus
from perennial.api.common import parse_time
from tests.rollouts.client import Answer, nothing_lost
from tests.rollouts.killing import kill_operator_again_and_again
from tests.rollouts.ward import Kind, Play, Ward

Json = dict[str, Any]
Measured = Callable[[str, object], None]

PREDICTOR = {"replicas": 2, "resources": {"cpu": "20m", "memory": "192Mi"}}
ERRORS = {"name": "errors", "builtin": "ErrorRate", "max": 0.05}
INTERVAL = 5
STRATEGIES: dict[str, Json] = {
    "Canary": {"strategy": "Canary", "steps": [{"weight": 33, "hold": "10s"}, {"weight": 50, "hold": "5s"}]},
    "BlueGreen": {"strategy": "BlueGreen", "preview": {"hold": "10s"}},
    "Shadow": {"strategy": "Shadow", "shadow": {"share": 100, "hold": "10s"}},
    "Recreate": {"strategy": "Recreate"},
}
PATIENT: dict[str, Json] = {
    "Canary": {"strategy": "Canary", "steps": [{"weight": 33, "pause": {}}, {"weight": 50, "hold": "5s"}]},
    "BlueGreen": {"strategy": "BlueGreen", "preview": {"pause": {}}},
    "Shadow": {"strategy": "Shadow", "shadow": {"share": 100, "pause": {}}},
}
"""The same with a first stage that goes on until somebody decides."""
WITH_STAGES = tuple(PATIENT)

traffic = pytest.mark.parametrize("provider", ["Replicas", "Gateway"])
every = pytest.mark.parametrize("strategy", list(STRATEGIES))
staged = pytest.mark.parametrize("strategy", WITH_STAGES)
pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="session")]


def spec(strategy: Json, provider: str, *metrics: Json, **more: Any) -> Json:
    """A ModelDeployment's spec with short times."""
    shared: Json = {"provider": provider}
    if provider == "Gateway":
        host = f"r{time.time_ns()}.rollouts.test"
        shared |= {"parentRef": {"name": "public", "namespace": "infra"}, "hostnames": [host]}
    analysis = {"interval": f"{INTERVAL}s", "minRequests": 5, "failureLimit": 0, "metrics": list(metrics)}
    return {
        "predictor": PREDICTOR, "rollout": {**strategy, "analysis": analysis, "progressDeadline": "3m", **more},
        "traffic": shared, "standby": {"keep": "1m"},
    }  # fmt: skip


@traffic
@every
async def test_promoted(ward: Ward, strategy: str, provider: str) -> None:
    async with ward.play(spec(STRATEGIES[strategy], provider)) as play:
        first = await play.serving()
        if strategy == "Recreate":
            second = await play.version()
            await play.stable(second)
            await serves_alone(play, second)
            return
        async with nothing_lost(await play.client()) as client:
            await client.answered(first)
            second = await play.version()
            await play.step(second)
            status = await play.stable(second)
            await client.only(second)
        assert status["standby"]["revision"]["version"] == first
        assert [each["version"] for each in status["history"]] == [second, first]


@traffic
async def test_a_canary_takes_its_share(ward: Ward, provider: str) -> None:
    strategy = {"strategy": "Canary", "steps": [{"weight": 33, "pause": {}}]}
    async with ward.play(spec(strategy, provider, ERRORS)) as play:
        first = await play.serving()
        async with nothing_lost(await play.client(rate=60, connections=24)) as client:
            second = await play.version()
            await play.step(second)
            await client.answered(second, times=40)
            since = time.time()
            await client.until(lambda me: me.count(first, since) + me.count(second, since) >= 1800)
            shares = client.shares(since)
            status = await play.until(lambda status: status["traffic"].get("requestShare") is not None)
        tolerance = 12 if provider == "Replicas" else 5  # by replicas it is connections that are shared
        assert shares[second] == pytest.approx(33, abs=tolerance)
        assert status["traffic"]["wantedWeight"] == 33
        assert status["traffic"]["realWeight"] == pytest.approx(33, abs=1)


async def test_headers_choose_the_new_version(ward: Ward) -> None:
    strategy = {
        "strategy": "Canary", "steps": [{"weight": 0, "pause": {}}],
        "match": {"headers": [{"name": "x-cohort", "value": "new"}]},
    }  # fmt: skip
    async with ward.play(spec(strategy, "Gateway")) as play:
        first = await play.serving()
        second = await play.version()
        await play.step(second)
        chosen, others = await play.client(headers={"x-cohort": "new"}), await play.client()
        async with nothing_lost(chosen), nothing_lost(others):
            await chosen.only(second)
            await others.answered(first)
        assert others.versions == {first}


@traffic
@staged
async def test_failed_by_a_bad_measurement(ward: Ward, strategy: str, provider: str, record_property: Measured) -> None:
    async with ward.play(spec(PATIENT[strategy], provider, ERRORS)) as play:
        first = await play.serving()
        async with nothing_lost(await play.client(rate=30)) as client:
            second = await play.version("errors")
            visible = asyncio.create_task(bad_in_prometheus(play, second))
            await play.step(second)
            if strategy == "BlueGreen":
                await look_at_the_preview(play)
            status = await play.until(lambda status: bool(status.get("held")))
            seen = await visible
            await client.answered(first, times=200)
            if strategy == "Canary":
                record_property(f"s from bad measurement to last bad answer, {provider}", client.last(is_bad) - seen)
            else:
                assert client.last(is_bad) == 0.0, "it never had a request of its own"
        record_property(f"s from bad measurement to its end, {strategy}, {provider}", taken_back(status) - seen)
        assert status["held"]["version"] == second
        assert "errors" in status["held"]["reason"]
        assert second in await play.quarantined()
        assert status["stable"]["version"] == first


@pytest.mark.parametrize(
    ("fault", "strategy", "metric"),
    [
        ("slow", "Canary", {"name": "latency", "builtin": "LatencyP99", "max": "150ms"}),
        ("shifted", "Canary", {"name": "shift", "builtin": "PredictionShift", "max": 0.2}),
        ("inverted", "Shadow", {"name": "agreement", "builtin": "Agreement", "min": 0.9}),
    ],
)
async def test_each_fault_is_seen_by_its_metric(ward: Ward, fault: Kind, strategy: str, metric: Json) -> None:
    async with ward.play(spec(PATIENT[strategy], "Replicas", metric)) as play:
        first = await play.serving()
        async with nothing_lost(await play.client(rate=30)) as client:
            await client.answered(first)
            second = await play.version(fault)
            status = await play.until(lambda status: bool(status.get("held")))
            await client.only(first)
        assert status["held"]["version"] == second
        assert metric["name"] in status["held"]["reason"]


@traffic
@staged
async def test_aborted_by_a_person(ward: Ward, strategy: str, provider: str) -> None:
    async with ward.play(spec(PATIENT[strategy], provider)) as play:
        first = await play.serving()
        async with nothing_lost(await play.client()) as client:
            second = await play.version()
            await play.step(second)
            if strategy == "Canary":
                await client.answered(second, times=3)
            await play.say("abort")
            status = await play.stable(first)
            await gone(play, second)
            await client.answered(first)
        assert status["held"]["version"] == second
        assert second in await play.quarantined()


@traffic
@staged
async def test_paused_then_promoted(ward: Ward, strategy: str, provider: str) -> None:
    async with ward.play(spec(STRATEGIES[strategy], provider)) as play:
        first = await play.serving()
        async with nothing_lost(await play.client()) as client:
            second = await play.version()
            await play.step(second)
            await play.say("pause")
            status = await play.until(lambda status: status["phase"] == "Paused")
            begun = status["rollout"]["step"]
            await client.answered(first, times=250)  # longer than any hold
            status = await play.until(lambda status: bool(status["rollout"]))
            assert (status["phase"], status["rollout"]["step"]) == ("Paused", begun)
            await play.say("promote", "--full")
            await play.stable(second)
            await client.answered(second)


@traffic
@staged
async def test_a_newer_version_takes_the_place_of_the_one_on_its_way(ward: Ward, strategy: str, provider: str) -> None:
    async with ward.play(spec(PATIENT[strategy], provider)) as play:
        first = await play.serving()
        async with nothing_lost(await play.client()) as client:
            second = await play.version()
            await play.step(second)
            third = await play.version()
            await play.step(third)
            await gone(play, second)
            await client.answered(first)
            await play.say("promote", "--full")
            await play.stable(third)
            await client.answered(third)
        assert await play.quarantined() == {}


@traffic
@every
async def test_a_version_that_cannot_start_is_taken_back(ward: Ward, strategy: str, provider: str) -> None:
    async with ward.play(spec(STRATEGIES[strategy], provider, progressDeadline="20s")) as play:
        first = await play.serving()
        client = await play.client()
        async with client if strategy == "Recreate" else nothing_lost(client):
            second = await play.version("tampered")
            status = await play.until(lambda status: bool(status.get("held")))
            assert status["held"]["version"] == second
            assert "recorded" in status["held"]["reason"], "the reason is the pod's own"
            await play.stable(first)
            await client.answered(first)
        assert client.versions == {first}


@traffic
@staged
async def test_the_spec_changes_meanwhile(ward: Ward, strategy: str, provider: str) -> None:
    async with ward.play(spec(PATIENT[strategy], provider)) as play:
        await play.serving()
        async with nothing_lost(await play.client()) as client:
            second = await play.version()
            before = await play.step(second)
            await play.apply(resources={"cpu": "20m", "memory": "200Mi"})
            changed = await play.until(
                lambda status: (
                    (rollout := status.get("rollout") or {}).get("step") == 0
                    and rollout["target"]["revision"] != before["rollout"]["target"]["revision"]
                )
            )
            assert changed["rollout"]["target"]["version"] == second
            await play.say("promote", "--full")
            await play.stable(second)
            await client.answered(second)
        assert {each["spec"]["containers"][0]["resources"]["limits"]["memory"] for each in await play.pods()} >= {
            "200Mi"
        }


@traffic
@every
async def test_the_operator_is_killed_meanwhile(ward: Ward, strategy: str, provider: str) -> None:
    async with ward.play(spec(STRATEGIES[strategy], provider)) as play:
        await play.serving()
        client = await play.client()
        async with client if strategy == "Recreate" else nothing_lost(client):
            killer = asyncio.create_task(kill_operator_again_and_again(ward.stage, 2, 4))
            try:
                second = await play.version()
                await play.stable(second)
            finally:
                killer.cancel()
            await client.answered(second)
        await serves_alone(play, second)


@traffic
async def test_without_prometheus_it_waits(ward: Ward, provider: str) -> None:
    async with ward.play(spec(STRATEGIES["Canary"], provider, ERRORS)) as play:
        await play.serving()
        async with nothing_lost(await play.client(rate=30)) as client:
            await ward.cut_prometheus()
            try:
                second = await play.version()
                status = await play.until(lambda status: progress(status)["reason"] == "PrometheusUnavailable")
                assert status["phase"] == "Paused"
                await client.answered(second, times=40)
                status = await play.until(lambda status: bool(status["rollout"]))
                assert status["rollout"]["step"] == 0, "never promoted blind"
            finally:
                await ward.join_prometheus()
            await play.stable(second)


@traffic
async def test_a_full_quota_is_named_and_what_serves_goes_on(ward: Ward, provider: str) -> None:
    async with ward.play(spec(PATIENT["Canary"], provider, progressDeadline="15s")) as play:
        first = await play.serving()
        async with nothing_lost(await play.client()) as client:
            quota = {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": "full"},
                "spec": {"hard": {"pods": "1"}},
            }
            await ward.apply(quota)
            try:
                second = await play.version()
                status = await play.until(lambda status: bool(status.get("held")))
            finally:
                await ward.delete("resourcequota/full")
            assert "exceeded quota" in status["held"]["reason"]
            await client.answered(first)
            await play.say("retry")
            await play.step(second)


@traffic
async def test_the_autoscaler_scales_meanwhile(ward: Ward, provider: str) -> None:
    wanted = spec(PATIENT["Canary"], provider)
    wanted["predictor"] = {
        "autoscaling": {"min": 2, "max": 3, "targetCPU": 5}, "resources": {"cpu": "50m", "memory": "192Mi"},
    }  # fmt: skip
    async with ward.play(wanted) as play:
        await play.serving()
        async with nothing_lost(await play.client(rate=10)) as client:
            second = await play.version()
            await play.step(second)
            client.rate = 80
            await play.until(lambda status: status["readyReplicas"] == 3)
            await play.say("promote", "--full")
            await play.stable(second)
            status = await play.until(lambda status: status["readyReplicas"] == 3)
            await client.answered(second)
        assert status["stable"]["version"] == second


# --- what they share ----------------------------------------------------------------------------------------------


def is_bad(answer: Answer) -> bool:
    """An answer of the version with errors that shows it."""
    return answer.code == 500


def taken_back(status: Json) -> float:
    """When the version was taken back, by the operator's clock (whole seconds)."""
    return parse_time(status["held"]["since"]).timestamp()


def progress(status: Json) -> Json:
    """The condition Progressing."""
    found = (each for each in status.get("conditions", []) if each["type"] == "Progressing")
    return next(found, {"reason": ""})


async def bad_in_prometheus(play: Play, version: str) -> float:
    """When Prometheus first answers with an error rate of ``version`` beyond the limit, by requests enough."""
    selector = f'deployment="{play.ward.stage.namespace}/{play.name}",version="{version}"'
    total = f"sum(increase(perennial_requests_total{{{selector}}}[{INTERVAL}s]))"
    bad = f'sum(increase(perennial_requests_total{{{selector},code=~"5.."}}[{INTERVAL}s]))'
    async with Prometheus(os.environ["PROMETHEUS_URL"]) as prometheus, asyncio.timeout(200):
        while True:
            found = await prometheus.query(f"({bad} / {total} > 0.05) and ({total} >= 5)", time.time())
            if found:
                return time.time()
            await asyncio.sleep(0.1)  # a sample a second is all that there is


async def look_at_the_preview(play: Play) -> None:
    """Requests to the preview Service alone, until the analysis has had its say."""
    async with await play.client(preview=True) as client:
        await play.until(lambda status: bool(status.get("held")))
        assert client.answers


async def gone(play: Play, version: str) -> None:
    """Waits until no pod of ``version`` is left."""
    left: dict[str, bool] = {}
    async with asyncio.timeout(90):
        async for change in play.ward.stage.api.watch(
            "v1", "Pod", play.ward.stage.namespace, f"perennial.dev/version={version}"
        ):
            if change.type == "Synced":
                left.setdefault("", False)
            else:
                left[change.object["metadata"]["name"]] = change.type == "Applied"
            if "" in left and not any(left.values()):
                return


async def serves_alone(play: Play, version: str) -> None:
    """New connections meet ``version`` and nothing else."""
    async with nothing_lost(await play.client()) as client:
        await client.answered(version)
    assert client.versions == {version}
