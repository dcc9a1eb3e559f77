"""What a person reads of a deployment: in a sentence, in the tree, in the table."""

import pytest

from perennial.api.deployment import ModelDeployment
from perennial.api.drift import DriftMonitor
from perennial.api.training import ModelTraining
from perennial.api.version import ModelVersion
from perennial.cli import resources
from perennial.cli.cluster import place
from perennial.cli.deployment import headline, stages
from perennial.cli.tree import tree
from perennial.cli.words import figure, short_image, span
from perennial.contracts.names import quarantine_annotation
from perennial.domain.rollout.quarantine import Quarantined
from tests.unit.cli.support import (
    NOW,
    SERVING,
    Json,
    before,
    canary,
    changed,
    condition,
    deployment,
    measurement,
    pod,
    read,
    revision,
    seen,
    version,
)


def shown(raw: Json, **more: list[Json]) -> str:
    return read(tree(seen(raw, **more), NOW))


def test_what_serves_is_told_with_its_pods_its_image_and_its_age() -> None:
    text = shown(SERVING)
    assert text.splitlines()[0] == "heart-v3 serves"
    assert "clinic/heart Healthy Canary, traffic by Replicas" in text
    assert "stable heart-v3 revision rev3 2/2 ready for 5h serving:abc123" in text
    assert "✔ heart-rev3-a Ready node-1 5h" in text
    assert "✔ heart-rev3-b Ready 2 restarts node-1 5h" in text
    assert "promoted here heart-v3 (5h ago), heart-v2 (1d ago)" in text


def test_a_rollout_shows_its_stages_and_the_time_that_is_left() -> None:
    text = shown(canary(), pods=[pod(3, "a"), pod(4, "a")])
    assert text.splitlines()[0] == "heart-v3 serves; heart-v4 takes 25 % (step 1 of 2), 42s left"
    assert "rollout → heart-v4 revision rev4 1/1 ready serving:abc123 Canary, begun 1m ago" in text
    assert "✔ its pods start" in text
    assert "● takes 25 % for 1m 42s left" in text
    assert "○ takes 50 % until it is promoted" in text
    assert "○ takes all requests" in text
    assert "traffic wanted 25 %, real 33.3 % of the pods, measured 31.2 % of the requests" in text


def test_measurements_stand_with_value_bound_verdict_and_those_before() -> None:
    raw = canary(
        passed=2, failed=1, inconclusive=1,
        measurements=[
            measurement("errors", 0.002, "Pass", max=0.01),
            measurement("latency", 0.0613, "Fail", max=0.05, message="above 50ms"),
            measurement("revenue", None, "NoData", min=0.9, message="no requests"),
            measurement("errors", 0.02, "Fail", seconds=42, max=0.01),
        ],
    )  # fmt: skip
    text = shown(raw)
    assert "analysis every 30s: 2 passed, 1 failed (1 let pass), 1 inconclusive" in text
    assert "✔ errors 0.2 % ≤ 1 % Pass ✖✔ 12s ago" in text
    assert "✖ latency 61.3 ms ≤ 50 ms Fail ✖ 12s ago above 50ms" in text
    assert "∅ revenue no data ≥ 0.9 NoData ∅ 12s ago no requests" in text


@pytest.mark.parametrize(
    ("strategy", "spec", "stage"),
    [
        ("BlueGreen", {"preview": {"hold": "5m"}}, "● stands behind the preview Service for 5m 4m42s left"),
        ("BlueGreen", {"preview": {"pause": {}}}, "● stands behind the preview Service until it is promoted"),
        ("Shadow", {"shadow": {"share": 20, "hold": "5m"}}, "● answers copies of 20 % of the requests for 5m"),
        ("Recreate", {}, "● takes all requests"),
    ],
)
def test_each_strategy_has_stages_of_its_own(strategy: str, spec: Json, stage: str) -> None:
    raw = canary(spec={"rollout": {"strategy": strategy, **spec}}, strategy=strategy)
    assert stage in shown(raw)


def test_a_stage_whose_time_is_over_says_what_it_waits_for() -> None:
    assert "● takes 25 % for 1m its time is over, the analysis is not done" in shown(
        canary(stepSince=before(minutes=2))
    )


def test_a_pause_tells_how_to_go_on() -> None:
    assert "paused by a person: kubectl perennial resume heart" in shown(canary(phase="Paused", paused=True))
    assert "● takes 50 % until it is promoted kubectl perennial promote heart" in shown(canary(step=1, phase="Paused"))


def test_commands_are_those_of_the_plugin() -> None:
    told = "v4 is kept out: kubectl annotate md heart --overwrite perennial.dev/request=release/v4/$(uuidgen)"
    raw = changed(said=[condition("Ready", "True", "VersionQuarantined", told)])
    assert headline(seen(raw), NOW) == "v4 is kept out: kubectl perennial release heart"


def test_steps_taken_out_of_the_spec_meanwhile_are_no_error() -> None:
    raw = canary(step=5)
    assert [stage.state for stage in stages(seen(raw), NOW)] == ["done", "done", "done", "now"]


def test_pods_that_do_not_start_say_why_in_the_cluster_s_own_words() -> None:
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    status = {"phase": "Pending", "containerStatuses": [{"name": "predictor", "restartCount": 0, "state": waiting}]}
    raw = canary(step=-1)
    text = shown(raw, pods=[pod(4, "a", ready=False, status=status)], deployments=[deployment(4, 2)])
    assert "● its pods start" in text
    assert "0/2 ready" in text
    assert "✖ heart-rev4-a ErrImagePull" in text
    assert "heart-rev4-a: container predictor: no such image" in text


def test_a_quota_that_forbids_pods_is_named() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: small"}
    text = shown(canary(step=-1), pods=[], deployments=[deployment(4, 1, conditions=[failure])])
    assert "no pod can be made: FailedCreate: exceeded quota: small" in text


def test_what_is_kept_out_stands_with_its_reason() -> None:
    held = {"version": "heart-v5", "reason": "errors was 0.2", "since": before(minutes=4)}
    marks = [
        version(number, **{quarantine_annotation("heart"): Quarantined(why, NOW).annotation()})
        for number, why in ((5, "errors was 0.2"), (1, "rolled back by request"))
    ]
    said = [
        condition("Ready", "True", "VersionQuarantined", "heart-v3 serves; heart-v5 is kept out"),
        condition("Degraded", "True", "RolloutFailed", "heart-v3 serves in its place: heart-v5 is kept out"),
    ]
    raw = changed(phase="Holding", held=held, said=said)
    text = shown(raw, versions=[*marks, version(4)])
    assert text.splitlines()[0] == "heart-v3 serves; heart-v5 is kept out"
    assert "held heart-v5 errors was 0.2 4m ago" in text
    assert "quarantined heart-v1 rolled back by request" in text
    assert "heart-v4" not in text


def test_the_standby_tells_how_long_it_stands() -> None:
    standby = {"revision": revision(2), "until": before(minutes=-25)}
    text = shown(changed(standby=standby), pods=[pod(2, "a")])
    assert "standby heart-v2 revision rev2 1/1 ready serving:abc123 until 12:25:00Z, 25m left" in text


def test_before_the_operator_looks_that_is_what_is_said() -> None:
    assert "is it running?" in headline(seen({**SERVING, "status": {}}), NOW)


def test_a_spec_that_the_operator_has_not_seen_is_told() -> None:
    raw = {**SERVING, "metadata": {**SERVING["metadata"], "generation": 2}}
    assert headline(seen(raw), NOW).endswith("(the operator has not seen the newest spec yet)")


def test_fields_of_a_newer_operator_are_no_error() -> None:
    raw = changed(spec={"unheardOf": {"a": 1}}, unheardOf=3)
    assert shown(raw).startswith("heart-v3 serves")


def test_the_table_has_a_line_for_each() -> None:
    text = read(resources.table([seen(SERVING), seen(canary())], NOW, namespaces=True), width=200)
    header, first, second = text.splitlines()
    assert header == "NAMESPACE NAME STABLE PHASE NEXT WEIGHT READY AGE"
    assert first == "clinic heart heart-v3 Healthy - - 2 2d heart-v3 serves"
    assert second.startswith(
        "clinic heart heart-v3 Progressing heart-v4 25 % 2 2d heart-v3 serves; heart-v4 takes 25 %"
    )


def test_an_empty_table_says_so() -> None:
    assert read(resources.table([], NOW, namespaces=False)) == "there are no ModelDeployments here"


def test_the_other_kinds_show_their_conditions_and_key_fields() -> None:
    run = {
        "number": 2, "phase": "Failed", "trigger": {"type": "Drift"}, "outcome": "GateFailed",
        "message": "recall 0.61 < 0.75", "startedAt": before(minutes=9),
    }  # fmt: skip
    leaders = [
        {"algorithm": "Ridge", "score": 0.91234, "trials": 12}, {"algorithm": "ExtraTrees", "score": 0.9, "trials": 1},
    ]  # fmt: skip
    before_it = {
        **run, "number": 1, "outcome": "Registered", "message": "", "leaderboard": leaders,
        "trigger": {"type": "Request", "by": "alice"},
    }  # fmt: skip
    training = {
        "metadata": {"name": "heart", "namespace": "clinic"},
        "spec": {"model": "heart"},
        "status": {
            "runs": [run, before_it, {**before_it, "number": 0}],
            "conditions": [condition("Ready", "False", "GateFailed", "recall")],
        },
    }
    text = read(resources.tree(ModelTraining, training, NOW))
    assert text.splitlines()[0] == "GateFailed: recall"
    assert "run 2 Failed Drift GateFailed recall 0.61 < 0.75 9m ago" in text
    assert "run 1 Failed Request by alice Registered 9m ago" in text
    assert text.count("1. Ridge 0.9123 12 trials") == text.count("2. ExtraTrees 0.9 1 trial") == 1
    monitor = {"metadata": training["metadata"], "spec": {"deployment": "heart"}, "status": {"verdict": "Drifting"}}
    assert "clinic/heart Drifting" in read(resources.tree(DriftMonitor, monitor, NOW))
    kept_out = {**version(3), "status": {"quarantined": [{"deployment": "heart", "reason": "errors"}]}}
    text = read(resources.tree(ModelVersion, kept_out, NOW))
    assert "score roc_auc 0.900" in text
    assert "quarantined in heart: errors" in text


@pytest.mark.parametrize("name", ["md/heart", "ModelDeployment/heart", "modeldeployments.perennial.dev/heart", "heart"])
def test_names_are_written_as_kubectl_takes_them(name: str) -> None:
    assert place(name, ModelDeployment) == (ModelDeployment, "heart")
    assert place("mv/heart-v1", ModelDeployment) == (ModelVersion, "heart-v1")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (42.4, "42s"), (190, "3m10s"), (3600, "1h"), (3601, "1h"), (187_200, "2d4h")]
)
def test_times_are_told_in_two_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_figures_have_the_unit_of_their_metric() -> None:
    metrics = {each.name: each for each in seen(SERVING).deployment.spec.rollout.analysis.metrics}
    assert figure(0.123456, metrics["errors"]) == "12.3 %"
    assert figure(1.5, metrics["latency"]) == "1.5 s"
    assert figure(0.00042, metrics["latency"]) == "0.42 ms"
    assert figure(12.5, None) == "12.5"
    assert short_image("registry:5000/a/serving@sha256:" + "ab" * 32) == "serving@abababababab"
