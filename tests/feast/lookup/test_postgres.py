"""Registry, history and entity rows in one PostgreSQL: Feast's own join, in the database."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest
import sqlalchemy
import yaml
from feast import FeatureStore, FeatureView
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource

from perennial.contracts.request import FEAST_STORE, SQL_URL, FeastSource, SqlSource
from perennial_components.failure import RunError
from perennial_components.feast.core import history
from tests.feast.lookup import shop
from tests.unit.components.postgres import PASSWORD, USER, postgres

QUERY = "SELECT * FROM labels"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a container that reads it."""
    with postgres() as connection:
        socket = re.search(r"host=(\S+)", connection)[1]  # type: ignore[index]
        url = f"postgresql+psycopg://{USER}:{quote(PASSWORD, safe='')}@/postgres?host={socket}"
        at = pd.to_datetime(["2026-03-05", "2026-03-05", "2026-02-01", "2026-04-01"], utc=True)
        labels = pd.DataFrame({"driver_id": [1, 1, 1, 9], "event_timestamp": at, "late": list("abcd")})
        engine = sqlalchemy.create_engine(url)
        for name, table in {**shop.history(), "labels": labels}.items():
            table.to_sql(name, engine, index=False)
        engine.dispose()
        store = {"type": "postgres", "host": socket, "database": "postgres", "db_schema": "public", "user": USER}
        folder = tmp_path_factory.mktemp("postgres")
        settings = shop.settings(
            folder,
            registry={"registry_type": "sql", "path": url},
            offline_store={**store, "password": PASSWORD},
        )
        (folder / "feature_store.yaml").write_text(settings)
        _apply(folder)
        yield {FEAST_STORE: settings, SQL_URL: url}


def _apply(folder: Path) -> None:
    source = PostgreSQLSource(name="drivers", query="SELECT * FROM drivers", timestamp_field="event_timestamp")
    usual, _ = shop.views(str(folder))
    view = FeatureView(name="drivers", entities=[shop.DRIVER], source=source, schema=usual.schema)
    FeatureStore(repo_path=str(folder)).apply([shop.DRIVER, view])


def asked(*features: str) -> FeastSource:
    rows = SqlSource("warehouse", "url", QUERY)
    return FeastSource(secret="store", key="feature_store.yaml", image="", features=features, sql=rows)


def test_a_database_gives_what_files_give(database: dict[str, str]) -> None:
    table, seen = history(asked("drivers:trips", "drivers:rating"), database)
    found = sorted((row["late"], row["trips"], row["rating"]) for row in table.to_pylist())
    assert found == [("a", 20, 4.25), ("b", 20, 4.25), ("c", None, None), ("d", None, None)]
    assert [view.name for view in seen.views] == ["drivers"]


def test_a_password_that_is_wrong_is_not_told(database: dict[str, str]) -> None:
    settings = yaml.safe_load(database[FEAST_STORE])
    settings["offline_store"]["host"] = "/nowhere"
    with pytest.raises(RunError) as error:
        history(asked("drivers:trips"), {**database, FEAST_STORE: yaml.safe_dump(settings)})
    assert error.value.reason == "DataUnavailable"
    assert "the features of drivers cannot be read: the offline store does not answer" in error.value.message
    assert PASSWORD not in error.value.message
