"""What is particular to BlueGreen, Shadow, Recreate, autoscaling, overlays, and the verbs of people."""

import pytest

from perennial.contracts.names import LABEL_REVISION, quarantine_annotation
from perennial.domain.rollout import status as rollout_status
from perennial.domain.rollout.state import Finding, Overlay
from perennial.reconcile import overlay
from tests.unit.rollout.world import ROLLOUTS, holding, play, serving

KEY = quarantine_annotation("heart")
AUTOSCALED = {"replicas": 2, "autoscaling": {"min": 2, "max": 8}}


def test_a_preview_stands_complete_and_takes_all_at_once() -> None:
    world = holding(serving(rollout=ROLLOUTS["BlueGreen"]))
    assert world.running() == {"heart-v1": 2, "heart-v2": 2}
    assert (world.selected(), world.previewed()) == ({"heart-v1"}, {"heart-v2"})
    world.pass_time(60)
    world.reconcile()
    assert world.selected() == {"heart-v2"}
    assert world.previewed() == set()
    assert world.status.standby is not None


def test_a_shadow_gets_copies_and_no_requests() -> None:
    world = holding(serving(rollout=ROLLOUTS["Shadow"]))
    assert (world.selected(), world.previewed()) == ({"heart-v1"}, {"heart-v2"})
    assert (world.cluster.mirrored()["share"], world.cluster.mirrored()["version"]) == (50, "heart-v2")
    assert world.status.traffic.mirror_share == 50
    play(world, 60)
    assert world.serves == "heart-v2"
    assert not world.cluster.mirrored()


def test_recreate_ends_the_old_pods_first_and_brings_them_back_where_the_new_ones_fail() -> None:
    world = serving(rollout=ROLLOUTS["Recreate"])
    world.add(2)
    world.settle()
    assert world.running() == {"heart-v2": 2}
    assert world.serves == "heart-v1"
    assert world.condition("Ready")[:2] == ("False", "Recreating")
    world.pass_time(600)
    world.settle()
    assert world.running() == {"heart-v1": 2}
    world.start_pods()
    world.settle()
    assert world.selected() == {"heart-v1"}
    assert KEY in world.versions["heart-v2"].metadata.annotations


def test_the_autoscaler_follows_the_stable_version_through_the_promotion() -> None:
    world = serving(predictor=AUTOSCALED)
    assert world.cluster.scaled() == {"heart-v1"}
    world.cluster.scale(6)
    world.start_pods()
    world.settle()
    assert world.running() == {"heart-v1": 6}, "the number of pods is the autoscaler's"
    holding(world)
    assert world.running() == {"heart-v1": 6, "heart-v2": 3}
    play(world, 130)
    assert world.serves == "heart-v2"
    assert world.running()["heart-v2"] == 6, "it had grown to the stable size before"
    assert world.cluster.scaled() == {"heart-v2"}


def test_recreate_keeps_the_number_that_the_autoscaler_found() -> None:
    world = serving(predictor=AUTOSCALED, rollout=ROLLOUTS["Recreate"])
    world.cluster.scale(8)
    world.start_pods()
    world.settle()
    world.add(2)
    world.reconcile()
    assert world.running() == {"heart-v1": 8}, "no pod ends before their number is in the status"
    world.settle()
    assert world.running() == {"heart-v2": 8}
    world.request("abort", "heart-v2")
    world.settle()
    assert world.running() == {"heart-v1": 8}
    world.start_pods()
    world.request("retry", "heart-v2")
    world.settle()
    world.start_pods()
    world.settle()
    assert world.running() == {"heart-v2": 8}
    assert world.serves == "heart-v2"

    world.request("rollback", "heart-v2")
    world.settle()
    assert world.running() == {"heart-v1": 8}
    world.start_pods()
    world.settle()
    assert world.selected() == {"heart-v1"}
    assert world.status.size_before is None


def test_a_changed_overlay_is_a_rollout_and_a_rollback_brings_the_old_one_back() -> None:
    world = serving()
    before = world.status.stable
    world.overlay = Overlay('{"spec": {"hostname": "a"}}')
    world.settle()
    world.start_pods()
    world.settle()
    play(world, 130)
    assert world.status.stable is not None
    assert world.status.stable.overlay == '{"spec": {"hostname": "a"}}'
    world.request("rollback", "heart-v1")
    world.settle()
    assert before is not None
    assert world.status.stable.revision == before.revision
    assert world.status.held is not None
    assert world.status.held.configuration
    assert KEY not in world.versions["heart-v1"].metadata.annotations
    assert world.condition("Degraded")[1] == "RolledBack"


def test_versions_promoted_too_long_ago_are_not_gone_back_to() -> None:
    world = holding(serving(rollback={"maxAgeDays": 7}))
    play(world, 130)
    world.pass_time(8 * 86400)
    world.settle()
    world.request("rollback", "heart-v2")
    world.settle()
    assert world.serves == "heart-v2"
    [refused] = [event.message for event in world.events if event.reason == "RequestRefused"]
    assert "heart-v1 is older: spec.rollback.maxAgeDays" in refused


def test_two_aborts_one_after_the_other_keep_both_versions_out() -> None:
    world = holding()
    world.request("abort", "heart-v2")
    world.settle()
    world.add(3)
    world.settle()
    world.request("abort", "heart-v3")
    world.settle()
    play(world, 60)
    assert world.status.rollout is None
    assert all(KEY in world.versions[name].metadata.annotations for name in ("heart-v2", "heart-v3"))
    assert world.running() == {"heart-v1": 2}


@pytest.mark.parametrize("strategy", sorted(ROLLOUTS))
def test_an_operator_upgrade_mid_rollout_restarts_nothing(strategy: str) -> None:
    world = serving(rollout=ROLLOUTS[strategy])
    world.add(2)
    world.settle()
    before = world.cluster.deployments
    world.image = "serving:2"
    world.settle()
    assert world.cluster.deployments == before
    assert world.rollout.target.image == "serving:1"


@pytest.mark.parametrize("problem", ["OverlayMissing", "OverlayInvalid", "OverlayRefused"])
def test_an_overlay_that_cannot_be_used_is_for_a_person(problem: str) -> None:
    world = serving()
    world.overlay = Overlay("", Finding(problem, "ConfigMap mine, entry pod.yaml: no"))
    world.settle()
    assert world.condition("Stalled")[:2] == ("True", problem)
    assert world.condition("Degraded")[:2] == ("True", problem)
    assert world.status.phase == "Degraded"
    assert world.selected() == {"heart-v1"}


def test_the_names_of_what_is_wrong_with_an_overlay_are_those_that_are_given() -> None:
    assert {overlay.MISSING, overlay.INVALID, overlay.REFUSED} <= rollout_status.NEEDS_A_PERSON


@pytest.mark.parametrize("back", [False, True])
def test_pods_with_and_without_tls_never_share_a_service(back: bool) -> None:
    plain, secret = {"replicas": 2}, {"replicas": 2, "tls": {"secret": "cert"}}
    world = serving(predictor=secret if back else plain)
    world.change(predictor=plain if back else secret)
    play(world, 300)
    [served] = {each["spec"]["selector"].get(LABEL_REVISION) for (kind, name), each in world.cluster.objects.items()
                if (kind, name) == ("Service", "heart")}  # fmt: skip
    assert world.status.stable is not None
    assert served == world.status.stable.revision
    status, reason, message = world.condition("Progressing")
    assert (status, reason) == ("False", "TlsDiffers")
    assert "BlueGreen" in message
    world.change(rollout=ROLLOUTS["BlueGreen"])
    play(world, 100)
    assert world.status.rollout is None
    assert bool(world.status.stable.predictor.get("tls")) is not back


def test_a_person_may_move_all_at_once_to_tls() -> None:
    world = serving()
    world.change(predictor={"replicas": 2, "tls": {"secret": "cert"}})
    play(world, 30)
    world.request("promote-full", "heart-v1")
    play(world, 30)
    assert world.status.rollout is None
    assert world.status.stable is not None
    assert world.status.stable.predictor["tls"]


def test_a_pod_that_is_lost_makes_the_weight_untrue_and_that_is_said_once() -> None:
    world = holding(serving(predictor={"replicas": 4}, rollout={"steps": [{"weight": 50, "hold": "10m"}]}))
    assert "WeightNotReached" not in world.reasons()
    for name, manifest in world.cluster.deployments.items():
        if manifest["metadata"]["labels"]["perennial.dev/version"] == "heart-v2":
            world.cluster.ready[name] = 2
    for _ in range(3):
        world.pass_time(10)
        world.settle()
    assert world.reasons().count("WeightNotReached") == 1
    assert "33.3 % of the pods are heart-v2's" in next(
        event.message for event in world.events if event.reason == "WeightNotReached"
    )


def test_the_short_reason_is_that_of_what_is_under_way() -> None:
    world = serving()
    assert world.status.reason == "Serving"
    holding(world)
    world.request("pause", "heart-v2")
    world.settle()
    assert world.status.reason == "Paused"
