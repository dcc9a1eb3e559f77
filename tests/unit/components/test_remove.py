"""The files of a version that is gone."""

from pathlib import Path

import pytest

from perennial_components.remove import main


def environment(root: Path, folder: str) -> dict[str, str]:
    return {"PERENNIAL_STORE_ROOT": f"file://{root}/", "PERENNIAL_REMOVED_FOLDER": folder}


def test_a_runs_folder_goes_and_nothing_else_and_twice_is_once(tmp_path: Path) -> None:
    for run in ("1", "12"):
        for name in ("result.json", "model.onnx", "own/report.html"):
            path = tmp_path / "cardio" / "heart" / run / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
    asked = environment(tmp_path, f"file://{tmp_path}/cardio/heart/1")
    assert (main(asked), main(asked)) == (0, 0)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == [f"cardio/heart/12/{name}" for name in ("model.onnx", "own/report.html", "result.json")]


@pytest.mark.parametrize("place", ["cardio/heart", "cardio", "", "cardio/heart/1/own", "cardio/../x/heart/1"])
def test_what_is_no_runs_folder_is_refused(tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cardio" / "heart" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_text("x")
    assert main(environment(tmp_path, f"file://{tmp_path}/{place}")) == 1
    assert "is no run's folder" in capsys.readouterr().err
    assert path.exists()


def test_a_store_that_refuses_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    away = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "x"}
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    asked = {"PERENNIAL_STORE_ROOT": "s3://a", "PERENNIAL_REMOVED_FOLDER": "s3://a/cardio/heart/1", **away, **keys}
    assert main(asked) == 1
    assert "s3://a/cardio/heart/1 cannot be deleted: " in capsys.readouterr().err
