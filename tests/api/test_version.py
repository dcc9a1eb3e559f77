"""Versions on a real API server: a mirror of where they serve, held while they do."""

from typing import Any

from perennial.contracts.names import FINALIZER, quarantine_annotation
from tests.api.test_training import trained
from tests.api.world import World

Json = dict[str, Any]
MOMENT = "2030-01-07T12:00:00Z"
MARK = '{"reason": "accuracy fell to 0.61", "since": "2030-01-07T12:00:00Z", "action": "a1"}'


async def in_use(world: World, version: str = "heart-v1") -> None:
    """A ModelDeployment that says that it serves ``version``; only versions are looked at from here on."""
    stable = {"version": version, "revision": "r", "image": "i", "since": MOMENT}
    deployment = await world.get("ModelDeployment", "heart") or await world.apply({
        "kind": "ModelDeployment", "metadata": {"name": "heart"}, "spec": {"model": "heart"},
    })  # fmt: skip
    await world.user.put_status(deployment, {"stable": stable})
    await look(world)


async def look(world: World) -> Json:
    """Looks at the version until it is as it should be."""
    for _ in range(3):
        await world.reconcile("ModelVersion", "heart-v1")
    return await world.get("ModelVersion", "heart-v1") or {}


async def test_a_version_says_where_it_serves_and_is_held_there(world: World) -> None:
    await trained(world)
    await in_use(world)
    version = await look(world)
    assert version["status"]["serving"] == [{"deployment": "heart", "role": "stable", "since": MOMENT}]
    assert version["status"]["state"] == "Serving"
    assert version["metadata"]["finalizers"] == [FINALIZER]
    writes = len(world.operator.writes)
    await look(world)
    assert len(world.operator.writes) == writes


async def test_the_deletion_of_a_version_waits_until_it_is_out_of_use(world: World) -> None:
    await trained(world)
    await in_use(world)
    await world.delete("ModelVersion", "heart-v1")
    assert (await look(world))["metadata"]["deletionTimestamp"]
    assert "StillInUse" in {reason for reason, _ in await world.events()}
    await in_use(world, "heart-v2")
    assert await look(world) == {}


async def test_the_deletion_of_a_version_in_use_goes_on_after_ten_minutes(world: World) -> None:
    await trained(world)
    await in_use(world)
    await world.delete("ModelVersion", "heart-v1")
    world.advance(-world.now.timestamp() + _now())
    await look(world)
    assert await world.get("ModelVersion", "heart-v1") is not None
    world.advance(601)
    assert await look(world) == {}
    assert "ReleasedInUse" in {reason for reason, _ in await world.events()}


def _now() -> float:
    """The API server's clock: it alone says when a deletion was asked for."""
    import time

    return time.time()


async def test_a_quarantine_is_seen_on_the_version(world: World) -> None:
    await trained(world)
    await world.annotate("ModelVersion", "heart-v1", {quarantine_annotation("heart"): MARK})
    status = (await look(world))["status"]
    assert status["state"] == "Quarantined"
    assert status["quarantined"][0] == {"deployment": "heart", "reason": "accuracy fell to 0.61", "since": MOMENT}
    assert (await world.condition("ModelVersion", "heart-v1"))["reason"] == "Quarantined"
    await world.annotate("ModelVersion", "heart-v1", {quarantine_annotation("heart"): None})
    assert (await look(world))["status"]["state"] == "Idle"
