"""The first version: what serves is what is wanted, and what is missing is said."""

import pytest

from perennial.domain.rollout.state import Finding
from tests.unit.rollout.world import World, serving


def test_the_newest_approved_version_serves_without_a_canary() -> None:
    world = World()
    for number, approval in ((1, "Approved"), (10, "Approved"), (9, "Approved"), (11, "Pending"), (12, "Rejected")):
        world.add(number, approval)
    world.settle()
    assert world.running() == {"heart-v10": 2}
    assert world.condition("Ready")[:2] == ("False", "WaitingForPods")

    world.start_pods()
    world.settle()

    assert world.status.stable is not None
    assert world.status.stable.version == "heart-v10"
    assert world.status.stable.since == world.now
    assert world.selected() == {"heart-v10"}
    assert world.condition("Ready") == ("True", "Serving", "heart-v10 serves")
    assert (world.status.phase, world.status.replicas, world.status.ready_replicas) == ("Healthy", 2, 2)
    assert world.status.url == "http://heart.clinic.svc/v2/models/heart/infer"
    assert (
        world.status.selector == f"perennial.dev/deployment=heart,perennial.dev/revision={world.status.stable.revision}"
    )
    assert ("Secret", "heart-feedback") in world.cluster.objects


@pytest.mark.parametrize(
    ("choice", "approval", "reason", "words"),
    [
        ({"latest": "Approved"}, None, "NoVersion", "model heart has no approved version"),
        ({"latest": "Approved"}, "Pending", "NoVersion", "see kubectl get mv"),
        ({"name": "heart-v7"}, "Approved", "VersionNotFound", "model heart has no version heart-v7"),
        ({"name": "heart-v1"}, "Pending", "VersionNotApproved", "kubectl patch mv heart-v1"),
        ({"name": "heart-v1"}, "Rejected", "VersionNotApproved", "heart-v1 is Rejected"),
    ],
)
def test_no_version_to_serve_is_said_with_what_to_do(
    choice: dict[str, str], approval: str | None, reason: str, words: str
) -> None:
    world = World(spec={"version": choice})
    if approval:
        world.add(1, approval)
    world.settle()
    status, found, message = world.condition("Ready")
    assert (status, found) == ("False", reason)
    assert words in message
    assert world.status.phase == "Pending"
    assert not world.cluster.deployments


def test_a_wish_that_cannot_be_met_leaves_what_serves() -> None:
    world = serving()
    world.change(version={"name": "heart-v9"})
    world.settle()
    assert world.selected() == {"heart-v1"}
    status, reason, message = world.condition("Ready")
    assert (status, reason) == ("True", "VersionNotFound")
    assert message.startswith("heart-v1 serves; ")
    assert world.condition("Stalled")[1] == "VersionNotFound"
    assert world.condition("Degraded")[:2] == ("True", "VersionNotFound")
    assert world.status.phase == "Degraded", "no program that waits takes this for the end"


def test_a_model_that_is_not_what_was_recorded_never_serves_and_says_so_at_once() -> None:
    world = World()
    world.add(1)
    world.settle()
    world.cluster.troubles["heart-v1"] = Finding("ArtifactDigestMismatch", "model.onnx: … is not what was recorded")
    world.settle()
    status, reason, message = world.condition("Ready")
    assert (status, reason) == ("False", "ArtifactDigestMismatch")
    assert "model.onnx" in message

    world.pass_time(3600)
    world.settle()
    assert world.condition("Ready")[1] == "ArtifactDigestMismatch"
    assert not world.selected()
    assert world.status.stable is None


def test_a_first_version_that_is_late_says_so_and_gives_way_to_a_newer_one() -> None:
    world = World()
    world.add(1)
    world.settle()
    world.pass_time(600)
    world.settle()
    assert world.condition("Ready")[1] == "ProgressDeadlineExceeded"
    world.add(2)
    world.settle()
    assert world.running() == {"heart-v2": 2}


def test_replicas_scale_in_place() -> None:
    world = serving()
    before = set(world.cluster.deployments)
    world.change(predictor={"replicas": 5})
    world.settle()
    assert world.running() == {"heart-v1": 5}
    assert set(world.cluster.deployments) == before
    assert world.status.rollout is None


def test_an_operator_upgrade_restarts_no_model() -> None:
    world = serving()
    template = next(iter(world.cluster.deployments.values()))["spec"]["template"]
    world.image = "serving:2"
    world.settle()
    world.change(predictor={"replicas": 3})
    world.settle()
    manifest = next(iter(world.cluster.deployments.values()))
    assert manifest["spec"]["template"] == template
    assert manifest["spec"]["replicas"] == 3
    assert world.status.rollout is None


def test_a_rollout_that_is_asked_for_takes_the_new_image() -> None:
    world = serving()
    world.image = "serving:2"
    world.change(predictor={"replicas": 2, "resources": {"memory": "512Mi"}})
    world.settle()
    assert world.status.rollout is not None
    assert world.status.rollout.target.version == "heart-v1"
    assert world.status.rollout.target.image == "serving:2"


def test_a_template_that_another_operator_rendered_stays_and_one_that_somebody_changed_does_not() -> None:
    world = serving()
    (name, manifest), *_ = world.cluster.deployments.items()
    older = {**manifest["spec"]["template"], "metadata": {"labels": manifest["spec"]["template"]["metadata"]["labels"]}}
    annotations = {**manifest["metadata"]["annotations"], "perennial.dev/template": "older"}
    world.cluster.objects["Deployment", name] = {
        **manifest, "metadata": {**manifest["metadata"], "annotations": annotations},
        "spec": {**manifest["spec"], "template": older},
    }  # fmt: skip
    world.settle()
    assert world.cluster.deployments[name]["spec"]["template"] == older

    world.cluster.objects["Deployment", name] = {**manifest, "spec": {**manifest["spec"], "template": older}}
    world.settle()
    assert world.cluster.deployments[name] == manifest


def test_a_name_of_which_no_service_can_be_made_is_refused() -> None:
    world = World(name="1heart")
    world.add(1)
    world.settle()
    assert world.condition("Ready")[1] == "NameInvalid"
    assert not world.cluster.deployments


def test_pods_that_all_fail_are_said_with_their_own_reason() -> None:
    world = serving()
    world.cluster.ready.clear()
    world.cluster.troubles["heart-v1"] = Finding("OOMKilled", "container predictor needs more memory")
    world.settle()
    assert world.condition("Ready")[:2] == ("False", "OOMKilled")
    assert world.condition("Degraded")[0] == "True"
    assert world.status.phase == "Degraded"
