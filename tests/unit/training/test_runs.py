"""What happens to a run under way: cancelled, replaced, tried again, seen from outside; and how long its Job stays."""

from datetime import timedelta

import pytest

from perennial.api.run import Retry
from perennial.contracts.progress import Progress
from perennial.contracts.result import RunOutcome
from perennial.domain.training import progress
from perennial.domain.training.attempts import LONGEST_BACKOFF, backoff
from perennial.domain.training.run import Failed, observe
from tests.unit.training.support import (
    NOW,
    Cluster,
    a_deployment,
    a_job,
    a_monitor,
    a_pod,
    a_training,
    an_action,
    ended_pod,
    spec,
)

AWAY = RunOutcome(succeeded=False, component="register", reason="StoreUnavailable", message="connection refused")
REJECTED = RunOutcome(succeeded=False, component="check", reason="DataRejected", message="too old")
HOURLY = {"cron": "@hourly"}


def running(**changes: object) -> Cluster:
    """A cluster whose second run, asked for by a person, is under way."""
    cluster = Cluster(a_training(**changes))
    cluster.settle()
    cluster.end_run()
    cluster.settle()
    cluster.request("train/heart/u1")
    cluster.settle()
    assert (cluster.run.number, cluster.run.phase) == (2, "Running")
    return cluster


def end_badly(cluster: Cluster, outcome: RunOutcome | None = None, pod: dict | None = None) -> None:
    """The Job of the run under way ends, as ``outcome`` or ``pod`` says; without either its pod is gone."""
    job = cluster.jobs[cluster.run.job]
    job["status"] = a_job("", condition="Failed")["status"]
    made = ended_pod(outcome) if outcome else pod
    cluster.pods[cluster.run.job] = [made] if made else []


# --- cancel -------------------------------------------------------------------------------------------------------


def test_a_request_cancels_the_run_under_way_and_its_job_goes() -> None:
    cluster = running()
    job = cluster.run.job
    cluster.request("cancel/heart/u2")
    cluster.settle()
    assert (cluster.run.phase, cluster.run.outcome) == ("Cancelled", "Cancelled")
    assert cluster.run.message == "it was cancelled by request u2"
    assert cluster.status.phase == "Cancelled"
    assert cluster.status.handled_request == "u2"
    assert job not in cluster.jobs
    assert job not in cluster.config_maps
    assert cluster.status.latest_version == "heart-v1"
    assert cluster.status.run_counter == 2


def test_who_asked_stands_with_what_became_of_it() -> None:
    cluster = running()
    assert (cluster.run.trigger.id, cluster.run.trigger.by) == ("u1", "")
    cluster.request("cancel/heart/u2/system:serviceaccount:ci/robot")
    cluster.settle()
    assert cluster.run.message == "it was cancelled by request u2 of system:serviceaccount:ci/robot"
    cluster.request("train/heart/u3/alice")
    cluster.settle()
    assert (cluster.run.trigger.id, cluster.run.trigger.by) == ("u3", "alice")
    assert "run 3 starts: alice requested it (u3)" in cluster.said("RunStarted")
    cluster.end_run()
    cluster.settle()
    assert cluster.versions["heart-v2"].spec.record.trigger.by == "alice"


@pytest.mark.parametrize("wrong", ["train", "train/heart", "train/heart/", "stop/heart/u2"])
def test_a_request_that_cannot_be_read_is_refused_at_once_though_a_run_is_under_way(wrong: str) -> None:
    cluster = running()
    cluster.request(wrong)
    cluster.settle()
    [said] = cluster.said("RequestRefused")
    assert "was refused" in said
    assert (cluster.run.phase, cluster.status.handled_request) == (
        "Running",
        wrong.rpartition("/")[2] if "stop" in wrong else wrong,
    )


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_cancellation_that_is_cut_short_is_finished_by_the_next_process(steps: int) -> None:
    cluster = running()
    cluster.request("cancel/heart/u2")
    cluster.step(steps=steps, status=False)
    cluster.settle()
    assert (cluster.run.phase, cluster.run.outcome) == ("Cancelled", "Cancelled")
    assert cluster.run.job not in cluster.jobs


def test_a_cancellation_waits_for_nothing_not_even_the_store() -> None:
    cluster = running()
    cluster.end_run()
    cluster.trouble = ("StoreUnavailable", "connection refused")
    cluster.settle()
    cluster.request("cancel/heart/u2")
    cluster.settle()
    assert cluster.run.phase == "Cancelled"


def test_a_run_whose_result_is_recorded_is_not_cancelled_any_more() -> None:
    cluster = running()
    cluster.end_run()
    cluster.step()
    assert cluster.run.reserved == 2
    cluster.request("cancel/heart/u2")
    cluster.settle()
    assert cluster.run.version == "heart-v2"
    assert cluster.said("RequestRefused") == ["request u2 was refused: no run is under way"]


# --- one at a time ------------------------------------------------------------------------------------------------


def test_queue_lets_what_is_asked_wait() -> None:
    cluster = running()
    cluster.request("train/heart/u2")
    cluster.settle()
    assert cluster.status.run_counter == 2
    cluster.end_run()
    cluster.settle()
    assert (cluster.run.number, cluster.run.trigger.id) == (3, "u2")


def test_forbid_drops_the_schedules_times_and_keeps_requests() -> None:
    cluster = running(schedule=HOURLY, concurrencyPolicy="Forbid")
    cluster.now += timedelta(hours=2)
    cluster.settle()
    assert len(cluster.said("ScheduleSkipped")) == 1
    cluster.request("train/heart/u2")
    cluster.settle()
    cluster.end_run()
    cluster.settle()
    assert (cluster.run.number, cluster.run.trigger.type) == (3, "Request")
    cluster.end_run()
    cluster.settle()
    assert cluster.status.run_counter == 3


def test_forbid_drops_other_data_until_a_poll_sees_them_again() -> None:
    cluster = running(data={**spec()["data"], "poll": "1h"}, concurrencyPolicy="Forbid")
    for _ in range(2):
        cluster.end_poll("e" * 64)
        cluster.now += timedelta(hours=1)
        cluster.settle()
    assert cluster.said("DataSkipped")
    assert cluster.status.data.wanted == ""
    cluster.end_run()
    cluster.settle()
    assert cluster.status.run_counter == 2
    cluster.end_poll("e" * 64)
    cluster.settle()
    assert (cluster.run.number, cluster.run.trigger.type) == (3, "Data")


@pytest.mark.parametrize("cause", ["schedule", "request", "spec", "action"])
def test_replace_cancels_the_run_under_way_for_the_next(cause: str) -> None:
    cluster = running(schedule=HOURLY, concurrencyPolicy="Replace")
    job = cluster.run.job
    match cause:
        case "schedule":
            cluster.now += timedelta(hours=1)
        case "request":
            cluster.request("train/heart/u2")
        case "spec":
            cluster.change(tuning={"trials": 3})
        case "action":
            cluster.deployments = [a_deployment("heart-v1")]
            cluster.monitors = [a_monitor("watch", an_action("a1"))]
    cluster.settle()
    second, third = cluster.status.runs[1], cluster.status.runs[0]
    assert (second.phase, second.outcome) == ("Cancelled", "Replaced")
    assert (third.number, third.phase, third.launched) == (3, "Running", True)
    assert job not in cluster.jobs


def test_replace_leaves_the_run_alone_where_nothing_valid_is_asked() -> None:
    cluster = running(concurrencyPolicy="Replace")
    cluster.deployments = [a_deployment("heart-v7")]
    cluster.monitors = [a_monitor("watch", an_action("a1"))]
    cluster.request("shout/heart/u2")
    cluster.settle()
    assert (cluster.run.number, cluster.run.phase) == (2, "Running")


# --- suspend ------------------------------------------------------------------------------------------------------


def test_suspend_ends_the_run_and_starts_another_one_when_it_is_over() -> None:
    cluster = running()
    trigger = cluster.run.trigger
    cluster.change(suspend=True)
    cluster.settle()
    assert (cluster.run.phase, cluster.run.outcome) == ("Cancelled", "Suspended")
    assert not any(name.startswith(cluster.run.job) for name in cluster.jobs)
    assert cluster.status.phase == "Suspended"
    assert cluster.condition("Running")[:2] == ("False", "Suspended")
    assert "the run that it ended" in cluster.condition("Running")[2]
    cluster.request("train/heart/u2")
    cluster.settle()
    assert cluster.said("RequestRefused") == [
        "request u2 was refused: spec.suspend is true; set it to false, and ask again"
    ]
    cluster.change(suspend=False)
    cluster.settle()
    assert (cluster.run.number, cluster.run.phase, cluster.run.trigger) == (3, "Running", trigger)


# --- attempts -----------------------------------------------------------------------------------------------------

DRAINED = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "drained"}


@pytest.mark.parametrize(
    ("outcome", "pod", "reason"),
    [
        (AWAY, None, "StoreUnavailable"),
        (RunOutcome(succeeded=False, reason="DataUnavailable", message="no route"), None, "DataUnavailable"),
        (None, a_pod({}, reason="Evicted", message="low on disk"), "Evicted"),
        (None, a_pod({"terminated": {"exitCode": 143}}, conditions=(DRAINED,)), "Evicted"),
        (None, None, "RunLost"),
    ],
)
def test_what_the_cluster_let_down_is_tried_again_after_a_while(
    outcome: RunOutcome | None, pod: dict | None, reason: str
) -> None:
    cluster = running()
    first = cluster.run.job
    end_badly(cluster, outcome, pod)
    cluster.settle()
    assert (cluster.run.phase, cluster.run.attempt, cluster.status.phase) == ("Running", 2, "Retrying")
    assert cluster.condition()[:2] == ("False", reason)
    assert cluster.step().requeue == 30
    cluster.now += timedelta(seconds=30)
    cluster.settle()
    assert cluster.run.job == f"{first}-r2"
    assert cluster.jobs[cluster.run.job]["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"] == first
    assert cluster.status.phase == "Running"
    cluster.end_run()
    cluster.settle()
    assert (cluster.run.phase, cluster.run.version, cluster.status.run_counter) == ("Succeeded", "heart-v2", 2)
    assert "RunFailed" not in {event.reason for event in cluster.events}


@pytest.mark.parametrize(
    "reason", ["SourceInvalid", "DataRejected", "TrainingFailed", "ExportMismatch", "InternalError"]
)
def test_a_run_that_failed_by_itself_is_over(reason: str) -> None:
    cluster = running()
    end_badly(cluster, RunOutcome(succeeded=False, reason=reason, message="no"))  # type: ignore[arg-type]
    cluster.settle()
    assert (cluster.run.phase, cluster.run.attempt) == ("Failed", 1)


def test_the_last_attempt_is_the_last() -> None:
    cluster = running(retry={"limit": 1, "backoff": "10s"})
    for _ in range(2):
        end_badly(cluster, AWAY)
        cluster.now += timedelta(seconds=30)
        cluster.settle()
    assert (cluster.run.phase, cluster.run.attempt, cluster.run.outcome) == ("Failed", 2, "StoreUnavailable")


def test_a_run_that_waits_for_its_next_attempt_can_be_cancelled() -> None:
    cluster = running()
    end_badly(cluster, AWAY)
    cluster.settle()
    cluster.request("cancel/heart/u2")
    cluster.settle()
    assert (cluster.run.phase, cluster.run.not_before) == ("Cancelled", None)
    assert not [name for name in cluster.jobs if name.startswith("heart-2-")]
    cluster.now += timedelta(hours=1)
    cluster.settle()
    assert cluster.status.run_counter == 2


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_an_attempt_that_is_cut_short_is_the_same_one_afterwards(steps: int) -> None:
    cluster = running()
    end_badly(cluster, AWAY)
    cluster.step(status=False)
    cluster.settle()
    cluster.now += timedelta(seconds=30)
    cluster.step(steps=steps, status=False)
    cluster.settle()
    assert (cluster.run.attempt, cluster.run.launched) == (2, True)
    assert len([name for name in cluster.jobs if name.startswith("heart-2-")]) == 2


def test_waits_double_up_to_a_limit() -> None:
    retry = Retry(limit=10, backoff="30s")
    waits = [backoff(retry, attempt) for attempt in range(1, 11)]
    assert waits[:4] == [30, 60, 120, 240]
    assert max(waits) == LONGEST_BACKOFF


def test_a_drained_pod_that_said_nothing_is_evicted_and_one_that_failed_by_itself_is_not() -> None:
    engine = a_training().spec.engine
    drained = a_pod({"terminated": {"exitCode": 143}}, conditions=(DRAINED,))
    ending = observe(a_job("j", condition="Failed"), [drained], engine, NOW)
    assert isinstance(ending, Failed)
    assert (ending.reason, "drained" in ending.message) == ("Evicted", True)


# --- how long Jobs stay -------------------------------------------------------------------------------------------


def test_finished_jobs_go_when_their_time_has_come() -> None:
    cluster = running(engine={"ttl": "2h"})
    cluster.now += timedelta(hours=1)
    cluster.end_run()
    cluster.settle()
    assert len(cluster.jobs) == 2
    assert cluster.step().requeue == 3600
    cluster.now += timedelta(hours=1)
    cluster.settle()
    assert not cluster.jobs
    assert not cluster.config_maps


def test_a_job_under_way_is_never_too_old() -> None:
    cluster = running(engine={"ttl": "1s"})
    cluster.now += timedelta(days=1)
    cluster.settle()
    assert list(cluster.jobs) == [cluster.run.job]


# --- progress -----------------------------------------------------------------------------------------------------


def test_progress_is_shown_while_the_run_is_under_way() -> None:
    cluster = running()
    cluster.progress = Progress("tune", 4, 9, 0.0, trial=7, trials=20, metric="roc_auc", best=0.9123)
    cluster.settle()
    assert cluster.run.progress == "tune 4/9: trial 7/20, best roc_auc 0.9123"
    cluster.progress = None
    cluster.settle()
    assert cluster.run.progress, "a file that cannot be read just now does not take back what was said"
    cluster.end_run()
    cluster.settle()
    assert cluster.run.progress == ""


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"component": 3}', b"\xff"])
def test_a_broken_progress_file_is_none(data: bytes) -> None:
    assert progress.read(data) is None


def test_what_a_run_says_of_itself_is_short_and_printable() -> None:
    told = progress.told(Progress("tune\x1b[2J\n" + "x" * 500, 1, 9, 0.0))
    assert len(told) <= 200
    assert told.isprintable()
    assert progress.told(Progress("ingest", 1, 9, 0.0)) == "ingest 1/9"
