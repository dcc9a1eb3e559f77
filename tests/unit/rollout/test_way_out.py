"""A way back that is blocked: what serves is bad, and what was good does not start."""

import pytest

from perennial.domain.rollout.state import Finding
from tests.unit.rollout.world import ROLLOUTS, World, holding, play, serving

GONE = Finding("ErrImagePull", "container predictor: no such image")


def stuck(*, strategy: str = "Canary", replicas: int = 2) -> World:
    """v2 serves and is quarantined; v1 has no pods any more and its image is gone."""
    world = serving(rollout=ROLLOUTS[strategy], predictor={"replicas": replicas}, standby={"keep": "0s"})
    world.add(2)
    play(world, 200)
    assert world.serves == "heart-v2"
    world.cluster.troubles["heart-v1"] = GONE
    world.request("rollback", "heart-v2")
    world.settle()
    assert world.condition("Progressing")[1] == "RollingBack"
    return world


def late(world: World) -> World:
    world.pass_time(600)
    world.settle()
    return world


@pytest.mark.parametrize("named", [False, True])
def test_a_version_that_is_wanted_meanwhile_takes_over_once_it_is_complete(named: bool) -> None:
    world = stuck()
    world.add(3)
    if named:
        world.change(version={"name": "heart-v3"})
    world.settle()
    assert world.running() == {"heart-v1": 2, "heart-v2": 2, "heart-v3": 2}
    assert world.selected() == {"heart-v2"}, "until then the bad one is better than none"
    assert "heart-v3 takes over if it is first" in world.condition("Progressing")[2]
    world.start_pods("heart-v3")
    world.settle()
    assert world.selected() == {"heart-v3"}
    assert world.status.stable is not None
    assert world.running() == {"heart-v3": 2}, "the bad one does not stand by"
    assert world.status.restoring_since is None


def test_the_good_version_may_be_first_and_the_other_goes_through_its_steps() -> None:
    world = stuck()
    world.add(3)
    world.settle()
    world.cluster.troubles.clear()
    world.start_pods("heart-v1")
    world.settle()
    assert world.serves == "heart-v1"
    world.start_pods()
    world.settle()
    assert world.rollout.target.version == "heart-v3"
    assert (world.rollout.step, world.selected()) == (0, {"heart-v1", "heart-v3"})


def test_a_version_that_does_not_start_either_is_given_up_and_the_way_back_goes_on() -> None:
    world = stuck()
    world.add(3)
    world.cluster.troubles["heart-v3"] = GONE
    world.settle()
    late(world)
    assert world.status.rollout is None
    assert world.selected() == {"heart-v2"}
    world.cluster.troubles.pop("heart-v1")
    world.start_pods()
    world.settle()
    assert world.selected() == {"heart-v1"}


def test_recreate_has_no_room_for_both_and_takes_the_other_one_when_the_good_one_is_late() -> None:
    world = stuck(strategy="Recreate")
    world.add(3)
    world.settle()
    assert world.running() == {"heart-v1": 2}
    late(world)
    assert world.running() == {"heart-v3": 2}
    world.start_pods()
    world.settle()
    assert world.selected() == {"heart-v3"}


def test_a_standby_that_lacks_a_pod_takes_over_at_the_deadline() -> None:
    world = serving(predictor={"replicas": 5})
    holding(world)
    play(world, 200)
    assert world.serves == "heart-v2"
    [standby] = [name for name, each in world.cluster.deployments.items()
                 if each["metadata"]["labels"]["perennial.dev/version"] == "heart-v1"]  # fmt: skip
    world.cluster.ready[standby] = 4
    world.request("rollback", "heart-v2")
    world.settle()
    assert world.selected() == {"heart-v2"}
    late(world)
    assert world.selected() == {"heart-v1"}
    assert any("with 4 of 5 pods ready" in event.message for event in world.events)


def test_where_the_last_good_version_never_starts_the_one_before_is_tried_and_people_are_told() -> None:
    world = holding()
    play(world, 200)
    world.add(3)
    play(world, 200)
    assert world.serves == "heart-v3"
    play(world, 700)
    world.cluster.troubles["heart-v2"] = GONE
    world.request("rollback", "heart-v3")
    world.settle()
    assert world.running() == {"heart-v2": 2, "heart-v3": 2}
    late(world)
    assert world.running() == {"heart-v1": 2, "heart-v3": 2}
    for type_ in ("Stalled", "Degraded"):
        status, reason, message = world.condition(type_)
        assert (status, reason) == ("True", "RollbackStalled")
        assert "approve another version" in message
    late(world)
    assert world.running() == {"heart-v2": 2, "heart-v3": 2}, "each has its time again"
    late(world)
    world.start_pods()
    world.settle()
    assert world.selected() == {"heart-v1"}
    assert world.status.restoring_since is None
    assert not [each for each in world.status.conditions if each.type == "Stalled"]
