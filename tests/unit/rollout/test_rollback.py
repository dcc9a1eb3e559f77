"""The way back: by a monitor, by a person, warm or cold, and always without touching the spec."""

from datetime import timedelta

import pytest

from perennial.contracts.names import quarantine_annotation
from perennial.domain.rollout.quarantine import Quarantined, read
from tests.unit.rollout.world import BEGINNING, World, holding, play, serving

KEY = quarantine_annotation("heart")


def promoted() -> World:
    """v2 serves, v1 stands by."""
    world = holding()
    play(world, 130)
    assert world.status.stable is not None
    assert world.status.stable.version == "heart-v2"
    return world


def test_a_monitor_rolls_back_to_the_warm_standby_within_one_reconcile() -> None:
    world = promoted()
    world.ask_rollback("heart-v2")
    world.reconcile()
    assert world.selected() == {"heart-v1"}
    assert world.running() == {"heart-v1": 2, "heart-v2": 2}, "nothing goes before the status says who serves"
    assert KEY in world.versions["heart-v2"].metadata.annotations
    mark = read(world.versions["heart-v2"].metadata.annotations[KEY])
    assert (mark.cause, mark.action, mark.since) == ("RolledBack", "a1", world.now)
    assert "accuracy 0.61" in mark.reason

    world.settle()
    assert world.running() == {"heart-v1": 2}
    assert world.status.handled_actions == ["a1"]
    assert world.status.stable is not None
    assert (world.status.stable.version, world.status.stable.since) == ("heart-v1", world.now)
    assert world.condition("Ready")[:2] == ("True", "VersionQuarantined")
    status, reason, message = world.condition("Degraded")
    assert (status, reason) == ("True", "RolledBack")
    assert "heart-v1 serves in its place: heart-v2 is kept out" in message
    assert world.outcomes[-1] == "RolledBack"

    before = world.status
    world.change()
    play(world, 1000)
    assert world.status == before.model_copy(
        update={
            "observed_generation": world.generation,
            "conditions": [
                each.model_copy(update={"observed_generation": world.generation}) for each in before.conditions
            ],
        }
    ), "the same manifest again changes nothing"


def test_a_cold_version_starts_first_and_the_bad_one_serves_until_it_is_ready() -> None:
    world = promoted()
    play(world, 600)
    assert world.running() == {"heart-v2": 2}
    world.ask_rollback("heart-v2")
    world.settle()
    assert world.running() == {"heart-v1": 2, "heart-v2": 2}
    assert world.selected() == {"heart-v2"}
    status, reason, message = world.condition("Degraded")
    assert (status, reason) == ("True", "RollingBack")
    assert message == "heart-v2 is quarantined and serves until heart-v1 is ready"

    world.actions.clear()  # the monitor is deleted: what was begun is still finished
    world.start_pods()
    world.settle()
    assert world.selected() == {"heart-v1"}
    assert world.running() == {"heart-v1": 2}


def test_the_last_good_version_comes_back_as_it_was_promoted() -> None:
    world = serving()
    world.image = "serving:2"
    world.change(predictor={"replicas": 2, "resources": {"memory": "512Mi"}}, version={"name": "heart-v2"})
    promoted_with = holding(world)
    play(promoted_with, 800)
    world.ask_rollback("heart-v2")
    world.settle()
    (old,) = [
        each
        for name, each in world.cluster.deployments.items()
        if each["spec"]["template"]["spec"]["containers"][0]["image"] == "serving:1"
    ]
    assert old["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] == "256Mi"


def test_a_newer_version_ends_the_hold() -> None:
    world = promoted()
    world.ask_rollback("heart-v2")
    world.settle()
    world.add(3)
    world.settle()
    assert world.status.held is None
    assert world.status.rollout is not None
    assert world.status.rollout.target.version == "heart-v3"
    assert world.condition("Degraded")[0] == "False"


def test_another_name_in_the_spec_ends_the_hold() -> None:
    world = promoted()
    world.ask_rollback("heart-v2")
    world.settle()
    world.change(version={"name": "heart-v1"})
    world.settle()
    assert world.status.held is None
    assert world.status.phase == "Healthy"


def test_a_released_version_is_rolled_out_again() -> None:
    world = promoted()
    world.ask_rollback("heart-v2")
    world.settle()
    world.pass_time(60)
    world.request("release", "heart-v2")
    world.settle()
    assert KEY not in world.versions["heart-v2"].metadata.annotations
    assert world.status.rollout is not None
    assert world.status.rollout.target.version == "heart-v2"
    world.start_pods()
    play(world, 130)
    assert world.status.stable is not None
    assert world.status.stable.version == "heart-v2", "the action that was handled does not act again"


@pytest.mark.parametrize(
    ("of", "age", "words"),
    [
        ("heart-v1", 0, "heart-v2 serves, not heart-v1"),
        ("heart-v2", 3600, "before heart-v2 last took over"),
        ("heart-v9", 0, "heart-v2 serves, not heart-v9"),
    ],
)
def test_an_action_that_is_no_longer_current_is_acknowledged_and_refused(of: str, age: float, words: str) -> None:
    world = promoted()
    world.ask_rollback(of, since=world.now - timedelta(seconds=age))
    world.settle()
    assert world.status.handled_actions == ["a1"]
    assert world.selected() == {"heart-v2"}
    refused = [event.message for event in world.events if event.reason == "RollbackRefused"]
    assert len(refused) == 1
    assert words in refused[0]


def test_the_only_version_keeps_serving_and_the_monitor_is_answered() -> None:
    world = serving()
    world.ask_rollback("heart-v1")
    world.settle()
    assert world.selected() == {"heart-v1"}
    assert not world.versions["heart-v1"].metadata.annotations
    status, reason, message = world.condition("Degraded")
    assert (status, reason) == ("True", "RollbackImpossible")
    assert "no earlier version was promoted here" in message
    assert world.status.handled_actions == ["a1"]
    play(world, 600)
    assert world.condition("Degraded")[1] == "RollbackImpossible"


def test_a_quarantined_or_deleted_version_is_no_way_back() -> None:
    world = promoted()
    world.add(3)
    world.settle()
    world.start_pods()
    play(world, 130)
    assert [each.version for each in world.status.history] == ["heart-v3", "heart-v2", "heart-v1"]
    del world.versions["heart-v2"]
    world.ask_rollback("heart-v3")
    world.settle()
    world.start_pods()
    world.settle()
    assert world.selected() == {"heart-v1"}


def test_retrain_actions_are_not_for_us() -> None:
    world = promoted()
    world.ask_rollback("heart-v2")
    asked = world.actions[0]
    world.actions[0] = type(asked)(asked.monitor, asked.action.model_copy(update={"kind": "Retrain"}))
    world.settle()
    assert world.status.handled_actions == []
    assert world.selected() == {"heart-v2"}


def test_quarantine_outlives_the_deployment_and_something_else_serves() -> None:
    world = World()
    world.add(1)
    name = world.add(2)
    metadata = world.versions[name].metadata.model_copy(
        update={"annotations": {KEY: Quarantined("rolled back", BEGINNING).annotation()}}
    )
    world.versions[name] = world.versions[name].model_copy(update={"metadata": metadata})
    world.settle()
    assert world.running() == {"heart-v1": 2}
    world.start_pods()
    world.settle()
    assert world.selected() == {"heart-v1"}
    assert world.status.held is not None
    assert world.status.held.version == "heart-v2"


def test_a_mark_that_a_person_wrote_counts() -> None:
    world = promoted()
    metadata = world.versions["heart-v2"].metadata.model_copy(update={"annotations": {KEY: "do not serve"}})
    world.versions["heart-v2"] = world.versions["heart-v2"].model_copy(update={"metadata": metadata})
    world.settle()
    assert world.selected() == {"heart-v1"}
    assert world.condition("Degraded")[1] == "VersionQuarantined"


# --- requests -----------------------------------------------------------------------------------------------------


def test_rollback_by_request() -> None:
    world = promoted()
    world.request("rollback", "heart-v2")
    world.settle()
    assert world.selected() == {"heart-v1"}
    assert "by request" in world.condition("Degraded")[2]


def test_abort_by_request() -> None:
    world = holding()
    world.request("abort", "heart-v2")
    world.reconcile()
    assert world.selected() == {"heart-v1"}
    world.settle()
    assert world.running() == {"heart-v1": 2}
    assert KEY in world.versions["heart-v2"].metadata.annotations


def test_promotion_by_request_skips_the_steps_but_not_the_pods() -> None:
    world = holding()
    world.prometheus = False
    world.request("promote-full", "heart-v2")
    world.settle()
    assert world.running() == {"heart-v1": 2, "heart-v2": 2}
    assert world.status.stable is not None
    assert world.status.stable.version == "heart-v1"
    world.start_pods()
    world.settle()
    assert world.status.stable.version == "heart-v2"
    assert world.selected() == {"heart-v2"}


@pytest.mark.parametrize("verb", ["abort", "promote", "rollback", "release", "explode"])
def test_a_request_whose_target_is_not_current_is_refused_once(verb: str) -> None:
    world = holding()
    world.request(verb, "heart-v7")
    world.settle()
    play(world, 20)
    assert world.reasons().count("RequestRefused") == 1
    assert world.status.rollout is not None


def test_a_request_that_does_not_parse_is_refused_with_what_to_write() -> None:
    world = serving()
    world.annotations["perennial.dev/request"] = "please roll back"
    world.settle()
    (event,) = [event for event in world.events if event.reason == "RequestRefused"]
    assert "<verb>/<version>/<id>" in event.message


def test_a_configuration_that_is_held_can_be_released() -> None:
    world = serving()
    world.change(predictor={"replicas": 2, "resources": {"memory": "300Mi"}})
    world.settle()
    world.pass_time(600)
    world.settle()
    assert world.status.held is not None
    world.request("release", "heart-v1")
    world.settle()
    assert world.status.rollout is not None


def _configured(world: World, memory: str) -> World:
    world.change(predictor={"replicas": 2, "resources": {"memory": memory}})
    play(world, 200)
    return world


def test_a_configuration_stays_out_when_something_else_failed_after_it() -> None:
    world = serving()
    world.change(predictor={"replicas": 2, "resources": {"memory": "16Mi"}})
    world.settle()
    world.request("abort", "heart-v1")
    world.settle()
    world.add(2)
    world.settle()
    world.request("abort", "heart-v2")
    world.settle()
    assert world.status.held is not None
    assert world.status.held.version == "heart-v2"
    world.add(2, "Rejected")
    world.settle()
    assert world.status.rollout is None, "what failed does not start again by itself"
    assert world.status.held is not None
    assert (world.status.held.version, world.status.held.reason) == ("heart-v1", "aborted by request")
    world.request("release", "heart-v1")
    world.settle()
    assert world.rollout.target.predictor["resources"]["memory"] == "16Mi"
    assert world.status.held_configurations == []


def test_two_rollbacks_of_configurations_go_further_back_each_time() -> None:
    world = _configured(_configured(serving(), "300Mi"), "400Mi")
    for left in ("300Mi", "256Mi"):
        world.request("rollback", "heart-v1")
        play(world, 60)
        assert world.status.stable is not None
        assert world.status.stable.predictor["resources"]["memory"] == left
    assert len(world.status.held_configurations) == 2
    world.request("rollback", "heart-v1")
    world.settle()
    assert world.reasons()[-1] == "RequestRefused"


def test_what_is_remembered_of_a_version_goes_with_it() -> None:
    world = serving()
    world.change(predictor={"replicas": 2, "resources": {"memory": "16Mi"}})
    world.settle()
    world.request("abort", "heart-v1")
    world.settle()
    world.add(2)
    play(world, 800)
    assert [each.version for each in world.status.held_configurations] == ["heart-v1"]
    del world.versions["heart-v1"]
    world.settle()
    assert world.status.held_configurations == []


def test_many_configurations_of_a_version_leave_the_way_back_to_the_one_before() -> None:
    world = promoted()
    world.change(rollout={})
    for memory in range(300, 312):
        _configured(world, f"{memory}Mi")
    assert len(world.status.history) == 10
    world.ask_rollback("heart-v2")
    play(world, 30)
    assert world.serves == "heart-v1"


def test_the_age_of_a_version_counts_from_when_it_served_last() -> None:
    world = serving(rollback={"maxAgeDays": 30})
    world.pass_time(40 * 86400)
    holding(world)
    play(world, 130)
    assert world.serves == "heart-v2"
    world.request("rollback", "heart-v2")
    world.settle()
    assert world.selected() == {"heart-v1"}, "it was serving minutes ago"


# --- the process ends in the middle -------------------------------------------------------------------------------


def test_a_release_that_was_cut_short_after_its_mark_is_no_refusal() -> None:
    world = promoted()
    world.request("rollback", "heart-v2")
    world.settle()
    world.request("release", "heart-v2")
    world.reconcile(1)
    assert KEY not in world.versions["heart-v2"].metadata.annotations
    assert world.status.held is not None
    world.settle()
    assert "RequestRefused" not in world.reasons()
    assert "Released" in world.reasons()


def test_a_failure_that_was_cut_short_after_its_mark_is_still_a_failure() -> None:
    world = holding()
    world.request("abort", "heart-v2")
    world.reconcile(1)
    assert KEY in world.versions["heart-v2"].metadata.annotations
    before = world.versions["heart-v2"].metadata.annotations[KEY]
    del world.annotations["perennial.dev/request"]
    world.pass_time(5)
    world.settle()
    assert (world.outcomes[-1], world.reasons()[-1]) == ("Failed", "RolloutFailed")
    assert "aborted by request" in world.events[-1].message
    assert world.versions["heart-v2"].metadata.annotations[KEY] == before


def test_the_first_version_cannot_be_aborted_and_the_words_are_true() -> None:
    world = World()
    world.add(1)
    world.settle()
    world.request("abort", "heart-v1")
    world.settle()
    [refused] = [event.message for event in world.events if event.reason == "RequestRefused"]
    assert "is the first to serve here" in refused
