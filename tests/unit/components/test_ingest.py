"""What is read depends on the content of the files, and what is wrong with them is said in the user's words."""

import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import msgspec
import numpy as np
import pandas as pd
import pytest

from perennial.contracts.request import Check, Target
from perennial_components.failure import RunError
from perennial_components.ingest.core import ingest
from perennial_components.tune.core import tune
from tests.unit.components.support import CATEGORICAL, DATA, NUMERIC, prepared, request


def hospital(folder: Path, **files: str) -> str:
    for name, source in files.items():
        shutil.copy(DATA / f"{source}.csv", folder / f"{name}.csv")
    return f"file://{folder}/*.csv"


def test_digest_and_rows_do_not_depend_on_names(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    first, read = ingest(request(source=hospital(tmp_path / "x", a="cleveland", b="va")), {})
    second, again = ingest(request(source=hospital(tmp_path / "y", z="cleveland", b="va")), {})
    assert read == again
    assert first.equals(second)
    assert (read.rows, read.files) == (503, 2)


def test_other_content_has_another_digest(tmp_path: Path) -> None:
    _, one = ingest(request(), {})
    _, two = ingest(request(source=f"file://{DATA}/va.csv"), {})
    assert one.sha256 != two.sha256


def test_a_pattern_matches_within_one_segment_and_in_folders(tmp_path: Path) -> None:
    for folder in ("2023", "2024", "2024/deep"):
        (tmp_path / folder).mkdir()
        shutil.copy(DATA / "cleveland.csv", tmp_path / folder / "a.csv")
    _, read = ingest(request(source=f"file://{tmp_path}/202*/*.csv"), {})
    assert read.files == 2


def refused(source: str, **changes: object) -> tuple[str, str]:
    with pytest.raises(RunError) as error:
        ingest(request(source=source, **changes), {})
    return error.value.reason, error.value.message


def test_nothing_there(tmp_path: Path) -> None:
    assert refused(f"file://{tmp_path}/*.csv") == ("SourceInvalid", f"no file matches file://{tmp_path}/*.csv")
    assert refused(f"file://{tmp_path}/no.csv") == ("SourceInvalid", f"there is nothing at file://{tmp_path}/no.csv")


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    assert refused(f"file://{path}") == ("DataRejected", f"file://{path} is empty: not even a header")


def test_a_header_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("age,num\n")
    assert refused(f"file://{path}") == ("DataRejected", f"there are no rows in file://{path} (1 file)")


@pytest.mark.parametrize("content", [b"a,b\n1,\xff\xfe\n", b"a,gr\xf6\xdfe\n1,2\n"])
def test_no_csv(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    reason, message = refused(f"file://{path}")
    assert reason == "DataRejected"
    assert message.startswith(f"file://{path} is no CSV in UTF-8: ")


@pytest.mark.parametrize(("row", "cells"), [("1,secret,3", 3), ("secret", 1)])
def test_a_row_of_another_length_is_told_by_its_number_alone(tmp_path: Path, row: str, cells: int) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"a,b\n1,2\n{row}\n")
    said = f"file://{path} is no CSV: row 3 (the header is 1) has {cells} cells, the header has 2"
    assert refused(f"file://{path}") == ("DataRejected", said)


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b, a \n1,2,3\n")
    said = f"file://{path}: more than one column is called 'a': give each a name of its own"
    assert refused(f"file://{path}") == ("DataRejected", said)


def test_what_a_cell_of_a_csv_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbf, age ,num\n0,"6, ""3""\n", NA \n1,,1.0\n')
    asked = request(source=f"file://{path}", numeric=("age",), categorical=(), slices=())
    table, found = ingest(asked, {})
    assert found.columns == ("Unnamed: 0", "age", "num")
    assert found.types == ("Integer", "Text", "Integer")
    cells = {tuple(None if pd.isna(cell) else cell for cell in row) for row in table.to_numpy()}
    assert cells == {("0", '6, "3"', None), ("1", None, "1.0")}


def test_files_may_lack_a_column_and_have_them_in_another_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age,num,more\n1,2,3\n")
    (tmp_path / "b.csv").write_text("num,age\n5,4\n")
    asked = request(source=f"file://{tmp_path}/*.csv", numeric=("age",), categorical=(), slices=())
    table, _ = ingest(asked, {})
    rows = table.sort_values("age").astype(object).where(table.notna(), None)
    assert rows.to_dict("list") == {"age": ["1", "4"], "more": ["3", None], "num": ["2", "5"]}


def parquets(folder: Path) -> pd.DataFrame:
    """Cleveland's patients and columns of every kind, as a.csv and, in another order, as a.parquet."""
    table = pd.read_csv(DATA / "cleveland.csv")
    table["tiny"], table["huge"] = table["chol"] * 1.7e-7, table["age"] * 1.1e17
    table["seen"] = pd.Timestamp("2026-05-31 12:00") + pd.to_timedelta(table.index, unit="min")
    table["word"] = pd.Categorical(np.where(table["sex"] == 1, " a", "b"))
    table["old"], table["short"] = table["age"] > 60, table["oldpeak"].astype("float32")
    table.to_csv(folder / "a.csv", index=False)
    other = table.sample(frac=1, random_state=1)[table.columns[::-1]]
    other.to_parquet(folder / "a.parquet", row_group_size=100)
    return table


def test_the_same_data_as_csv_and_as_parquet_makes_the_same_model(tmp_path: Path) -> None:
    parquets(tmp_path)
    features = {"numeric": (*NUMERIC, "tiny", "huge", "short"), "categorical": (*CATEGORICAL, "word", "old", "seen")}
    of_csv = request(source=f"file://{tmp_path}/a.csv", **features)
    of_parquet = msgspec.structs.replace(of_csv, source=f"file://{tmp_path}/a.parquet", format="Parquet")
    assert ingest(of_csv, {})[1] == ingest(of_parquet, {})[1]
    models = []
    for asked in (of_csv, of_parquet):
        _, rows, signature = prepared(asked)
        model, tuned, _ = tune(asked, signature, rows)
        best = tuned.candidates[tuned.winner]
        models.append((signature, best.parameters, best.score, model.predict_proba(rows.features).tobytes()))
    assert models[0] == models[1]


def test_the_types_of_columns(tmp_path: Path) -> None:
    parquets(tmp_path).assign(none=pd.NA, num=0).to_csv(tmp_path / "a.csv", index=False)
    _, found = ingest(request(source=f"file://{tmp_path}/a.csv"), {})
    types = dict(zip(found.columns, found.types, strict=True))
    told = {name: types[name] for name in ("age", "oldpeak", "ca", "seen", "word", "old", "none")}
    assert told == {
        "age": "Integer",
        "oldpeak": "Number",
        "ca": "Integer",
        "seen": "Datetime",
        "word": "Text",
        "old": "Boolean",
        "none": "Empty",
    }


def test_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("age,num\n1,2\n")
    reason, message = refused(f"file://{tmp_path}/a.parquet", format="Parquet")
    assert reason == "DataRejected"
    assert message.startswith(f"file://{tmp_path}/a.parquet is no Parquet: ")
    pd.DataFrame({"parts": [[1, 2]]}).to_parquet(tmp_path / "a.parquet")
    reason, message = refused(f"file://{tmp_path}/a.parquet", format="Parquet")
    assert reason == "DataRejected"
    assert message.startswith(f"file://{tmp_path}/a.parquet: column 'parts' holds list<")


REFUSALS = {"/secret.csv": 403, "/who.csv": 401, "/broken.csv": 500}


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    """A web server that has Cleveland's patients wherever a path ends in .csv, and shows no list."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path in {"/cleveland.csv", "/get?file=cleveland.csv"}
            content = (DATA / "cleveland.csv").read_bytes() if found else b"no"
            self.send_response(200 if found else REFUSALS.get(self.path, 404))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_web_address_with_and_without_a_query(web: str) -> None:
    _, of_file = ingest(request(), {})
    assert ingest(request(source=f"{web}/cleveland.csv"), {})[1] == of_file
    assert ingest(request(source=f"{web}/get?file=cleveland.csv"), {})[1] == of_file
    assert refused(f"{web}/get?file=no.csv") == ("SourceInvalid", f"there is nothing at {web}/get?file=no.csv")


@pytest.mark.parametrize("path", ["secret.csv", "who.csv"])
def test_what_a_server_refuses_is_not_asked_for_again(web: str, path: str) -> None:
    reason, message = refused(f"{web}/{path}")
    assert reason == "SourceInvalid"
    assert message.startswith(f"{web}/{path} cannot be read: ")


def test_an_address_of_no_store_is_not_asked_for_again() -> None:
    assert refused("ftp://data/x.csv")[0] == "SourceInvalid"


def test_a_pattern_needs_a_server_that_lists(web: str) -> None:
    reason, message = refused(f"{web}/*.csv")
    assert reason == "SourceInvalid"
    assert message == (
        f"{web}/*.csv: a web server has no listing to match * and [ against: name one file, or put the files into an "
        "object store (s3://, gs://, az://)"
    )


def test_missing_columns_are_all_named_with_the_nearest_one() -> None:
    reason, message = refused(
        f"file://{DATA}/cleveland.csv", target=Target("nun", above=0), checks=(Check("trestpbs", min=0),)
    )
    assert reason == "DataRejected"
    assert message == (
        "column 'nun' is not in the data (did you mean 'num'?)\n"
        "column 'trestpbs' is not in the data (did you mean 'trestbps'?)\n"
        "columns are: age, sex, cp, trestbps, chol, fbs, restecg, thalach, exang, oldpeak, slope, ca, thal, num"
    )


def test_a_time_column_that_is_not_there_is_told_by_its_field() -> None:
    reason, message = refused(f"file://{DATA}/cleveland.csv", time="ages")
    assert reason == "DataRejected"
    assert message.startswith("column 'ages', which data.time names, is not in the data (did you mean 'age'?)\n")


def test_a_store_that_is_away() -> None:
    away = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    with pytest.raises(RunError) as error:
        ingest(request(source="s3://data/heart/*.csv"), {**away, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "x"})
    assert error.value.reason == "DataUnavailable"
    assert error.value.message.startswith("s3://data/heart/*.csv cannot be read: ")
    assert len(error.value.message) < 500
