"""A Gateway shares the requests: exact weights, in an order in which no request meets a missing pod."""

import pytest

from tests.unit.rollout.world import GATEWAY, ROLLOUTS, World, holding, play, serving

WEIGHTS = [{"weight": 10, "hold": "60s"}, {"weight": 50, "hold": "60s"}]


def routed(**rollout: object) -> World:
    """v1 serves behind a Gateway."""
    return serving(
        traffic=GATEWAY, predictor={"replicas": 4}, rollout={**ROLLOUTS["Canary"], "steps": WEIGHTS, **rollout}
    )


def test_the_weights_are_exact_and_the_pods_follow_them() -> None:
    world = holding(routed())
    assert world.cluster.weights() == {"heart": 90, "heart-preview": 10}
    assert (world.selected(), world.previewed()) == ({"heart-v1"}, {"heart-v2"})
    assert (world.status.traffic.wanted_weight, world.status.traffic.real_weight) == (10, 10)
    assert world.running() == {"heart-v1": 4, "heart-v2": 1}
    play(world, 60)
    assert world.cluster.weights() == {"heart": 50, "heart-preview": 50}
    assert world.running() == {"heart-v1": 4, "heart-v2": 2}
    play(world, 70)
    assert world.serves == "heart-v2"
    assert world.cluster.weights() == {"heart": 100}
    assert world.selected() == {"heart-v2"}
    assert world.previewed() == set()


def test_an_abort_moves_the_share_before_the_gateway_has_heard_of_it() -> None:
    world = holding(routed())
    world.cluster.gateway = "Late"
    world.request("abort", "heart-v2")
    world.reconcile()
    assert world.cluster.weights() == {"heart": 90, "heart-preview": 10}
    assert world.previewed() == {"heart-v1"}, "the preview Service stays, and stable answers there"
    world.settle()
    assert world.previewed() == {"heart-v1"}
    world.cluster.gateway = "Takes"
    world.settle()
    assert world.cluster.weights() == {"heart": 100}
    assert ("Service", "heart-preview") not in world.cluster.objects


def test_a_stage_begins_when_the_gateway_has_taken_its_weight() -> None:
    world = routed()
    world.add(2)
    world.settle()
    world.start_pods()
    world.cluster.gateway = "Late"
    world.settle()
    assert world.rollout.step == -1
    assert world.condition("Progressing")[1] == "RouteNotAccepted"
    world.pass_time(300)
    world.cluster.gateway = "Takes"
    world.settle()
    assert (world.rollout.step, world.rollout.step_since) == (0, world.now)


def test_a_match_sends_its_requests_to_the_new_version_even_at_weight_0() -> None:
    match = {"headers": [{"name": "x-group", "value": "b"}]}
    world = holding(routed(steps=[{"weight": 0, "hold": "60s"}], match=match))
    assert world.cluster.weights() == {"heart": 100, "heart-preview": 0}
    assert set(world.cluster.matched()) == {"heart-v2"}
    play(world, 70)
    assert world.serves == "heart-v2"
    assert world.cluster.matched() == {}


def test_a_canary_whose_pods_all_end_loses_its_share() -> None:
    world = holding(routed())
    for name, manifest in world.cluster.deployments.items():
        if manifest["metadata"]["labels"]["perennial.dev/version"] == "heart-v2":
            world.cluster.ready[name] = 0
    world.settle()
    assert world.cluster.weights() == {"heart": 100}
    world.start_pods()
    world.settle()
    assert world.cluster.weights() == {"heart": 90, "heart-preview": 10}
    assert world.previewed() == {"heart-v2"}


@pytest.mark.parametrize("writes", range(1, 6))
def test_a_promotion_that_is_cut_short_takes_no_pods_away(writes: int) -> None:
    world = holding(routed(steps=WEIGHTS[:1]))
    world.pass_time(60)
    world.settle()
    assert world.running()["heart-v2"] == 4
    world.start_pods()
    world.reconcile(writes)
    while world.reconcile() or world.cluster.take_route():
        assert world.running()["heart-v2"] == 4
    assert world.serves == "heart-v2"
