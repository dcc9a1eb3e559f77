"""A new version on its way: steps, analysis, promotion, and every way in which it ends."""

from datetime import timedelta

import pytest

from perennial.domain.rollout.stages import canary_replicas
from perennial.domain.rollout.state import Finding
from tests.unit.rollout.world import ANALYSIS, ROLLOUTS, World, holding, play, serving


@pytest.mark.parametrize(
    ("weight", "stable", "canary"),
    [(10, 2, 1), (33, 2, 1), (50, 2, 2), (50, 3, 3), (10, 9, 1), (10, 18, 2), (25, 6, 2), (20, 10, 3), (66, 2, 4),
     (99, 2, 8), (1, 1, 1), (60, 2, 3)],
)  # fmt: skip
def test_a_canary_has_the_number_of_pods_nearest_to_its_weight(weight: int, stable: int, canary: int) -> None:
    assert canary_replicas(weight, stable) == canary


def test_from_canary_to_promotion_to_the_end_of_the_standby() -> None:
    world = serving()
    world.add(2)
    world.settle()
    assert world.running() == {"heart-v1": 2, "heart-v2": 1}
    world.start_pods()
    assert world.selected() == {"heart-v1"}, "no request reaches a version before it is ready and its step began"

    world.settle()
    assert world.selected() == {"heart-v1", "heart-v2"}
    assert world.status.traffic.wanted_weight == 33
    assert world.status.traffic.real_weight == 33.3
    assert world.condition("Progressing")[:2] == ("True", "Holding")

    play(world, 60)
    assert world.status.rollout is not None
    assert world.status.rollout.step == 1
    assert world.running() == {"heart-v1": 2, "heart-v2": 2}
    assert world.status.traffic.wanted_weight == 50
    assert world.status.traffic.request_share == 33.3

    play(world, 60)
    assert world.status.stable is not None
    assert world.status.stable.version == "heart-v2"
    assert world.selected() == {"heart-v2"}
    assert world.status.standby is not None
    assert world.status.standby.revision.version == "heart-v1"
    assert [each.version for each in world.status.history] == ["heart-v2", "heart-v1"]
    assert world.outcomes == ["Promoted", "Promoted"]
    assert world.running() == {"heart-v1": 2, "heart-v2": 2}

    play(world, 600)
    assert world.running() == {"heart-v2": 2}
    assert world.status.standby is None
    assert [each.version for each in world.status.history] == ["heart-v2", "heart-v1"]


def test_a_step_waits_for_its_pods_before_its_time_runs() -> None:
    world = holding()
    world.pass_time(60)
    world.settle()
    assert world.status.rollout is not None
    assert world.status.rollout.step == 0
    assert world.running()["heart-v2"] == 2
    assert world.condition("Progressing")[1] == "WaitingForPods"
    world.pass_time(50)
    world.start_pods()
    world.settle()
    assert world.status.rollout.step == 1
    assert world.status.rollout.step_since == world.now


def test_the_last_step_grows_to_the_full_size_before_it_takes_over() -> None:
    world = serving(predictor={"replicas": 4})
    holding(world)
    play(world, 50)
    world.change(rollout={**world.spec["rollout"], "steps": [{"weight": 20, "hold": "60s"}]})
    world.pass_time(10)
    world.settle()
    assert world.running()["heart-v2"] == 4
    assert world.status.stable is not None
    assert world.status.stable.version == "heart-v1"
    world.start_pods()
    world.settle()
    assert world.status.stable.version == "heart-v2"


def test_a_measurement_of_the_step_before_promotes_nothing() -> None:
    """Hold 60 s, one measurement each 30 s: the step that begins with a measurement still needs its own."""
    world = holding()
    play(world, 60)
    world.traffic = 0
    play(world, 600)
    assert world.status.rollout is not None
    assert world.status.rollout.step == 1


@pytest.mark.parametrize(
    ("prometheus", "traffic", "reason"), [(True, 10.0, "NoData"), (False, 1000.0, "PrometheusUnavailable")]
)
def test_without_data_nothing_is_promoted_and_nothing_is_rolled_back(
    prometheus: bool, traffic: float, reason: str
) -> None:
    world = holding()
    world.prometheus, world.traffic = prometheus, traffic
    play(world, 3600)
    assert world.status.rollout is not None
    assert world.status.rollout.step == 0
    assert world.selected() == {"heart-v1", "heart-v2"}
    assert world.condition("Progressing")[:2] == ("False", reason)
    assert world.status.phase == "Paused"
    assert world.condition("Ready")[0] == "True"

    world.prometheus, world.traffic = True, 1000.0
    play(world, 200)
    assert world.status.stable is not None
    assert world.status.stable.version == "heart-v2"


def test_a_failed_analysis_goes_back_to_stable_and_the_version_stays_out() -> None:
    world = holding()
    world.errors["heart-v2"] = 0.2
    play(world, 30)
    assert world.status.rollout is not None
    assert world.status.rollout.failed == 1
    assert "MeasurementFailed" in world.reasons()

    play(world, 30)
    assert world.selected() == {"heart-v1"}
    assert world.running() == {"heart-v1": 2}
    assert world.status.rollout is None
    assert world.status.held is not None
    assert world.status.held.version == "heart-v2"
    assert world.status.phase == "Holding"
    status, reason, message = world.condition("Degraded")
    assert (status, reason) == ("True", "RolloutFailed")
    assert "errors was 0.2, limit 0.01" in message
    assert world.condition("Ready")[:2] == ("True", "VersionQuarantined")
    assert world.outcomes[-1] == "Failed"

    before = world.status
    play(world, 600)
    assert world.status == before, "the same manifest again changes nothing"


def test_one_bad_measurement_may_be_let_pass_but_the_newest_must_be_good() -> None:
    world = holding()
    world.errors["heart-v2"] = 0.2
    play(world, 30)
    world.errors.clear()
    play(world, 20)
    assert world.status.rollout is not None
    play(world, 400)
    assert world.status.stable is not None
    assert world.status.stable.version == "heart-v2"


@pytest.mark.parametrize("trouble", [Finding("ArtifactDigestMismatch", "model.onnx: not what was recorded"), None])
def test_a_canary_that_is_not_ready_in_time_is_given_up_with_its_own_reason(trouble: Finding | None) -> None:
    world = serving()
    world.add(2)
    if trouble:
        world.cluster.troubles["heart-v2"] = trouble
    world.settle()
    assert world.condition("Progressing")[1] == (trouble.reason if trouble else "WaitingForPods")
    world.pass_time(599)
    world.settle()
    assert world.status.rollout is not None
    world.pass_time(1)
    world.settle()
    assert world.running() == {"heart-v1": 2}
    assert world.selected() == {"heart-v1"}
    assert world.condition("Degraded")[1] == (trouble.reason if trouble else "ProgressDeadlineExceeded")
    assert "within 10m" in world.condition("Degraded")[2]


def test_a_newer_version_takes_the_canarys_place() -> None:
    world = holding()
    world.add(3)
    world.reconcile()
    assert world.selected() == {"heart-v1"}, "the canary before leaves the traffic at once"
    world.settle()
    assert world.running() == {"heart-v1": 2, "heart-v3": 1}
    assert not [name for name, each in world.versions.items() if each.metadata.annotations], "nothing is quarantined"


def test_a_wish_for_what_serves_ends_the_rollout_without_quarantine() -> None:
    world = holding()
    world.change(version={"name": "heart-v1"})
    world.settle()
    assert world.running() == {"heart-v1": 2}
    assert world.selected() == {"heart-v1"}
    assert world.status.held is None
    assert "RolloutCancelled" in world.reasons()
    assert world.status.phase == "Healthy"


@pytest.mark.parametrize("approval", ["Rejected", "Pending"])
def test_a_version_whose_approval_is_withdrawn_leaves_the_traffic(approval: str) -> None:
    world = holding()
    world.add(2, approval)
    world.settle()
    assert world.selected() == {"heart-v1"}
    assert world.running() == {"heart-v1": 2}


def test_the_standby_is_gone_before_requests_are_shared() -> None:
    world = holding()
    play(world, 130)
    assert world.status.standby is not None
    world.add(3)
    world.settle()
    assert world.running() == {"heart-v1": 2, "heart-v2": 2, "heart-v3": 1}
    world.start_pods()
    world.reconcile()
    assert world.selected() == {"heart-v2"}
    world.settle()
    assert world.running() == {"heart-v2": 2, "heart-v3": 1}
    assert world.selected() == {"heart-v2", "heart-v3"}


def test_weights_that_pods_cannot_reach_are_said_once_a_step() -> None:
    world = serving(rollout={"steps": [{"weight": 10, "hold": "60s"}]})
    holding(world)
    play(world, 30)
    told = [event for event in world.events if event.reason == "WeightNotReached"]
    assert len(told) == 1
    assert "10 % of the requests, 33.3 % of the pods" in told[0].message


def test_without_steps_a_new_version_takes_over_once_it_is_ready() -> None:
    world = serving(rollout={})
    world.add(2)
    world.settle()
    assert world.running() == {"heart-v1": 2, "heart-v2": 2}
    assert world.selected() == {"heart-v1"}
    world.start_pods()
    world.settle()
    assert world.selected() == {"heart-v2"}


def test_a_spec_that_loses_steps_does_not_skip_the_analysis() -> None:
    world = holding()
    play(world, 60)
    world.prometheus = False
    world.change(rollout={**world.spec["rollout"], "steps": [{"weight": 33, "hold": "60s"}]})
    play(world, 600)
    assert world.status.stable is not None
    assert world.status.stable.version == "heart-v1"


def test_a_bad_configuration_is_held_and_the_version_keeps_serving() -> None:
    world = serving()
    world.change(predictor={"replicas": 2, "resources": {"memory": "16Mi"}})
    world.cluster.troubles["heart-v1"] = Finding("OOMKilled", "container predictor needs more memory")
    world.settle()
    world.pass_time(600)
    world.settle()
    assert world.status.rollout is None
    assert world.selected() == {"heart-v1"}
    assert world.running() == {"heart-v1": 2}
    assert world.condition("Ready")[:2] == ("True", "ConfigurationHeld")
    assert world.condition("Degraded")[1] == "RolloutFailed"
    assert not world.versions["heart-v1"].metadata.annotations

    world.image = "serving:2"
    world.settle()
    assert world.status.rollout is None, "an upgrade of the operator does not try it again"
    world.change(predictor={"replicas": 2, "resources": {"memory": "512Mi"}})
    world.settle()
    assert world.status.rollout is not None


def test_keep_of_nothing_leaves_no_standby() -> None:
    world = serving(standby={"keep": "0s"})
    holding(world)
    play(world, 130)
    assert world.running() == {"heart-v2": 2}


@pytest.mark.parametrize("writes", range(1, 8))
def test_a_promotion_that_was_cut_short_can_still_be_taken_back(writes: int) -> None:
    """The old version's pods stay until the status says that another one serves: the next measurement may be bad."""
    analysis = {**ANALYSIS, "failureLimit": 0}
    world = holding(serving(standby={"keep": "0s"}, rollout={**ROLLOUTS["BlueGreen"], "analysis": analysis}))
    world.pass_time(60)
    world.reconcile(writes)
    if world.serves == "heart-v2":
        return  # it came to its end
    world.errors["heart-v2"] = 0.5
    world.pass_time(30)
    world.reconcile()
    assert world.serves == "heart-v1"
    assert world.selected() == {"heart-v1"}


def test_a_named_standby_comes_back_with_the_pods_that_it_has() -> None:
    world = holding()
    play(world, 130)
    world.change(version={"name": "heart-v1"})
    world.settle()
    assert world.running() == {"heart-v1": 1, "heart-v2": 2}
    assert world.selected() == {"heart-v1", "heart-v2"}, "it was ready: its first step begins at once"


def test_the_next_look_is_at_the_next_moment_that_matters() -> None:
    from perennial.domain.rollout.decide import decide

    world = holding()
    assert decide(world.snapshot(), world.now).requeue == 30
    world.pass_time(31)
    world.settle()
    assert decide(world.snapshot(), world.now).requeue == 29
    idle = serving()
    assert decide(idle.snapshot(), idle.now + timedelta(hours=1)).requeue is None


def test_deletion_is_left_to_the_garbage_collector() -> None:
    from perennial.reconcile.deployment import DeploymentController

    world = World()
    world.add(1)
    snapshot = world.snapshot()
    metadata = snapshot.deployment.metadata.model_copy(update={"deletion_timestamp": world.now})
    leaving = snapshot.deployment.model_copy(update={"metadata": metadata})
    plan = DeploymentController().decide(
        type(snapshot)(deployment=leaving, image="i", versions=snapshot.versions), world.now
    )
    assert plan.steps == ()
    assert plan.status is None
