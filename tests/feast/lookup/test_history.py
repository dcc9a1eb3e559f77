"""Features as they were known at the time of each row, of a real repository."""

import os
from datetime import timedelta
from pathlib import Path

import msgspec
import pandas as pd
import pytest
from feast import FeatureService, FeatureStore, FeatureView, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64

from perennial.contracts.request import FEAST_FOLDER, FEAST_STORE, RunRequest, Split, Target
from perennial.contracts.result import RunOutcome
from perennial_components.feast import repository as repository_of
from perennial_components.feast.__main__ import main
from perennial_components.ingest import features as written
from tests.feast.lookup import shop
from tests.feast.lookup.asking import ROWS, Shop


def test_a_row_has_what_was_known_at_its_time_and_nothing_later(repository: Shop) -> None:
    rows, _ = repository.ask(
        ROWS
        + "1,north,2026-03-05,a\n"  # at the very moment
        + "1,north,2026-03-04T23:59:59Z,b\n"
        + "1,north,2026-02-28,c\n"  # before anything was known
        + "2,north,2026-03-20,d\n"
        + "9,south,2026-03-20,e\n",  # nobody
        "drivers:trips",
        "drivers:rating",
        "shops:town",
    )
    assert [(row["late"], row["trips"], row["rating"], row["town"]) for row in rows] == [
        ("a", 20, 4.25, "Bonn"),
        ("b", 10, 4.5, "Ulm"),
        ("c", None, None, None),
        ("d", 8, None, "Kiel"),
        ("e", None, None, None),
    ]
    assert rows[0]["event_timestamp"] == "2026-03-05", "cells of the entity rows stay as they were read"


def test_no_row_is_lost_that_another_one_is_like(repository: Shop) -> None:
    """Feast's file store keeps one row for equal keys, and of views with different keys even fewer."""
    twice = "1,north,2026-03-06,a\n1,north,2026-03-06,b\n1,south,2026-03-06,c\n1,,2026-03-06,d\n"
    rows, _ = repository.ask(ROWS + twice, "shops:town", "drivers:trips")
    assert [(row["late"], row["trips"], row["town"]) for row in rows] == [
        ("a", 20, "Bonn"), ("b", 20, "Bonn"), ("c", 20, None), ("d", 20, None),
    ]  # fmt: skip


def test_what_is_too_old_by_the_views_ttl_is_not_known(tmp_path: Path) -> None:
    short = Shop(tmp_path, shop.apply(tmp_path, ttl=timedelta(days=2)))
    rows, _ = short.ask(ROWS + "1,north,2026-03-06,a\n1,north,2026-03-08,b\n", "drivers:trips")
    assert [row["trips"] for row in rows] == [20, None]


def test_names_are_full_where_that_is_asked_for_and_have_to_be_where_two_are_alike(repository: Shop) -> None:
    asked = (ROWS + "1,north,2026-03-06,a\n", "drivers:trips", "shops:trips")
    reason, message = repository.refused(*asked)
    assert reason == "DataRejected"
    assert "the feature 'trips' has the name of a feature of another view: set fullFeatureNames: true" in message
    [row], _ = repository.ask(*asked, full_names=True)
    assert (row["drivers__trips"], row["shops__trips"]) == (20, 200)
    reason, message = repository.refused("driver_id,event_timestamp,trips\n1,2026-03-06,4\n", "drivers:trips")
    assert "has the name of a column of the entity rows" in message


def test_a_service_names_its_features_and_their_views_are_recorded(repository: Shop) -> None:
    [row], seen = repository.ask(ROWS + "1,north,2026-03-06,a\n", service="both")
    assert (row["rating"], row["town"], set(row)) == (
        4.25, "Bonn", {"driver_id", "shop", "event_timestamp", "late", "rating", "town"},
    )  # fmt: skip
    assert (seen.project, seen.service, seen.features) == ("shop", "both", ("drivers:rating", "shops:town"))
    assert [view.name for view in seen.views] == ["drivers", "shops"]
    assert all(len(view.sha256) == 64 and view.updated.endswith("Z") for view in seen.views)


def test_a_services_aliases_and_keys_of_its_own_are_known(tmp_path: Path) -> None:
    mine = Shop(tmp_path, shop.apply(tmp_path))
    drivers, shops = shop.views(str(tmp_path))
    other = drivers[["trips"]].with_name("origin").with_join_key_map({"driver_id": "from_id"})
    service = FeatureService(name="aliases", features=[other, shops[["town"]]])
    FeatureStore(repo_path=str(tmp_path)).apply([service])
    rows = "from_id,shop,event_timestamp\n1,north,2026-03-06\n2,north,2026-03-06\n"
    found, seen = mine.ask(rows, service="aliases", full_names=True)
    assert [(row["origin__trips"], row["shops__town"]) for row in found] == [(20, "Bonn"), (8, "Bonn")]
    assert seen.features == ("origin:trips", "shops:town")


def test_a_views_digest_is_of_its_definition_alone(tmp_path: Path) -> None:
    text = shop.apply(tmp_path)
    mine, asked = Shop(tmp_path, text), (ROWS + "1,north,2026-03-06,a\n", "drivers:trips")
    _, first = mine.ask(*asked)
    drivers, _ = shop.views(str(tmp_path))
    drivers.description = "other words"
    store = FeatureStore(repo_path=str(tmp_path))
    store.apply([drivers])
    _, other = mine.ask(*asked)
    drivers, _ = shop.views(str(tmp_path))
    store.apply([drivers])
    _, back = mine.ask(*asked)
    assert first.views[0].sha256 != other.views[0].sha256
    assert first.views[0].sha256 == back.views[0].sha256


def test_what_is_computed_on_demand_takes_from_views_and_from_the_rows(tmp_path: Path) -> None:
    mine = Shop(tmp_path, shop.apply(tmp_path))
    drivers, _ = shop.views(str(tmp_path))
    wanted = RequestSource(name="wanted", schema=[Field(name="factor", dtype=Float64)])

    @on_demand_feature_view(sources=[drivers, wanted], schema=[Field(name="scaled", dtype=Float64)])
    def scaled(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"scaled": inputs["trips"] * inputs["factor"]})

    FeatureStore(repo_path=str(tmp_path)).apply([scaled])
    rows = "driver_id,event_timestamp,factor\n1,2026-03-06,0.5\n2,2026-03-06,2\n"
    found, seen = mine.ask(rows, "scaled:scaled")
    assert [row["scaled"] for row in found] == [10.0, 16.0]
    assert set(found[0]) == {"driver_id", "event_timestamp", "factor", "scaled"}
    assert [view.name for view in seen.views] == ["drivers", "scaled"]
    reason, message = mine.refused("driver_id,event_timestamp\n1,2026-03-06\n", "scaled:scaled")
    assert (reason, "the rows have no column 'factor'" in message) == ("DataRejected", True)


GOOD = ROWS + "1,north,2026-03-06,a\n"


@pytest.mark.parametrize(
    ("rows", "features", "reason", "words"),
    [
        (GOOD, ["driver:trips"], "SourceInvalid", "has no feature view 'driver' (did you mean 'drivers'?)"),
        (GOOD, ["drivers:trip"], "SourceInvalid", "'drivers' has no feature 'trip' (did you mean 'trips'?)"),
        (GOOD, ["drivers@v7:trips"], "SourceInvalid", "no version 7"),
        (GOOD.replace("driver_id", "driver"), ["drivers:trips"], "DataRejected",
         "data.source.feast.entities: the rows have no column 'driver_id' (did you mean 'driver'?)"),
        (GOOD.replace("event_timestamp", "day"), ["drivers:trips"], "DataRejected", "no column 'event_timestamp'"),
        (GOOD.replace("2026-03-06", "soon"), ["drivers:trips"], "DataRejected", "no time (ISO 8601 or Unix seconds)"),
        (GOOD.replace("1,", "one,"), ["drivers:trips"], "DataRejected", "'driver_id' holds text that is no INT64"),
        (GOOD.replace("1,", ","), ["drivers:trips"], "DataRejected", "no row has all of driver_id"),
        (ROWS, ["drivers:trips"], "DataRejected", "there are no rows"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(repository: Shop, rows: str, features: list[str], reason: str, words: str) -> None:
    found, message = repository.refused(rows, *features)
    assert (found, words in message) == (reason, True), message
    assert "one" not in message.split("\n")[0] or "one," not in message


def test_an_unknown_service_and_an_absent_file_are_named(repository: Shop, tmp_path: Path) -> None:
    assert repository.refused(GOOD, service="bot") == (
        "SourceInvalid",
        "data.source.feast.featureService: the registry has no feature service 'bot' (did you mean 'both'?)",
    )
    mine = Shop(tmp_path, shop.apply(tmp_path))
    (tmp_path / "drivers.parquet").unlink()
    reason, message = mine.refused(GOOD, "drivers:trips")
    assert (reason, "the features of drivers cannot be read" in message) == ("SourceInvalid", True), message


def test_a_registry_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    away = Shop(tmp_path, shop.settings(tmp_path))
    reason, message = away.refused(GOOD, "drivers:trips")
    assert reason == "SourceInvalid"
    assert "data.source.feast.storeSecret (Secret store, key feature_store.yaml): there is no registry" in message
    assert not (tmp_path / "registry.db").exists()


def test_a_registry_that_cannot_be_reached_is_worth_another_attempt_and_its_password_stays_hidden(
    tmp_path: Path,
) -> None:
    registry = {"registry_type": "sql", "path": "postgresql+psycopg://feast:pa-ss-7@127.0.0.1:1/feast"}
    environ = asked(tmp_path, shop.settings(tmp_path, registry=registry))
    assert main(environ) == 1
    said = (tmp_path / "log").read_bytes()
    outcome = msgspec.json.decode(said, type=RunOutcome)
    assert (outcome.component, outcome.reason) == ("feast", "DataUnavailable")
    assert "storeSecret" in outcome.message
    assert b"pa-ss-7" not in said


SHOP = "project: shop\nprovider: local\n"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("a: [", "the entry is no YAML"),
        ("", "it has no fields"),
        ("project: shop\nprovider: local\n", "it lacks registry"),
        ("project: shop\nprovider: local\nregistry: {registry_type: sequel, path: x}\n", "does not take this"),
        ("project: shop\nprovider: local\nregistry: x\noffline_store: {type: nil, password: pa-ss-7}\n", "not take"),
        (f"{SHOP}registry: x\noffline_store: {{type: postgres, password: {'pa-ss-7' * 20}}}\n", "host: Field required"),
        (f"{SHOP}registry: {{registry_type: sql, path: 'pa-ss-7'}}\n", "Could not parse SQLAlchemy URL"),
    ],
)  # fmt: skip
def test_settings_that_are_none_are_refused_without_their_secrets(tmp_path: Path, settings: str, words: str) -> None:
    assert main(asked(tmp_path, settings)) == 1
    outcome = msgspec.json.decode((tmp_path / "log").read_bytes(), type=RunOutcome)
    assert (outcome.reason, words in outcome.message) == ("SourceInvalid", True), outcome.message
    assert "pa-ss" not in outcome.message


def test_whatever_feast_says_of_it_a_secret_is_not_told(tmp_path: Path) -> None:
    more = {"user": "reader-1", "password": "pa-ss-7", "nested": [{"api_key": "k-e-y-8"}], "host": "db.example"}
    text = shop.settings(tmp_path, offline_store=more, registry="postgresql://feast:u-r-l-9@db/x")
    hidden = repository_of.secrets({FEAST_STORE: text})
    said = repository_of.without(hidden, "reader-1 pa-ss-7 k-e-y-8 u-r-l-9 at db.example")
    assert said == "*** *** *** *** at db.example"
    assert repository_of.secrets({FEAST_STORE: "a: ["}) == []


def test_what_is_written_is_what_a_run_reads(repository: Shop, tmp_path: Path) -> None:
    assert main(asked(tmp_path, repository.settings)) == 0
    parts, seen = written.read({FEAST_FOLDER: str(tmp_path)})
    [row] = [row for part in parts for row in part.to_pylist()]
    assert row == {
        "driver_id": "1", "shop": "north", "event_timestamp": "2026-03-06", "late": "a",
        "trips": "20", "rating": "4.25",
    }  # fmt: skip
    assert seen.features == ("drivers:trips", "drivers:rating")


def asked(folder: Path, settings: str) -> dict[str, str]:
    """The environment of a container that is asked for GOOD's features."""
    source = Shop(folder, settings).source(GOOD, "drivers:trips", "drivers:rating")
    request = RunRequest(
        namespace="n", training="t", run=1, model="m", task="Classification", source="", target=Target("late"),
        numeric=("trips",), categorical=(), checks=(), split=Split(0.25, 7), imbalance="None", candidates=(),
        metric="roc_auc", trials=1, folds=2, slices=(), seed=7, output="file:///nowhere", feast=source,
    )  # fmt: skip
    (folder / "request.json").write_bytes(msgspec.json.encode(request))
    return {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "PERENNIAL_REQUEST_FILE": str(folder / "request.json"),
        "PERENNIAL_TERMINATION_LOG": str(folder / "log"),
        FEAST_FOLDER: str(folder),
        FEAST_STORE: settings,
    }


def test_a_version_of_a_view_is_asked_for_by_its_number_and_recorded(tmp_path: Path) -> None:
    registry = {"path": str(tmp_path / "registry.db"), "enable_online_feature_view_versioning": True}
    shop.apply(tmp_path)
    drivers, _ = shop.views(str(tmp_path))
    more = FeatureView(
        name="drivers", entities=[shop.DRIVER], source=drivers.batch_source,
        schema=[field for field in drivers.schema if field.name != "rating"],
    )  # fmt: skip
    FeatureStore(repo_path=str(tmp_path)).apply([more])
    newest = Shop(tmp_path, shop.settings(tmp_path))
    assert [view.version for view in newest.ask(GOOD, "drivers:trips")[1].views] == [1]
    reason, message = newest.refused(GOOD, "drivers:rating")
    assert (reason, "has no feature 'rating'" in message) == ("SourceInvalid", True)
    reason, message = newest.refused(GOOD, "drivers@v0:rating")
    assert (reason, "enable_online_feature_view_versioning: true" in message) == ("DataRejected", True), message
    numbered = Shop(tmp_path, shop.settings(tmp_path, registry=registry))
    [row], seen = numbered.ask(GOOD, "drivers@v0:rating", "drivers:trips")
    assert (row["rating"], row["trips"]) == (4.25, 20)
    assert [(view.name, view.version) for view in seen.views] == [("drivers", 0), ("drivers", 1)]
    assert seen.views[0].sha256 != seen.views[1].sha256


def test_what_is_computed_from_several_views_loses_no_row_in_silence(tmp_path: Path) -> None:
    mine = Shop(tmp_path, shop.apply(tmp_path))
    drivers, shops = shop.views(str(tmp_path))

    @on_demand_feature_view(sources=[drivers[["rating"]], shops[["trips"]]], schema=[Field(name="both", dtype=Float64)])
    def mixed(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"both": inputs["rating"] + inputs["trips"]})

    FeatureStore(repo_path=str(tmp_path)).apply([mixed])
    found, seen = mine.ask(ROWS + "1,north,2026-03-06,a\n2,north,2026-03-09,b\n", "mixed:both")
    assert [row["both"] for row in found] == [204.25, None]
    assert [view.name for view in seen.views] == ["drivers", "mixed", "shops"]
    alike = "1,north,2026-03-06,a\n1,south,2026-03-06,b\n2,north,2026-03-06,c\n"
    reason, message = mine.refused(ROWS + alike, "mixed:both")
    assert (reason, "mixed is computed from several views" in message) == ("DataRejected", True), message
