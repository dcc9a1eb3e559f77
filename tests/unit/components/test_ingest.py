"""What is read depends on the content of the files, and what is wrong with them is said in the user's words."""

import shutil
from pathlib import Path

import pytest

from perennial.contracts.request import Check, Target
from perennial_components.failure import RunError
from perennial_components.ingest.core import ingest
from tests.unit.components.support import DATA, request


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
    assert refused(f"file://{tmp_path}/*.csv") == ("DataUnavailable", f"no file matches file://{tmp_path}/*.csv")
    assert refused(f"file://{tmp_path}/no.csv") == ("DataUnavailable", f"there is nothing at file://{tmp_path}/no.csv")


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    assert refused(f"file://{path}") == ("DataRejected", f"file://{path} is empty: not even a header")


def test_a_header_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("age,num\n")
    assert refused(f"file://{path}") == ("DataRejected", f"there are no rows in file://{path} (1 file)")


def test_no_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,\xff\xfe\n")
    reason, message = refused(f"file://{path}")
    assert reason == "DataRejected"
    assert message.startswith(f"file://{path} is no CSV in UTF-8: ")


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
