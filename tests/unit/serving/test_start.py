"""From the store to a loaded model, and every reason to refuse."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from perennial_serving.artifacts import ArtifactError, place, verify
from perennial_serving.fetch import fetch, redact
from perennial_serving.model import Model, Prediction, load
from perennial_serving.scorers import ModelError
from perennial_serving.settings import ArtifactFile, SettingsError, Store, load_settings
from tests.unit.serving.support import FILES, FIXTURE, artifacts, environment, run


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    shutil.copytree(FIXTURE, folder)
    return folder


def files() -> dict[str, bytes]:
    return {name: (FIXTURE / name).read_bytes() for name in FILES}


def changed(name: str, **fields: Any) -> dict[str, bytes]:
    content = json.loads(files()[name]) | fields
    return files() | {name: json.dumps(content).encode()}


JOINT = json.loads(files()["baseline.json"])["joint"]


def test_fetch_brings_the_files_and_the_predictor_believes_them(stored: Path, tmp_path: Path) -> None:
    target = tmp_path / "model"
    env = environment(tmp_path, PERENNIAL_MODEL_DIR=str(target), PERENNIAL_ARTIFACTS=json.dumps(artifacts(stored)))
    assert run("perennial_serving.fetch", env).returncode == 0
    assert {path.name for path in target.iterdir()} == set(FILES)
    assert load(verify(load_settings(env))).signature.target == "num"


def test_fetch_refuses_another_file_than_recorded(stored: Path, tmp_path: Path) -> None:
    recorded = json.dumps(artifacts(stored))
    (stored / "model.onnx").write_bytes(b"poisoned")
    target = tmp_path / "model"
    ended = run(
        "perennial_serving.fetch", environment(tmp_path, PERENNIAL_MODEL_DIR=str(target), PERENNIAL_ARTIFACTS=recorded)
    )
    assert ended.returncode == 1
    message = (tmp_path / "termination-log").read_text()
    assert message.startswith(f"model.onnx: what is at file://{stored}/model.onnx is not what was recorded")
    assert hashlib.sha256(b"poisoned").hexdigest() in message
    assert not (target / "model.onnx").exists()


def test_fetch_names_what_is_not_there(stored: Path, tmp_path: Path) -> None:
    recorded = json.dumps(artifacts(stored))
    (stored / "baseline.json").unlink()
    ended = run(
        "perennial_serving.fetch",
        environment(tmp_path, PERENNIAL_MODEL_DIR=str(tmp_path / "m"), PERENNIAL_ARTIFACTS=recorded),
    )
    assert ended.returncode == 1
    assert (tmp_path / "termination-log").read_text() == f"baseline.json: nothing is at file://{stored}/baseline.json"


def test_fetch_says_no_secret_when_the_store_is_away(tmp_path: Path) -> None:
    uri = "s3://artifacts/heart/model.onnx?signature=SIGNED"
    store = Store((ArtifactFile(uri, "0" * 64, "model.onnx"),), str(tmp_path))
    credentials = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "x",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "do-not-tell",
    }  # fmt: skip
    with pytest.raises(
        ArtifactError, match=r"^model\.onnx: s3://artifacts/heart/model\.onnx cannot be read: "
    ) as caught:
        fetch(store, credentials)
    assert not any(secret in str(caught.value) for secret in ("SIGNED", "AKIDEXAMPLE", "do-not-tell"))


def test_a_servers_answer_is_cut_off() -> None:
    text = "403 for AKID: <?xml version=1><StringToSign>secret stuff"
    assert redact(text, {"AWS_ACCESS_KEY_ID": "AKID", "HOME": "403"}) == "403 for ***:"


def test_what_is_there_already_is_not_fetched_again(stored: Path, tmp_path: Path) -> None:
    wanted = tuple(msgspec.convert(artifacts(stored), list[ArtifactFile]))
    store = Store(wanted, str(tmp_path / "model"))
    fetch(store, {})
    shutil.rmtree(stored)
    fetch(store, {})
    assert set(verify(store)) == set(FILES)


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", "a/b", "", "..", "."])
def test_a_file_stays_in_its_folder(name: str) -> None:
    with pytest.raises(ArtifactError, match="is no plain file name"):
        place(Store(()), ArtifactFile("file:///x", "", name))


@pytest.mark.parametrize("name", FILES)
def test_the_predictor_refuses_bytes_that_changed_on_its_disk(name: str, stored: Path, tmp_path: Path) -> None:
    recorded = json.dumps(artifacts(stored))
    (stored / name).write_bytes((stored / name).read_bytes() + b" ")
    ended = run(
        "perennial_serving", environment(tmp_path, PERENNIAL_MODEL_DIR=str(stored), PERENNIAL_ARTIFACTS=recorded)
    )
    assert ended.returncode == 1
    message = (tmp_path / "termination-log").read_text()
    assert message.startswith(f"{name}: its SHA-256 is ")
    assert message.endswith("it is not served")


def test_the_environment_is_checked(tmp_path: Path) -> None:
    env = environment(tmp_path)
    with pytest.raises(SettingsError, match=r"missing `PERENNIAL_VERSION`$"):
        load_settings({name: value for name, value in env.items() if name != "PERENNIAL_VERSION"})
    with pytest.raises(SettingsError, match="PERENNIAL_PORT"):
        load_settings(env | {"PERENNIAL_PORT": "eighty"})
    with pytest.raises(SettingsError, match=r"PERENNIAL_ARTIFACTS\[0\]"):
        load_settings(env | {"PERENNIAL_ARTIFACTS": '[{"uri": "file:///x"}]'})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"model.onnx": b""}, r"^not among the artifacts: signature\.json, baseline\.json"),
        (files() | {"model.onnx": b"no graph"}, r"^model\.onnx: onnxruntime cannot load it"),
        (files() | {"signature.json": b"{}"}, r"^signature\.json: .*required field"),
        (changed("signature.json", inputs=[]), r"^model\.onnx: the warm-up prediction failed"),
        (changed("signature.json", classes=["0", "1", "2"]), r"have shape \[1, 2\], the signature has 3 classes"),
        (changed("signature.json", classes=["0"]), r"^signature\.json: no positive class"),
        (
            changed("signature.json", inputs=[{"name": "age", "kind": "Numeric", "example": "old"}]),
            "its own examples are refused",
        ),
        (changed("baseline.json", features=[]), r"^baseline\.json: has no Numeric feature 'age'"),
        (
            changed("baseline.json", joint=JOINT | {"centre": [0.0]}),
            r"^baseline\.json: joint is not of the 13 columns",
        ),
        (
            changed("baseline.json", joint=JOINT | {"axes": [[1.0]]}),
            r"^baseline\.json: joint is not of the 13 columns",
        ),
        (
            changed("baseline.json", joint=JOINT | {"shares": [[]] * 13}),
            r"^baseline\.json: joint has other categories than the signature",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused(content: dict[str, bytes], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        load(content)


class Answers:
    """A model that answers ``probabilities`` to everything."""

    file, aside, row_by_row = "model.onnx", False, False

    def __init__(self, probabilities: list[list[float]]) -> None:
        self._probabilities = np.array(probabilities, dtype=np.float32)

    def probabilities(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        assert len(matrix) == len(self._probabilities)
        return self._probabilities


def answers(model: Model, probabilities: list[list[float]], **signature: Any) -> Prediction:
    changed_signature = msgspec.structs.replace(model.signature, **signature)
    rows = np.zeros((len(probabilities), 13))
    return Model(Answers(probabilities), changed_signature, model.baseline).predict(rows)


def test_the_signatures_threshold_decides(model: Model) -> None:
    prediction = answers(model, [[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]], threshold=0.5)
    assert prediction.predicted == [0, 1, 1]
    assert prediction.probability == prediction.positive == [0.25, 0.5, 0.75]
    assert answers(model, [[0.75, 0.25]], threshold=0.25).predicted == [1]
    assert answers(model, [[0.75, 0.25]], positive=0).predicted == [0]


def test_of_many_classes_the_likeliest_is_predicted(model: Model) -> None:
    prediction = answers(model, [[0.25, 0.25, 0.5]], classes=("a", "b", "c"))
    assert (prediction.predicted, prediction.probability, prediction.positive) == ([2], [0.5], [0.25])


@pytest.mark.parametrize("nonsense", [float("nan"), 1.5, -0.5])
def test_nonsense_from_the_model_is_its_failure(model: Model, nonsense: float) -> None:
    with pytest.raises(ModelError, match="no probability"):
        answers(model, [[0.5, 0.5], [0.5, nonsense]])


@pytest.mark.parametrize(
    ("variable", "value", "library"),
    [("ORT_DISABLE_TELEMETRY", "1", "onnxruntime"), ("OPENBLAS_NUM_THREADS", "1", "numpy")],
)
def test_libraries_are_told_before_they_are_loaded(variable: str, value: str, library: str) -> None:
    """onnxruntime to report nothing, numpy to start no threads."""
    told = f"import os, sys, perennial_serving; print(os.environ[{variable!r}], {library!r} in sys.modules)"
    env = {name: given for name, given in os.environ.items() if name != variable}
    ended = subprocess.run([sys.executable, "-c", told], env=env, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [value, "False"]
