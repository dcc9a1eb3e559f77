"""The frame's promises against a real API server: idle is quiet, one leader, a quick end, no write that hurts."""

import asyncio
import base64
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from perennial.adapters.kubernetes import Change, Conflict, KubernetesApi
from perennial.adapters.lease import Lease, LeaseLost
from perennial.api.common import API_VERSION
from perennial.contracts.names import STORE_READ_SECRET, STORE_ROOT
from tests.api.process import StartOperator
from tests.api.test_admission import DEPLOYMENT, MONITOR, TRAINING
from tests.api.world import Scenario, World

LEASE = "coordination.k8s.io/v1"


async def test_idle_means_no_writes(world: World) -> None:
    for manifest in (TRAINING, DEPLOYMENT, MONITOR):
        await world.apply(manifest)
    await world.settle()
    assert world.operator.writes, "the operator has said nothing about new objects"
    quiet = len(world.operator.writes)
    for _ in range(5):
        await world.settle()
    world.restart()
    await world.settle()
    assert world.operator.writes[quiet:] == []


async def test_a_status_is_written_once_for_each_change(world: World) -> None:
    await world.apply(DEPLOYMENT)
    await world.settle()
    status = [each for each in world.operator.writes if each.endswith("status")]
    first = await world.read("ModelDeployment", "heart-disease")
    assert len(status) == 1
    assert first["status"]["observedGeneration"] == 1
    changed = {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "standby": {"keep": "1h"}}}
    await world.apply(changed)
    await world.settle()
    second = await world.read("ModelDeployment", "heart-disease")
    assert second["status"]["observedGeneration"] == 2


async def test_the_frame_survives_its_end_after_every_write(
    assert_survives_every_write: Callable[[Scenario], Awaitable[None]],
) -> None:
    async def scenario(world: World) -> None:
        await world.apply(TRAINING)
        await world.apply(DEPLOYMENT)
        await world.settle()
        await world.apply(MONITOR)

    await assert_survives_every_write(scenario)


async def test_a_watch_tells_of_deletions_that_it_missed(api: KubernetesApi, namespace: str) -> None:
    def config_map(name: str) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}

    await api.create(config_map("kept"))
    await api.create(config_map("deleted"))
    seen: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    class Broken(KubernetesApi):
        """Its first stream ends as the API server's do when the version is too old, after the deletion."""

        broken = False

        async def _stream(self, *arguments: Any) -> AsyncIterator[dict[str, Any]]:
            if self.broken:
                async for event in super()._stream(*arguments):
                    yield event
                return
            self.broken = True
            await api.delete("v1", "ConfigMap", namespace, "deleted")
            yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "1"}}}
            raise _gone()

    def _gone() -> Exception:
        from perennial.adapters.kubernetes import ApiError

        return ApiError(410, "Expired", "too old resource version")

    def noted(change: Change) -> tuple[str, str]:
        return change.type, change.object.get("metadata", {}).get("name", "")

    async with Broken(api._connection) as broken:

        async def follow() -> None:
            async for change in broken.watch("v1", "ConfigMap", namespace):
                seen.put_nowait(noted(change))

        async with _running(follow()):
            for expected in (
                ("Applied", "deleted"), ("Applied", "kept"), ("Synced", ""),
                ("Deleted", "deleted"), ("Applied", "kept"), ("Synced", ""),
            ):  # fmt: skip
                assert await asyncio.wait_for(seen.get(), 10) == expected
            await api.create(config_map("new"))
            assert await asyncio.wait_for(seen.get(), 10) == ("Applied", "new")


@contextlib.asynccontextmanager
async def _running(work: Any) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_lease_is_taken_over_only_when_it_is_given_back_or_runs_out(api: KubernetesApi, namespace: str) -> None:
    clock = Clock()
    first, second = (Lease(api, namespace, "lock", identity, clock) for identity in ("first", "second"))
    await first.acquire()
    assert not await second._attempt()
    clock.now += 14
    assert not await second._attempt()
    assert await first._attempt()
    clock.now += 14
    assert not await second._attempt(), "it was renewed"
    clock.now += 16
    assert await second._attempt(), "nobody renewed it"
    with pytest.raises(LeaseLost, match="second holds the Lease"):
        await first._attempt()
    await second.release()
    third = Lease(api, namespace, "lock", "third", clock)
    assert await third._attempt(), "it was given back"
    raw = await api.get(LEASE, "Lease", namespace, "lock")
    assert raw is not None
    assert raw["spec"]["holderIdentity"] == "third"
    assert raw["spec"]["leaseTransitions"] == 2


def _is_ready(role: str) -> Callable[[int, str], bool]:
    return lambda status, text: status == 200 and text.strip() == role


async def _until_observed(api: KubernetesApi, kind: str, namespace: str, name: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            raw = await api.get(API_VERSION, kind, namespace, name)
            assert raw is not None
            if raw.get("status", {}).get("observedGeneration") == raw["metadata"]["generation"]:
                return raw
            await asyncio.sleep(0.05)


async def test_of_two_operators_one_works_and_the_other_follows_on_at_once(
    api: KubernetesApi, namespace: str, start_operator: StartOperator
) -> None:
    first = await start_operator("first")
    await first.until("/readyz", _is_ready("leader"))
    second = await start_operator("second")
    await second.until("/readyz", _is_ready("standby"))

    await api.create({**DEPLOYMENT, "metadata": {"name": "heart-disease", "namespace": namespace}})
    await _until_observed(api, "ModelDeployment", namespace, "heart-disease")
    metrics = (await second.get("/metrics"))[1]
    assert "perennial_operator_leader 0.0" in metrics
    assert 'verb="update",kind="ModelDeployment"' not in metrics.replace('code="200",', "")
    assert (await first.get("/healthz"))[0] == (await second.get("/healthz"))[0] == 200

    began = asyncio.get_running_loop().time()
    first.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(first.process.wait(), 10) == 0, first.read_log()
    await second.until("/readyz", _is_ready("leader"))
    assert asyncio.get_running_loop().time() - began < 14, "the Lease was given back, not left to run out"


async def test_a_process_that_loses_its_lease_ends_at_once(
    api: KubernetesApi, namespace: str, start_operator: StartOperator
) -> None:
    operator = await start_operator("robbed")
    await operator.until("/readyz", _is_ready("leader"))
    async with asyncio.timeout(30):
        while True:  # its renewals and this write race for the resourceVersion
            raw = await api.get(LEASE, "Lease", namespace, "perennial.dev-operator")
            assert raw is not None
            with contextlib.suppress(Conflict):
                await api.replace({**raw, "spec": {**raw["spec"], "holderIdentity": "robber"}})
                break
    assert await asyncio.wait_for(operator.process.wait(), 10) == 1
    assert "robber holds the Lease" in operator.read_log().splitlines()[-1]


async def test_the_process_watches_reports_and_writes_nothing_but_its_lease_when_idle(
    api: KubernetesApi, namespace: str, start_operator: StartOperator
) -> None:
    operator = await start_operator("only")
    await operator.until("/readyz", _is_ready("leader"))
    for manifest in (TRAINING, DEPLOYMENT, MONITOR):
        await api.create({**manifest, "metadata": {"name": "heart-disease", "namespace": namespace}})
        await _until_observed(api, manifest["kind"], namespace, "heart-disease")

    def writes(text: str) -> list[str]:
        lines = [each for each in text.splitlines() if each.startswith("perennial_operator_api_requests_total{")]
        reads = ('verb="get"', 'verb="list"', 'verb="watch"', 'kind="Lease"')
        return sorted(each for each in lines if not any(read in each for read in reads))

    def renewals(text: str) -> float:
        line = next(each for each in text.splitlines() if 'kind="Lease",verb="update"' in each)
        return float(line.split()[-1])

    before = await operator.until("/metrics", lambda _, text: 'kind="Lease",verb="update"' in text)
    after = await operator.until("/metrics", lambda _, text: renewals(text) >= renewals(before) + 2)
    assert writes(after) == writes(before)

    objects = [
        await api.get(API_VERSION, kind, namespace, "heart-disease") for kind in ("ModelTraining", "DriftMonitor")
    ]
    for raw in objects:
        assert raw is not None
        assert not any("kopf" in key for key in raw["metadata"].get("annotations", {}))
        assert "finalizers" not in raw["metadata"]
    records = [json.loads(line) for line in operator.read_log().splitlines()]
    about = [each for each in records if each.get("kind") == "ModelDeployment"]
    assert all({"namespace", "name", "reconcile"} <= each.keys() for each in about)
    assert await operator.memory() < 150


async def test_a_child_that_changes_wakes_its_owner(
    api: KubernetesApi, namespace: str, start_operator: StartOperator, tmp_path: Any
) -> None:
    root = base64.b64encode(f"file://{tmp_path}".encode()).decode()
    secret = {"name": STORE_READ_SECRET, "namespace": namespace}
    await api.create({"apiVersion": "v1", "kind": "Secret", "metadata": secret, "data": {STORE_ROOT: root}})
    operator = await start_operator("only")
    await operator.until("/readyz", _is_ready("leader"))
    await api.create({**TRAINING, "metadata": {"name": "heart-disease", "namespace": namespace}})
    async for change in api.watch("batch/v1", "Job", namespace):
        if change.type == "Applied":
            await api.delete("batch/v1", "Job", namespace, change.object["metadata"]["name"])
            break
    async with asyncio.timeout(30):
        while True:
            raw = await api.get(API_VERSION, "ModelTraining", namespace, "heart-disease")
            assert raw is not None
            if any(run["phase"] == "Failed" for run in raw["status"].get("runs", [])):
                return
            await asyncio.sleep(0.05)
