"""How a run's end is told from its Job and its pod, and what is said while that does not start."""

from datetime import timedelta

import pytest

from tests.unit.training.support import NOW, Cluster, a_job, a_pod, a_training, ended_pod
from tests.unit.training.test_training import FAILURE, launched


@pytest.mark.parametrize(
    ("pod", "job", "reason", "parts"),
    [
        (ended_pod(FAILURE), {}, "DataRejected", ["check failed: column age: 3 of 303 rows are over 120"]),
        (ended_pod("", exit_code=137, reason="OOMKilled"), {}, "OOMKilled", ["2Gi", "spec.engine.resources.memory"]),
        (None, {"condition": "Failed", "reason": "DeadlineExceeded"}, "DeadlineExceeded", ["engine.deadline (1h)"]),
        (
            a_pod({}, reason="Evicted", message="low on disk"), {"condition": "Failed"}, "Evicted", ["low on disk"],
        ),
        (ended_pod("oh", exit_code=2), {"condition": "Failed"}, "InternalError", ["exit code 2"]),
        (None, {"condition": "Failed", "reason": "BackoffLimitExceeded"}, "RunLost", ["ask for another run"]),
    ],
)  # fmt: skip
def test_a_failed_run_says_why_and_is_not_repeated(pod: dict, job: dict, reason: str, parts: list[str]) -> None:
    cluster = launched(Cluster(a_training(retry={"limit": 0})))
    labels = cluster.jobs[cluster.run.job]["metadata"]["labels"]
    cluster.jobs[cluster.run.job] = a_job(cluster.run.job, **job)
    cluster.jobs[cluster.run.job]["metadata"]["labels"] = labels
    cluster.pods[cluster.run.job] = [pod] if pod else []
    cluster.settle()
    status, seen, message = cluster.condition()
    assert (status, seen) == ("False", reason)
    assert all(part in message for part in parts), message
    assert (cluster.run.phase, cluster.status.phase, cluster.status.run_counter) == ("Failed", "Failed", 1)
    assert not cluster.versions
    assert len(cluster.said("RunFailed")) == 1


def test_a_pod_that_is_being_killed_for_the_deadline_is_not_taken_for_a_crash() -> None:
    cluster = launched()
    cluster.pods[cluster.run.job] = [ended_pod("", exit_code=143, reason="Error")]
    cluster.settle()
    assert cluster.run.phase == "Running"


SECRET = 'secret "perennial-store" not found'

NO_NODE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: memory"}


@pytest.mark.parametrize(
    ("pod", "reason", "part"),
    [
        (
            a_pod({"waiting": {"reason": "CreateContainerConfigError", "message": SECRET}}),
            "StoreSecretMissing", "create the Secret perennial-store",
        ),
        (a_pod({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}), "ImagePullFailed", "no such"),
        (a_pod({}, conditions=(NO_NODE,)), "Unschedulable", "memory 2Gi in spec.engine.resources"),
        (None, "PodNotCreated", "kubectl describe job"),
    ],
)  # fmt: skip
def test_a_pod_that_cannot_start_is_told_and_forgotten_once_it_does(pod: dict, reason: str, part: str) -> None:
    cluster = launched()
    job = cluster.jobs[cluster.run.job]
    job["metadata"]["creationTimestamp"] = NOW.isoformat()
    cluster.now += timedelta(minutes=2)
    cluster.pods[cluster.run.job] = [pod] if pod else []
    cluster.settle()
    assert cluster.condition()[:2] == ("False", reason)
    assert part in cluster.condition()[2]
    assert cluster.status.phase == "Pending"
    cluster.pods[cluster.run.job] = [a_pod({"running": {}})]
    cluster.settle()
    assert cluster.condition()[:2] == ("Unknown", "Running")
    assert cluster.status.phase == "Running"


def test_a_lost_termination_message_is_made_up_for_by_the_file_in_the_store() -> None:
    cluster = launched()
    cluster.end_run()
    cluster.pods.clear()
    cluster.jobs.clear()
    cluster.settle()
    assert cluster.condition()[:2] == ("True", "Registered")


@pytest.mark.parametrize("began", [False, True])
def test_a_run_whose_time_is_over_before_it_began_says_what_kept_it(began: bool) -> None:
    cluster = Cluster()
    cluster.settle()
    waiting = a_pod({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})
    cluster.pods[cluster.run.job] = [waiting]
    cluster.settle()
    if began:
        cluster.pods[cluster.run.job] = [a_pod({"running": {}})]
        cluster.settle()
    cluster.jobs[cluster.run.job]["status"] = a_job("", condition="Failed", reason="DeadlineExceeded")["status"]
    cluster.pods.clear()
    cluster.settle()
    assert cluster.run.outcome == "DeadlineExceeded"
    kept = "the run did not begin within spec.engine.deadline: ImagePullFailed: the image of the run cannot be had"
    assert cluster.run.message.startswith(kept) is not began


def test_a_job_that_somebody_deleted_ends_its_run() -> None:
    cluster = launched()
    cluster.jobs.clear()
    cluster.settle()
    assert cluster.condition()[:2] == ("False", "RunLost")
    assert "its Job is gone" in cluster.condition()[2]
    assert not cluster.jobs
