"""What pods and Deployments say of themselves."""

from typing import Any

import pytest

from perennial.domain.rollout.pods import trouble_of_deployment, trouble_of_pod


def ended(message: str = "", code: int = 1, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


@pytest.mark.parametrize(
    ("fetch", "predictor", "reason", "words"),
    [
        ({"state": ended("model.onnx: what is at s3://a is not what was recorded: SHA-256 is ab")}, {},
         "ArtifactDigestMismatch", "model.onnx"),
        ({"state": waiting("CrashLoopBackOff"), "lastState": ended("model.onnx: nothing is at s3://a")}, {},
         "ArtifactMissing", "nothing is at"),
        ({"state": ended("model.onnx: s3://a cannot be read: timeout")}, {}, "ArtifactUnavailable", "timeout"),
        ({"state": ended("killed", 137)}, {}, "FetchFailed", "ended with 137"),
        ({"state": waiting("CreateContainerConfigError", 'secret "perennial-store-read" not found')}, {},
         "CreateContainerConfigError", "perennial-store-read"),
        ({"state": ended(code=0, reason="Completed"), "ready": True},
         {"state": waiting("CrashLoopBackOff"), "lastState": ended("", 137, "OOMKilled")},
         "OOMKilled", "spec.predictor.resources.memory"),
        ({}, {"state": waiting("ErrImageNeverPull", "image is not present")}, "ErrImageNeverPull", "not present"),
        ({}, {"state": ended("model.onnx: its SHA-256 is a, recorded is b; it is not served")},
         "ArtifactDigestMismatch", "not served"),
        ({}, {"state": ended("ValueError: no graph")}, "PredictorFailed", "no graph"),
    ],
)  # fmt: skip
def test_a_pod_says_itself_why_it_is_not_ready(
    fetch: dict[str, Any], predictor: dict[str, Any], reason: str, words: str
) -> None:
    status = {
        "initContainerStatuses": [{"name": "fetch", **fetch}],
        "containerStatuses": [{"name": "predictor", "ready": False, **predictor}],
    }
    found = trouble_of_pod({"status": status})
    assert found is not None
    assert found.reason == reason
    assert words in found.message


def test_a_pod_that_starts_or_is_ready_has_no_trouble() -> None:
    assert (
        trouble_of_pod({"status": {"containerStatuses": [{"name": "predictor", "state": waiting("PodInitializing")}]}})
        is None
    )
    past = {"name": "predictor", "ready": True, "state": {"running": {}}, "lastState": ended("", 137, "OOMKilled")}
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [past]}
    assert trouble_of_pod({"status": ready}) is None
    assert trouble_of_pod({}) is None


def test_no_room_and_no_permission_are_said() -> None:
    full = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes: Insufficient memory",
    }
    found = trouble_of_pod({"status": {"conditions": [full]}})
    assert found is not None
    assert (found.reason, found.message) == ("Unschedulable", "0/1 nodes: Insufficient memory")
    refused = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    told = trouble_of_deployment({"status": {"conditions": [refused]}})
    assert told is not None
    assert told.reason == "FailedCreate"
