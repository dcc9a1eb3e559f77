"""Where a run's rows come from: what its pod gets, what is recorded, and what is said where a Secret is missing."""

import json
from datetime import timedelta

import msgspec
import pytest

from perennial.contracts.request import FEAST_STORE, SQL_URL, FeastSource, SqlSource
from perennial.contracts.result import FeastSeen, RunOutcome, SeenView
from perennial.domain.training.request import read_started, spec_hash
from perennial.render.run_job import launch_poll
from perennial.render.security import standard
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


FEATURES = ["patients:chol", "patients:age"]
STORE = {"name": FEAST_STORE, "valueFrom": {"secretKeyRef": {"name": "feast", "key": "feature_store.yaml"}}}


def of_feast(**changes: object) -> dict:
    asked = {
        "storeSecret": {"name": "feast"},
        "features": FEATURES,
        "entities": {"sql": {"connectionSecret": {"name": "warehouse", "key": "reader"}, "query": QUERY}},
        **changes,
    }
    return {**spec()["data"], "source": {"feast": asked}}


def test_a_repositorys_secret_reaches_the_container_that_reads_it_alone() -> None:
    cluster = launched(data=of_feast(fullFeatureNames=True))
    pod = cluster.jobs[cluster.run.job]["spec"]["template"]["spec"]
    (feast,), (run,) = pod["initContainers"], pod["containers"]
    assert (feast["name"], feast["image"]) == ("feast", "feast:1")
    assert not list(standard({"spec": pod})), "the container is restricted as all are"
    assert STORE in feast["env"]
    assert REFERENCE in feast["env"]
    assert not {FEAST_STORE, SQL_URL} & {each["name"] for each in run["env"]}
    shared = {each["name"]: each.get("readOnly", False) for each in run["volumeMounts"]}
    assert {name for name in shared if name in {each["name"] for each in feast["volumeMounts"]}} == {
        "request",
        "features",
    }
    assert shared["features"], "a run reads what was looked up, and changes nothing of it"
    assert {each["name"] for each in pod["volumes"]} == {"request", "tmp", "features", "feast-tmp"}
    begun = read_started(cluster.config_maps[cluster.run.job])
    assert begun is not None
    assert begun.request.feast == FeastSource(
        secret="feast", key="feature_store.yaml", image="feast:1", features=tuple(FEATURES), full_names=True,
        sql=SqlSource("warehouse", "reader", QUERY),
    )  # fmt: skip
    poll = launch_poll(cluster.training, "heart-poll", "components:1", begun)[1].manifest["spec"]["template"]["spec"]
    assert STORE in poll["initContainers"][0]["env"]
    assert poll["containers"][0]["volumeMounts"] == run["volumeMounts"]


def test_no_image_to_read_a_repository_ends_the_run_with_what_to_do() -> None:
    cluster = Cluster(a_training(data=of_feast()))
    cluster.feast_image = ""
    cluster.settle()
    assert cluster.run.outcome == "FeastImageMissing"
    assert "image.feast" in cluster.run.message
    assert not cluster.jobs
    own = Cluster(a_training(data=of_feast(image="mine:1")))
    own.feast_image = ""
    own.settle()
    assert own.jobs[own.run.job]["spec"]["template"]["spec"]["initContainers"][0]["image"] == "mine:1"


def test_what_looking_features_up_failed_with_is_what_the_run_failed_with() -> None:
    cluster = launched(data=of_feast())
    said = RunOutcome(succeeded=False, component="feast", reason="SourceInvalid", message="no feature view 'patient'")
    ended = {
        "terminated": {"exitCode": 1, "message": msgspec.json.encode(said).decode(), "finishedAt": NOW.isoformat()}
    }
    waiting = {"waiting": {"reason": "PodInitializing"}}
    pod = a_pod(waiting)
    pod["status"]["initContainerStatuses"] = [{"name": "feast", "state": ended}]
    cluster.pods[cluster.run.job] = [pod]
    cluster.settle()
    assert (cluster.run.phase, cluster.run.outcome) == ("Failed", "SourceInvalid")
    assert cluster.run.message == "feast failed: no feature view 'patient'"


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (
            'secret "feast" not found',
            "data.source.feast.storeSecret: the Secret feast must have the entry feature_store",
        ),
        ("couldn't find key reader in Secret cardio/warehouse", "data.source.feast.entities.sql: the Secret warehouse"),
    ],
)
def test_a_secret_that_looking_features_up_lacks_is_told_by_its_field(said: str, field: str) -> None:
    cluster = launched(data=of_feast())
    cluster.jobs[cluster.run.job]["metadata"]["creationTimestamp"] = NOW.isoformat()
    cluster.now += timedelta(minutes=2)
    pod = a_pod({"waiting": {"reason": "PodInitializing"}})
    stuck = {"waiting": {"reason": "CreateContainerConfigError", "message": said}}
    pod["status"]["initContainerStatuses"] = [{"name": "feast", "state": stuck}]
    cluster.pods[cluster.run.job] = [{**pod, "spec": cluster.jobs[cluster.run.job]["spec"]["template"]["spec"]}]
    cluster.settle()
    status, found, message = cluster.condition()
    assert (status, found) == ("False", "SourceSecretMissing")
    assert message.startswith(field), message


def test_a_version_records_the_features_and_their_views() -> None:
    seen = FeastSeen(
        project="clinic", features=tuple(FEATURES),
        views=(SeenView("patients", "a" * 64, "2026-05-31T12:00:00Z", 3), SeenView("wards", "b" * 64)),
    )  # fmt: skip
    made = result()
    made = msgspec.structs.replace(made, data=msgspec.structs.replace(made.data, feast=seen))
    cluster = launched(data=of_feast())
    cluster.end_run(made=made)
    cluster.settle()
    data = cluster.versions["heart-v1"].spec.record.data
    assert data.source == (
        "Feast, Secret feast/feature_store.yaml: patients:chol, patients:age; entities: Secret warehouse/reader: "
        "SELECT age, sex, num FROM patients"
    )
    assert data.feast is not None
    assert (data.feast.project, data.feast.features) == ("clinic", FEATURES)
    assert [(each.name, each.version, each.updated) for each in data.feast.views] == [
        ("patients", 3, "2026-05-31T12:00:00Z"), ("wards", None, ""),
    ]  # fmt: skip


def test_where_there_is_no_repository_nothing_is_asked_or_hashed_that_was_not_before() -> None:
    usual = launched()
    pod = usual.jobs[usual.run.job]["spec"]["template"]["spec"]
    assert "initContainers" not in pod
    assert "feast" not in usual.config_maps[usual.run.job]["data"]["request.json"].lower()
    assert spec_hash(a_training(data=of_feast()).spec) != spec_hash(
        a_training(data=of_feast(fullFeatureNames=True)).spec
    )
    assert spec_hash(a_training(data=of_feast()).spec) == spec_hash(
        a_training(data=of_feast(fullFeatureNames=False)).spec
    )
