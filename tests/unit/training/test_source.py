"""Where a run's rows come from: what its pod gets, what is recorded, and what is said where a Secret is missing."""

import json
from datetime import timedelta

import msgspec
import pytest

from perennial.contracts.request import SQL_URL, SqlSource
from perennial.domain.training.request import read_started, spec_hash
from perennial.render.run_job import launch_poll
from tests.unit.training.support import NOW, Cluster, a_pod, a_training, result, spec

QUERY = "SELECT age, sex, num\n  FROM patients"
REFERENCE = {"name": SQL_URL, "valueFrom": {"secretKeyRef": {"name": "warehouse", "key": "reader"}}}


def of_sql() -> dict:
    source = {"sql": {"connectionSecret": {"name": "warehouse", "key": "reader"}, "query": QUERY}}
    return {**spec()["data"], "source": source}


def launched(**changes: object) -> Cluster:
    cluster = Cluster(a_training(**changes))
    cluster.settle()
    return cluster


def test_the_url_of_a_database_reaches_the_pod_from_the_secret_alone() -> None:
    cluster = launched(data=of_sql())
    (container,) = cluster.jobs[cluster.run.job]["spec"]["template"]["spec"]["containers"]
    assert REFERENCE in container["env"]
    begun = read_started(cluster.config_maps[cluster.run.job])
    assert begun is not None
    assert begun.request.source == ""
    assert begun.request.sql == SqlSource("warehouse", "reader", QUERY)
    poll = launch_poll(cluster.training, "heart-poll", "components:1", begun)[1].manifest
    assert REFERENCE in poll["spec"]["template"]["spec"]["containers"][0]["env"]
    without = launched()
    assert SQL_URL not in json.dumps(without.jobs[without.run.job])


def test_the_format_goes_with_the_request_and_retrains_nothing_where_it_is_the_default() -> None:
    data = spec()["data"]
    named = {**data, "source": {**data["source"], "format": "CSV"}}
    parquet = {**data, "source": {**data["source"], "format": "Parquet"}}
    usual = spec_hash(a_training().spec)
    assert spec_hash(a_training(data=named).spec) == usual
    assert spec_hash(a_training(data=parquet).spec) != usual
    cluster = launched(data=parquet)
    begun = read_started(cluster.config_maps[cluster.run.job])
    assert begun is not None
    assert begun.request.format == "Parquet"


def test_a_version_records_the_query_and_the_types() -> None:
    made = result()
    made = msgspec.structs.replace(made, data=msgspec.structs.replace(made.data, types=("Integer", "Text", "Number")))
    cluster = launched(data=of_sql())
    cluster.end_run(made=made)
    cluster.settle()
    data = cluster.versions["heart-v1"].spec.record.data
    assert data.source == "Secret warehouse/reader: SELECT age, sex, num FROM patients"
    assert dict(zip(data.columns, data.types, strict=True)) == {"age": "Integer", "sex": "Text", "num": "Number"}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('secret "warehouse" not found', "SourceSecretMissing"),
        ("couldn't find key reader in Secret cardio/warehouse", "SourceSecretMissing"),
        ('secret "perennial-store" not found', "StoreSecretMissing"),
        ('secret "mlflow" not found', "CreateContainerConfigError"),
    ],
)
def test_a_secret_that_is_missing_is_told_by_its_field(said: str, reason: str) -> None:
    cluster = launched(data=of_sql())
    cluster.jobs[cluster.run.job]["metadata"]["creationTimestamp"] = NOW.isoformat()
    cluster.now += timedelta(minutes=2)
    pod = a_pod({"waiting": {"reason": "CreateContainerConfigError", "message": said}})
    cluster.pods[cluster.run.job] = [{**pod, "spec": cluster.jobs[cluster.run.job]["spec"]["template"]["spec"]}]
    cluster.settle()
    status, found, message = cluster.condition()
    assert (status, found) == ("False", reason)
    if reason == "SourceSecretMissing":
        assert message.startswith("data.source.sql: the Secret warehouse must have the entry reader: ")
