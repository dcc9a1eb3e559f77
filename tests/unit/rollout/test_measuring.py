"""What is asked of Prometheus and of pods, and what the answers are worth."""

from datetime import timedelta
from typing import Any

import pytest

from perennial.adapters.prometheus import Prometheus, PrometheusUnavailable, QueryRejected, Series
from perennial.api.rollout import Analysis, AnalysisMetric
from perennial.domain.analysis import Observed, Unavailable, judge, latency_query, limit, request_share, requests_query
from perennial.domain.rollout_pods import trouble_of_deployment, trouble_of_pod
from perennial.reconcile.measure import measure
from tests.unit.rollout.world import BEGINNING, holding

NAN = float("nan")


class Answers(Prometheus):
    """Answers in turn, and keeps what it was asked."""

    def __init__(self, *answers: list[Series] | Exception) -> None:
        super().__init__("http://prometheus.test")
        self.answers = list(answers)
        self.asked: list[tuple[str, float]] = []

    async def query(self, expr: str, at: float) -> list[Series]:
        self.asked.append((expr, at))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def series(value: float, **labels: str) -> Series:
    return Series(labels, ((0.0, value),))


@pytest.mark.parametrize(("text", "value"), [("50ms", 0.05), ("1.5s", 1.5), ("0.01", 0.01), (0.01, 0.01), (2, 2.0)])
def test_limits_are_shares_or_times(text: str | float, value: float) -> None:
    assert limit(AnalysisMetric(name="m", builtin="LatencyP99", max=text)) == pytest.approx(value)


def test_every_query_names_deployment_and_version() -> None:
    assert requests_query("clinic/heart", ("heart-v2", "heart-v1"), 30) == (
        "sum by (version, code) (increase(perennial_requests_total"
        '{deployment="clinic/heart",version=~"heart-v1|heart-v2"}[30s]))'
    )
    assert latency_query("clinic/heart", "heart-v2", 30) == (
        "histogram_quantile(0.99, sum by (le) (increase(perennial_request_duration_seconds_bucket"
        '{deployment="clinic/heart",version="heart-v2"}[30s])))'
    )


@pytest.mark.parametrize(
    ("observed", "errors", "latency"),
    [
        (Observed("r", {"v2": 100.0}, {"v2": 1.0}, 0.01), "Pass", "Pass"),
        (Observed("r", {"v2": 100.0}, {"v2": 2.0}, 0.06), "Fail", "Fail"),
        (Observed("r", {"v2": 100.0}, {}, None), "Pass", "NoData"),
        (Observed("r", {"v2": 19.0}, {"v2": 19.0}, 9.0), "NoData", "NoData"),
        (Observed("r", {"v1": 900.0}, {"v1": 900.0}, 9.0), "NoData", "NoData"),
        (Observed("r"), "NoData", "NoData"),
        (Unavailable("r", "away"), "NoData", "NoData"),
    ],
)
def test_no_data_neither_passes_nor_fails(observed: Observed | Unavailable, errors: str, latency: str) -> None:
    metrics = [
        AnalysisMetric(name="errors", builtin="ErrorRate", max=0.01),
        AnalysisMetric(name="latency", builtin="LatencyP99", max="50ms"),
    ]
    found = judge(Analysis(metrics=metrics), observed, "v2", BEGINNING)
    assert [each.result for each in found] == [errors, latency]


def test_the_share_of_requests_is_told_only_where_versions_differ() -> None:
    observed = Observed("r", {"v1": 300.0, "v2": 100.0})
    assert request_share(observed, "v1", "v2") == 25.0
    assert request_share(observed, "v1", "v1") is None
    assert request_share(Observed("r"), "v1", "v2") is None
    assert request_share(Unavailable("r", ""), "v1", "v2") is None


async def test_a_measurement_is_made_when_it_is_due_and_over_its_interval() -> None:
    world = holding()
    nothing = Answers()
    assert await measure(nothing, world.deployment, world.now + timedelta(seconds=29)) is None
    due = world.now + timedelta(seconds=30)
    told = [
        series(200, version="heart-v1", code="200"), series(90, version="heart-v2", code="200"),
        series(6, version="heart-v2", code="500"), series(4, version="heart-v2", code="503"),
        series(NAN, version="heart-v2", code="400"),
    ]  # fmt: skip
    prometheus = Answers(told, [series(NAN)])
    found = await measure(prometheus, world.deployment, due)
    assert isinstance(found, Observed)
    assert found.requests == {"heart-v1": 200, "heart-v2": 100}
    assert found.errors == {"heart-v2": 10}
    assert found.latency_p99 is None
    assert {at for _, at in prometheus.asked} == {due.timestamp()}


@pytest.mark.parametrize("error", [PrometheusUnavailable("timeout"), QueryRejected("bad_data: parse error")])
async def test_that_prometheus_is_away_is_a_finding(error: Exception) -> None:
    world = holding()
    found = await measure(Answers(error), world.deployment, world.now + timedelta(seconds=30))
    assert isinstance(found, Unavailable)
    assert str(error) in found.message


# --- pods ---------------------------------------------------------------------------------------------------------


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
