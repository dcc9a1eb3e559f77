"""A training whose runs MLflow is told of: what the pod gets, what the version keeps of it."""

import json

import msgspec
import pytest
from pydantic import ValidationError

from perennial.contracts.names import STORE_SECRET
from perennial.contracts.result import Tracked
from perennial.domain.training.request import spec_hash
from tests.unit.training.support import Cluster, a_training, result

TRACKED = {"mlflow": {"uri": "https://mlflow.example.org", "secret": "mlflow"}}


def registered(tracked: Tracked) -> Cluster:
    """A cluster whose first run is over."""
    cluster = Cluster(a_training(tracking=TRACKED))
    cluster.settle()
    cluster.end_run(data=msgspec.json.encode(msgspec.structs.replace(result(), tracking=tracked)))
    cluster.settle()
    return cluster


def test_the_pod_gets_the_secret_and_the_request_only_the_address() -> None:
    cluster = Cluster(a_training(tracking=TRACKED))
    cluster.settle()
    (container,) = cluster.jobs[cluster.run.job]["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": STORE_SECRET}}, {"secretRef": {"name": "mlflow"}}]
    request = json.loads(cluster.config_maps[cluster.run.job]["data"]["request.json"])
    assert request["tracking"] == {"uri": "https://mlflow.example.org", "experiment": "cardio/heart"}


def test_the_version_knows_its_page() -> None:
    cluster = registered(Tracked(run="abc", url="https://mlflow.example.org/#/experiments/1/runs/abc", version="3"))
    found = cluster.versions["heart-v1"].spec.record.mlflow
    assert found is not None
    assert (found.run, found.version) == ("abc", "3")


def test_what_mlflow_did_not_take_is_told_and_fails_nothing() -> None:
    cluster = registered(Tracked(problem="connection refused"))
    assert cluster.status.phase == "Succeeded"
    assert cluster.versions["heart-v1"].spec.record.mlflow is None
    told = [event for event in cluster.events if event.reason == "NotTracked"]
    assert [event.message for event in told] == ["heart-v1: MLflow: connection refused"]


def test_being_told_of_runs_retrains_nothing() -> None:
    assert spec_hash(a_training(tracking=TRACKED).spec) == spec_hash(a_training().spec)


def test_credentials_do_not_belong_in_the_address() -> None:
    with pytest.raises(ValidationError, match=r"tracking\.mlflow\.uri"):
        a_training(tracking={"mlflow": {"uri": "https://me:secret@mlflow.example.org"}})
