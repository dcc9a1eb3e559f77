"""What a run's verdict becomes in the registry, and what the run is asked so that there is one."""

import asyncio
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from perennial.api.run import TrainingStatus
from perennial.contracts.result import ChampionMetrics, Gain, Interval
from perennial.domain.training.request import read_started, spec_hash
from perennial.domain.training.state import Registry, Snapshot
from perennial.reconcile.registry import read_registry
from tests.unit.training.support import NOW, Cluster, a_deployment, a_training, result

OUTPUT = "s3://artifacts/cardio/heart/"


@dataclass
class Insisting(Cluster):
    """A world whose namespace has every version wait for a person."""

    def snapshot(self) -> Snapshot:
        made = super().snapshot()
        beginning, following = replace(made.beginning, insists=True), replace(made.following, insists=True)
        return replace(made, beginning=beginning, following=following)


def registered(cluster: Cluster, **changes: Any) -> Cluster:
    """The world once a run has ended well."""
    cluster.settle()
    made = result(f"{OUTPUT}{cluster.run.number}", champion=changes.pop("champion", None), **changes.pop("metrics", {}))
    cluster.end_run(made=msgspec.structs.replace(made, **changes))
    cluster.settle()
    return cluster


@pytest.mark.parametrize(
    ("world", "asked", "approval", "noted"),
    [
        (Cluster, "Automatic", "Approved", "Automatic"),
        (Cluster, "Manual", "Pending", "Manual"),
        (Insisting, "Automatic", "Pending", "Manual"),
        (Insisting, "Manual", "Pending", "Manual"),
    ],
)
def test_a_namespace_may_insist_on_a_person_whatever_the_spec_says(
    world: type[Cluster], asked: str, approval: str, noted: str
) -> None:
    cluster = world(a_training(approval=asked))
    cluster.settle()
    begun = read_started(cluster.config_maps[cluster.run.job])
    assert begun is not None
    assert begun.request.gates is not None
    assert begun.request.gates.approval == noted, "the run's report says who decides"
    version = registered(cluster).versions["heart-v1"]
    assert (version.spec.approval, version.spec.record.approval) == (approval, noted)
    assert cluster.condition()[1] == ("Registered" if approval == "Approved" else "ApprovalPending")


def test_a_failed_gate_needs_no_person() -> None:
    cluster = registered(Insisting(a_training()), metrics={"roc_auc": 0.5})
    assert cluster.versions["heart-v1"].spec.approval == "Rejected"


def test_the_record_keeps_how_sure_the_figures_are() -> None:
    cluster = registered(Cluster(), intervals={"roc_auc": Interval(0.85, 0.94)})
    [(name, interval)] = cluster.versions["heart-v1"].spec.record.intervals.items()
    assert (name, interval.low, interval.high) == ("roc_auc", 0.85, 0.94)


def test_a_challenger_that_is_not_surely_better_is_rejected_with_the_gain_on_record() -> None:
    gate = {"minImprovement": 0.01, "confidence": 0.95}
    cluster = registered(Cluster(a_training(evaluation={"champion": gate})))
    cluster.deployments.append(a_deployment("heart-v1"))
    cluster.request("train/heart/again")
    cluster.settle()
    asked = read_started(cluster.config_maps[cluster.run.job])
    assert asked is not None
    assert asked.request.champion is not None
    assert (asked.request.champion.metric, asked.request.champion.min_improvement) == ("roc_auc", 0.01)
    gain = Gain("roc_auc", 0.02, -0.01, 0.05, 0.74, "PairedBootstrap")
    cluster.end_run(
        made=result(f"{OUTPUT}2", champion=ChampionMetrics("heart-v1", {"roc_auc": 0.88}, 76, gain=gain), roc_auc=0.9)
    )
    cluster.settle()
    version = cluster.versions["heart-v2"]
    assert version.spec.approval == "Rejected"
    assert version.spec.record.champion is not None
    assert version.spec.record.champion.verdict == "Unproven"
    assert version.spec.record.champion.gain is not None
    assert version.spec.record.champion.gain.probability == 0.74
    assert cluster.run.outcome == "ChampionKept"
    assert "with a probability of 0.74, 0.95 was asked for" in cluster.condition()[2]


def test_the_run_is_asked_for_the_slices_of_fairness_gates() -> None:
    fairness = [{"metric": "selection_rate", "by": "site", "minRatio": 0.8}]
    gates = [{"metric": "recall", "min": 0.5, "by": "sex"}]
    cluster = Cluster(a_training(evaluation={"gates": gates, "fairness": fairness}))
    cluster.settle()
    asked = read_started(cluster.config_maps[cluster.run.job])
    assert asked is not None
    assert asked.request.slices == ("sex", "site")


def test_an_operator_that_knows_more_of_evaluation_retrains_nothing() -> None:
    plain = a_training(evaluation={"champion": {}}).spec
    same = a_training(evaluation={"champion": {}, "fairness": []}, retention={"versions": 3}).spec
    other = a_training(evaluation={"champion": {"confidence": 0.9}}).spec
    assert spec_hash(plain) == spec_hash(same)
    assert spec_hash(plain) != spec_hash(other)


class Api:
    """An API server with these objects, by kind; it counts what it is asked."""

    def __init__(self, **objects: list[dict[str, Any]]) -> None:
        self.objects = objects
        self.asked: list[str] = []

    async def list(self, _api_version: str, kind: str, _namespace: str, *, labels: str = "") -> list[dict[str, Any]]:
        self.asked.append(f"{kind} {labels}".strip())
        return self.objects.get(kind, [])


def read(api: Api, **training: Any) -> Registry:
    context = SimpleNamespace(api=api)
    return asyncio.run(read_registry(context, a_training(**training)))  # type: ignore[arg-type]


def test_the_registry_is_read_only_where_retention_can_act() -> None:
    api = Api()
    run = {
        "number": 1,
        "trigger": {"type": "Spec"},
        "phase": "Running",
        "job": "j",
        "startedAt": "2026-01-01T00:00:00Z",
    }
    under_way = TrainingStatus.model_validate({"runs": [run]})
    assert read(api) == read(api, retention={"versions": 1}, status=under_way) == Registry()
    assert api.asked == []
    read(api, retention={"versions": 1})
    assert api.asked == ["ModelVersion", "ModelDeployment", "ModelTraining", "DriftMonitor"]


def test_versions_that_monitors_compare_with_are_read_as_pinned() -> None:
    pinning = {"spec": {"deployment": "heart", "baseline": {"from": "Version", "version": "heart-v1"}}}
    api = Api(DriftMonitor=[pinning, {"spec": {"baseline": {"from": "Serving"}}}, {}])
    assert read(api, retention={"versions": 1}).pinned == {"heart-v1"}


def test_how_removals_ended_is_read_from_their_jobs() -> None:
    def job(name: str, *conditions: tuple[str, str]) -> dict[str, Any]:
        told = [
            {"type": kind, "status": status, "lastTransitionTime": "2026-03-02T12:00:00Z"}
            for kind, status in conditions
        ]
        return {"metadata": {"name": name}, "status": {"conditions": told} if told else {}}

    api = Api(Job=[
        job("runs"), job("ends", ("FailureTarget", "True"), ("Failed", "False")),
        job("failed", ("FailureTarget", "True"), ("Failed", "True")),
        job("done", ("SuccessCriteriaMet", "True"), ("Complete", "True")),
    ])  # fmt: skip
    retired = TrainingStatus.model_validate({"retired": [{"version": "heart-v1", "uid": "u", "folder": "f"}]})
    found = {each.job: (each.succeeded, each.failed_at) for each in read(api, status=retired).removals}
    assert found == {"runs": (False, None), "ends": (False, None), "failed": (False, NOW), "done": (True, None)}
    assert "Job perennial.dev/removes-for=heart" in api.asked
