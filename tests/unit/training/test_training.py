"""A run from its trigger to its version, and every way in which it does not get there."""

from datetime import timedelta

import pytest

from perennial.contracts.request import Artifact
from perennial.contracts.result import ChampionMetrics, RunOutcome
from perennial.domain.plan import Delete
from perennial.domain.training.request import spec_hash
from tests.unit.training.support import (
    NOW,
    ROOT,
    Cluster,
    a_deployment,
    a_monitor,
    a_training,
    an_action,
    result,
    spec,
)

FAILURE = RunOutcome(
    succeeded=False, component="check", reason="DataRejected", message="column age: 3 of 303 rows are over 120"
)
CHAMPION_ASKED = {"evaluation": {"gates": [], "champion": {"metric": "roc_auc"}}}


def launched(cluster: Cluster | None = None) -> Cluster:
    """A cluster whose first run has its Job."""
    cluster = cluster or Cluster()
    cluster.settle()
    assert cluster.run.launched
    return cluster


def registered(cluster: Cluster | None = None, **end: object) -> Cluster:
    """A cluster whose first run is over."""
    cluster = launched(cluster)
    cluster.end_run(**end)  # type: ignore[arg-type]
    cluster.settle()
    return cluster


def test_a_new_training_runs_and_registers_its_first_version() -> None:
    cluster = launched()
    assert cluster.status.phase == "Running"
    assert cluster.condition() == ("Unknown", "Running", "no run has ended yet")
    assert cluster.condition("Running")[:2] == ("True", "Spec")
    assert list(cluster.jobs) == list(cluster.config_maps) == [cluster.run.job]

    cluster.end_run()
    cluster.settle()
    assert cluster.status.phase == "Succeeded"
    assert cluster.condition() == ("True", "Registered", "heart-v1 is registered: roc_auc 0.900")
    assert cluster.condition("Running")[0] == "False"
    assert (cluster.run.phase, cluster.run.outcome, cluster.run.version) == ("Succeeded", "Registered", "heart-v1")
    assert (cluster.status.latest_version, cluster.status.latest_score) == ("heart-v1", "roc_auc 0.900")
    assert cluster.versions["heart-v1"].spec.approval == "Approved"
    assert [event.reason for event in cluster.events] == ["RunStarted", "VersionRegistered"]


def test_the_record_holds_what_an_audit_asks_for() -> None:
    record = registered().versions["heart-v1"].spec.record
    assert (record.number, record.training, record.run, record.run_uid) == (1, "heart", 1, "uid-1")
    assert record.trigger.type == "Spec"
    assert record.created == NOW
    assert record.parameters == {"C": "0.5", "fit_intercept": "true"}
    assert record.score.text == "roc_auc 0.900"
    assert record.data.sha256 == "d" * 64
    assert record.data.source == "s3://data/heart/*.csv"
    assert record.artifacts["model.onnx"].uri == f"{ROOT}/cardio/heart/1/model.onnx"
    assert record.result.uri == f"{ROOT}/cardio/heart/1/result.json"
    assert record.image == "components:1@sha256:" + "a" * 64
    assert record.pipeline == "e" * 64
    assert [gate.passed for gate in record.gates] == [True]


def test_a_manual_version_waits_for_a_person() -> None:
    cluster = registered(Cluster(a_training(approval="Manual")))
    version = cluster.versions["heart-v1"]
    assert version.spec.approval == "Pending"
    assert cluster.condition()[:2] == ("False", "ApprovalPending")
    approved = version.spec.model_copy(update={"approval": "Approved"})
    cluster.versions["heart-v1"] = version.model_copy(update={"spec": approved})
    cluster.step()
    assert cluster.condition()[:2] == ("True", "Registered")


def test_a_failed_gate_registers_a_rejected_version_that_says_why() -> None:
    cluster = registered(made=result(roc_auc=0.78))
    assert cluster.versions["heart-v1"].spec.approval == "Rejected"
    assert cluster.versions["heart-v1"].spec.record.gates[0].message == "roc_auc 0.78 is under the gate's 0.80"
    assert cluster.run.outcome == "GateFailed"
    status, reason, message = cluster.condition()
    assert (status, reason) == ("False", "GateFailed")
    assert "roc_auc 0.78 is under the gate's 0.80" in message
    assert cluster.status.phase == "Failed"
    assert cluster.said("GateFailed")


def second_run(champion: ChampionMetrics | None, **changes: object) -> Cluster:
    """v1 serves; a second run is made that has met it as ``champion``."""
    cluster = registered(Cluster(a_training(**CHAMPION_ASKED)))
    cluster.deployments = [a_deployment("heart-v1")]
    cluster.request("train/heart/again")
    if changes:
        cluster.change(**changes)
    cluster.settle()
    made = result(f"{ROOT}/cardio/heart/2", champion=champion, roc_auc=0.88)
    cluster.end_run(made=made)
    cluster.settle()
    return cluster


def test_a_challenger_that_is_worse_leaves_the_champion_in_place() -> None:
    cluster = second_run(ChampionMetrics("heart-v1", {"roc_auc": 0.9}, 76))
    assert cluster.versions["heart-v2"].spec.approval == "Rejected"
    assert cluster.condition()[:2] == ("False", "ChampionKept")
    assert "roc_auc 0.880 against heart-v1's 0.900 on the same 76 rows" in cluster.run.message


def test_a_comparison_that_says_nothing_is_recorded_and_told() -> None:
    data = {**spec()["data"], "split": {"test": 0.25, "seed": 8}}
    cluster = second_run(ChampionMetrics("heart-v1", {}, 0, "its split settings differ"), data=data)
    assert cluster.versions["heart-v2"].spec.approval == "Approved"
    champion = cluster.versions["heart-v2"].spec.record.champion
    assert champion is not None
    assert champion.verdict == "Inconclusive"
    assert "split settings differ" in cluster.said("ChampionInconclusive")[0]


def test_nothing_starts_without_the_stores_secret() -> None:
    cluster = Cluster(trouble=("StoreSecretMissing", "create the Secrets perennial-store and perennial-store-read"))
    cluster.settle()
    assert cluster.condition()[:2] == ("False", "StoreSecretMissing")
    assert cluster.status.phase == "Blocked"
    assert not cluster.status.runs
    cluster.trouble = None
    cluster.settle()
    assert cluster.run.launched


def test_a_store_that_is_away_when_the_result_is_due_delays_it_only() -> None:
    cluster = launched()
    cluster.end_run()
    cluster.trouble = ("StoreUnavailable", "the store s3://artifacts: connection refused")
    plan = cluster.step()
    assert plan.requeue is not None
    assert cluster.condition()[:2] == ("False", "StoreUnavailable")
    assert cluster.run.phase == "Running"
    cluster.trouble = None
    cluster.settle()
    assert cluster.condition()[:2] == ("True", "Registered")


def test_a_model_without_onnx_form_is_registered_with_its_estimator() -> None:
    import msgspec

    made = result()
    files = {"model.skops" if name == "model.onnx" else name: item for name, item in made.artifacts.items()}
    data = msgspec.json.encode(msgspec.structs.replace(made, artifacts=files, format="skops", format_reason="none"))
    cluster = registered(data=data)
    assert cluster.condition()[1] == "Registered"
    assert set(cluster.versions["heart-v1"].spec.record.artifacts) == {"model.skops", "signature.json", "baseline.json"}
    neither = {name: item for name, item in files.items() if name != "model.skops"}
    cluster = registered(data=msgspec.json.encode(msgspec.structs.replace(made, artifacts=neither)))
    assert cluster.condition()[1] == "ResultMalformed"
    assert "names no model.onnx" in cluster.condition()[2]


def outside() -> bytes:
    """A result that claims another namespace's model."""
    import msgspec

    made = result()
    stolen = {**made.artifacts, "model.onnx": Artifact(f"{ROOT}/other/heart/1/model.onnx", "a" * 64)}
    return msgspec.json.encode(msgspec.structs.replace(made, artifacts=stolen))


@pytest.mark.parametrize(
    ("data", "part"),
    [(b"{}", "cannot be read"), (b"\xff", "cannot be read"), (outside(), "outside of the run's folder")],
)
def test_a_result_that_is_not_one_fails_the_run(data: bytes, part: str) -> None:
    cluster = registered(data=data)
    assert cluster.condition()[:2] == ("False", "ResultMalformed")
    assert part in cluster.condition()[2]
    assert not cluster.versions


def test_a_run_without_the_tuned_metric_is_malformed() -> None:
    cluster = registered(made=result(recall=0.9))
    assert "no roc_auc on the held-out rows" in cluster.condition()[2]


def test_the_older_training_keeps_the_models_name() -> None:
    older = a_training("first", "uid-0", created=NOW - timedelta(days=1))
    cluster = Cluster(others=[older])
    cluster.settle()
    assert cluster.condition()[:2] == ("False", "ModelNameTaken")
    assert "ModelTraining first" in cluster.condition()[2]
    assert not cluster.status.runs
    cluster.others = []
    cluster.settle()
    assert cluster.run.launched


@pytest.mark.parametrize(("name", "taken"), [("a", True), ("z", False)])
def test_of_two_trainings_made_at_once_the_first_by_name_has_the_model(name: str, taken: bool) -> None:
    cluster = Cluster(others=[a_training(name, "uid-0")])
    cluster.settle()
    assert bool(cluster.status.runs) is not taken


def test_a_spec_that_changes_during_a_run_starts_the_next_one_after_it() -> None:
    cluster = launched()
    cluster.change(evaluation={"gates": [{"metric": "roc_auc", "min": 0.99}]})
    cluster.settle()
    assert len(cluster.status.runs) == 1
    cluster.end_run()
    cluster.settle()
    assert cluster.versions["heart-v1"].spec.approval == "Approved", "judged by the gates of its start"
    assert cluster.run.number == 2
    cluster.end_run()
    cluster.settle()
    assert cluster.versions["heart-v2"].spec.approval == "Rejected"


def test_a_spec_that_changes_between_start_and_launch_is_the_one_that_runs() -> None:
    cluster = Cluster()
    cluster.step()
    cluster.change(tuning={"metric": "roc_auc", "trials": 3})
    cluster.settle()
    cluster.end_run()
    cluster.settle()
    assert cluster.status.run_counter == 1
    assert cluster.run.trigger.id == spec_hash(cluster.training.spec) == cluster.status.spec_hash


@pytest.mark.parametrize(
    "change",
    [
        {"approval": "Manual"}, {"engine": {"deadline": "5m", "ttl": "1h"}}, {"schedule": {"cron": "@yearly"}},
        {"concurrencyPolicy": "Forbid"}, {"retry": {"limit": 0}}, {"data": {**spec()["data"], "poll": "1h"}},
    ],
)  # fmt: skip
def test_what_makes_no_other_model_asks_for_no_run(change: dict) -> None:
    cluster = registered()
    cluster.change(**change)
    cluster.settle()
    assert cluster.status.run_counter == 1


def test_a_drift_action_starts_a_run_once() -> None:
    cluster = registered()
    cluster.deployments = [a_deployment("heart-v1")]
    cluster.monitors = [a_monitor("watch", an_action("a1"), an_action("r1", kind="Rollback"))]
    cluster.settle()
    assert (cluster.run.number, cluster.run.trigger.type, cluster.run.trigger.id) == (2, "Drift", "a1")
    assert cluster.run.trigger.by == "DriftMonitor/watch"
    assert cluster.status.handled_actions == ["a1"]
    cluster.end_run(FAILURE)
    cluster.settle()
    assert cluster.status.run_counter == 2, "a failed run is not repeated"


def test_an_action_for_a_version_that_serves_no_more_is_acknowledged_without_a_run() -> None:
    cluster = registered()
    cluster.deployments = [a_deployment("heart-v7")]
    cluster.monitors = [a_monitor("watch", an_action("a1"))]
    cluster.settle()
    assert cluster.status.run_counter == 1
    assert cluster.status.handled_actions == ["a1"]
    assert "heart-v7 serves there now" in cluster.said("ActionIgnored")[0]


def test_an_action_that_comes_during_a_run_is_looked_at_after_it() -> None:
    cluster = launched()
    cluster.deployments = [a_deployment("heart-v1")]
    cluster.monitors = [a_monitor("watch", an_action("a1"))]
    cluster.settle()
    assert cluster.status.handled_actions == []
    cluster.end_run()
    cluster.step()  # reserved
    cluster.step()  # registered
    cluster.deployments = [a_deployment("heart-v2")]
    cluster.settle()
    assert cluster.status.run_counter == 1
    assert cluster.status.handled_actions == ["a1"]


def test_other_trainings_actions_are_not_ours() -> None:
    cluster = registered()
    cluster.deployments = [a_deployment("heart-v1")]
    cluster.monitors = [a_monitor("watch", an_action("a1"), training_name="lung")]
    cluster.settle()
    assert cluster.status.run_counter == 1
    assert cluster.status.handled_actions == []


@pytest.mark.parametrize("value", ["rollback/heart/u1", "train", "train/heart"])
def test_a_request_that_is_none_is_refused_once(value: str) -> None:
    cluster = registered()
    cluster.request(value)
    cluster.settle()
    assert cluster.status.run_counter == 1
    assert len(cluster.said("RequestRefused")) == 1


def test_one_run_answers_all_that_waited_for_it() -> None:
    cluster = registered()
    cluster.deployments = [a_deployment("heart-v1")]
    cluster.monitors = [a_monitor("watch", an_action("a1"), an_action("a2", minute=1))]
    cluster.request("train/heart/u1")
    cluster.change(tuning={"trials": 3})
    cluster.settle()
    cluster.end_run()
    cluster.settle()
    assert cluster.status.run_counter == 2
    assert cluster.status.runs[0].trigger.type == "Spec"
    assert cluster.status.handled_request == "u1"
    assert set(cluster.status.handled_actions) == {"a1", "a2"}


def test_numbers_go_on_where_a_deleted_training_stopped() -> None:
    cluster = registered()
    again = Cluster(a_training(uid="uid-2"), versions=cluster.versions, store=cluster.store)
    registered(again)
    assert again.run.number == 2, "its files must not overwrite those of heart-v1"
    assert again.run.version == "heart-v2"


def test_numbers_go_on_where_the_store_alone_remembers() -> None:
    cluster = registered(Cluster(store={f"{ROOT}/cardio/heart/4/model.onnx": b""}))
    assert (cluster.run.number, cluster.run.version) == (5, "heart-v5")


def test_a_name_that_somebody_took_is_stepped_over() -> None:
    cluster = launched()
    cluster.end_run()
    cluster.step()
    assert cluster.run.reserved == 1
    theirs = registered(Cluster(a_training(uid="uid-9"))).versions
    cluster.versions = dict(theirs)
    cluster.settle()
    assert cluster.run.version == "heart-v2"
    assert cluster.versions["heart-v1"] == theirs["heart-v1"]


def test_the_last_three_jobs_are_kept() -> None:
    cluster = Cluster()
    for number in range(1, 6):
        cluster.request(f"train/heart/u{number}")
        registered(cluster)
    assert cluster.status.run_counter == 5
    assert len(cluster.jobs) == len(cluster.config_maps) == 3
    assert cluster.run.job in cluster.jobs
    assert len(cluster.versions) == 5


def test_no_run_waits_for_an_old_job_that_may_not_be_deleted() -> None:
    """A refused step that does not stand apart undoes the whole decision, such as that a run has started."""
    cluster, steps = Cluster(), list[Delete]()
    for number in range(1, 5):
        cluster.request(f"train/heart/u{number}")
        for _ in range(6):
            steps += [each for each in cluster.step().steps if isinstance(each, Delete)]
            if cluster.run.launched and cluster.run.job not in cluster.pods:
                cluster.end_run()
    assert {(each.kind, each.apart) for each in steps} == {("ConfigMap", "prune"), ("Job", "prune")}


def test_an_upgraded_operator_changes_nothing_of_a_run_under_way() -> None:
    cluster = Cluster()
    cluster.step()
    assert cluster.run.image == "components:1"
    job = launched(cluster).jobs[cluster.run.job]
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == "components:1"


def test_a_training_that_is_being_deleted_is_left_alone() -> None:
    cluster = Cluster()
    gone = cluster.training.metadata.model_copy(update={"deletion_timestamp": NOW})
    cluster.training = cluster.training.model_copy(update={"metadata": gone})
    plan = cluster.step()
    assert plan.status is None
    assert not plan.steps
