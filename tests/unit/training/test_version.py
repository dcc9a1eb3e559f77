"""Where a version serves, where it is kept out, and whether it may go."""

from datetime import timedelta
from typing import Any

import pytest

from perennial.api.common import format_time
from perennial.api.version import ModelVersion
from perennial.contracts.names import FINALIZER, quarantine_annotation
from perennial.domain.plan import Finalizer, Plan
from perennial.domain.version import Snapshot, decide
from tests.unit.training.support import NOW, Cluster, a_deployment, a_training, result


def a_version(approval: str = "Approved", **metadata: Any) -> ModelVersion:
    """heart-v1 as a run registered it."""
    cluster = Cluster(a_training(approval="Automatic"))
    cluster.settle()
    cluster.end_run(made=result(roc_auc=0.7 if approval == "Rejected" else 0.9))
    cluster.settle()
    made = cluster.versions["heart-v1"]
    spec = made.spec.model_copy(update={"approval": approval})
    return made.model_copy(update={"spec": spec, "metadata": made.metadata.model_copy(update=metadata)})


def decided(version: ModelVersion, *deployments: Any) -> Plan:
    """The plan at NOW."""
    return decide(Snapshot(version, deployments), NOW)


def canary(version: str) -> dict[str, Any]:
    """The status of a rollout of ``version``."""
    target = {"version": version, "revision": "r", "image": "i"}
    return {"rollout": {"target": target, "startedAt": format_time(NOW), "stepSince": format_time(NOW)}}


def standby(version: str) -> dict[str, Any]:
    """The status of a standby of ``version``."""
    revision = {"version": version, "revision": "r", "image": "i", "since": format_time(NOW)}
    return {"standby": {"revision": revision, "until": format_time(NOW)}}


@pytest.mark.parametrize(
    ("deployments", "state", "roles"),
    [
        ([], "Idle", []),
        ([a_deployment("heart-v1")], "Serving", ["stable"]),
        ([a_deployment("heart-v0", **canary("heart-v1"))], "Canary", ["canary"]),
        ([a_deployment("heart-v2", **standby("heart-v1"))], "Standby", ["standby"]),
        ([a_deployment("heart-v1", "b"), a_deployment("heart-v2", "a", **standby("heart-v1"))], "Serving",
         ["standby", "stable"]),
        ([a_deployment("heart-v2")], "Idle", []),
    ],
)  # fmt: skip
def test_a_version_says_where_it_is_in_use_and_is_held_while_it_is(
    deployments: list[Any], state: str, roles: list[str]
) -> None:
    plan = decided(a_version(), *deployments)
    assert plan.status.state == state  # type: ignore[union-attr]
    assert [each.role for each in plan.status.serving] == roles  # type: ignore[union-attr]
    assert plan.steps == ((Finalizer(FINALIZER, there=True),) if roles else ())


def test_a_version_out_of_use_is_let_go() -> None:
    plan = decided(a_version(finalizers=("backup", FINALIZER)))
    assert plan.steps == (Finalizer(FINALIZER, there=False),)


def test_a_quarantined_version_says_where_and_why() -> None:
    mark = '{"reason": "accuracy fell to 0.61", "since": "2026-03-02T12:00:00Z", "action": "a1"}'
    plan = decided(a_version(annotations={quarantine_annotation("heart"): mark, quarantine_annotation("b"): "?"}))
    status = plan.status
    assert status.state == "Quarantined"  # type: ignore[union-attr]
    assert [each.deployment for each in status.quarantined] == ["b", "heart"]  # type: ignore[union-attr]
    ready = status.conditions[0]  # type: ignore[union-attr]
    assert (ready.status, ready.reason) == ("False", "Quarantined")
    assert "accuracy fell to 0.61" in ready.message
    assert "release/heart-v1/" in ready.message


def test_a_rejected_version_names_its_gates() -> None:
    ready = decided(a_version("Rejected")).status.conditions[0]  # type: ignore[union-attr]
    assert (ready.reason, ready.message) == ("Rejected", "roc_auc 0.70 is under the gate's 0.80")
    ready = decided(a_version("Pending")).status.conditions[0]  # type: ignore[union-attr]
    assert ready.reason == "ApprovalPending"


@pytest.mark.parametrize(("minutes", "released"), [(1, False), (9, False), (10, True), (60, True)])
def test_the_deletion_of_a_version_in_use_waits_and_then_goes_on(minutes: int, released: bool) -> None:
    deleted = NOW - timedelta(minutes=minutes)
    plan = decided(a_version(finalizers=(FINALIZER,), deletion_timestamp=deleted), a_deployment("heart-v1"))
    assert plan.steps == ((Finalizer(FINALIZER, there=False),) if released else ())
    assert [event.reason for event in plan.events] == ["ReleasedInUse" if released else "StillInUse"]
    assert (plan.requeue is None) is released


def test_a_version_being_deleted_is_never_held_anew() -> None:
    plan = decided(a_version(finalizers=("backup",), deletion_timestamp=NOW), a_deployment("heart-v1"))
    assert not plan.steps
    assert plan.status is None
