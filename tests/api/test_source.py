"""What the API server says of a source that cannot be."""

from typing import Any

from perennial.adapters.kubernetes import KubernetesApi
from perennial.api.common import API_VERSION
from tests.api.test_admission import changed, refusal

SQL = {"connectionSecret": {"name": "warehouse"}, "query": "SELECT 1 AS age"}
FEAST = {"storeSecret": {"name": "feast"}, "features": ["patients:chol"], "entities": {"uri": "s3://data/rows.csv"}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "give one of uri, sql and feast"),
    ({"uri": "s3://data/a.csv", "sql": SQL}, "give one of uri, sql and feast"),
    ({"sql": SQL, "format": "Parquet"}, "format is that of the files at uri; sql and feast have none"),
    ({"uri": "s3://data/a.csv", "format": "JSON"}, 'Unsupported value: "JSON": supported values: "CSV", "Parquet"'),
    ({"sql": {"query": "SELECT 1"}}, "spec.data.source.sql.connectionSecret: Required value"),
    ({"sql": {**SQL, "query": ""}}, "spec.data.source.sql.query"),
    ({"sql": SQL, "feast": FEAST}, "give one of uri, sql and feast"),
    ({"feast": {**FEAST, "featureService": "all"}}, "give one of features and featureService"),
    ({"feast": {**FEAST, "features": []}}, "give one of features and featureService"),
    ({"feast": {**FEAST, "features": ["chol"]}}, "spec.data.source.feast.features[0]"),
    ({"feast": {**FEAST, "entities": {}}}, "give one of uri and sql"),
    ({"feast": {**FEAST, "entities": {"sql": SQL, "format": "Parquet"}}}, "sql has none"),
]


async def test_rows_come_from_files_or_from_one_query(api: KubernetesApi, namespace: str) -> None:
    for source, message in REFUSED:
        assert message in await refusal(api, namespace, changed("ModelTraining", "spec.data.source", source)), source
    taken = changed("ModelTraining", "spec.data.source", {"sql": SQL})
    taken["metadata"]["namespace"] = namespace
    assert await api.create(taken)
    made = await api.get(API_VERSION, "ModelTraining", namespace, taken["metadata"]["name"])
    assert made is not None
    assert made["spec"]["data"]["source"]["sql"]["connectionSecret"] == {"name": "warehouse", "key": "url"}


async def test_features_are_named_one_by_one_or_by_a_service(api: KubernetesApi, namespace: str) -> None:
    taken = changed("ModelTraining", "spec.data.source", {"feast": FEAST})
    taken["metadata"]["namespace"] = namespace
    assert await api.create(taken)
    made = await api.get(API_VERSION, "ModelTraining", namespace, taken["metadata"]["name"])
    assert made is not None
    secret = {"name": "feast", "key": "feature_store.yaml"}
    assert made["spec"]["data"]["source"]["feast"]["storeSecret"] == secret
