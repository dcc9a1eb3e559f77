"""Whole runs: the compiled pipeline by Kubeflow's own local runner, its files in a store, its outcome in one JSON."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from perennial.contracts import objects
from perennial.contracts.baseline import Baseline
from perennial.contracts.progress import Progress
from perennial.contracts.request import Target
from perennial.contracts.result import RunOutcome, RunResult
from perennial_components.failure import RunError, redact, reported, shortened
from perennial_components.pipelines import compile as compiling
from perennial_components.runner import failed
from tests.unit.components.support import BOOSTING, DATA, LOGISTIC, request, run


def test_a_run_from_files_to_a_registered_model(tmp_path: Path) -> None:
    header, *rows = (DATA / "cleveland.csv").read_text().split()
    dated = [f"{row},2026-{1 + number % 3:02}-01" for number, row in enumerate(rows)]
    (tmp_path / "data.csv").write_text("\n".join([f"{header},seen", *dated]))
    asked = request(
        source=f"file://{tmp_path}/data.csv",
        time="seen",
        candidates=(LOGISTIC, BOOSTING),
        trials=4,
        output=f"file://{tmp_path}/store/1",
    )
    code, outcome = run(tmp_path, asked)
    assert (code, outcome.succeeded, outcome.message) == (0, True, "")
    assert outcome.result is not None
    assert outcome.result.uri == f"file://{tmp_path}/store/1/result.json"
    result = msgspec.json.decode(objects.read_verified(outcome.result, {}), type=RunResult)
    made = {"model.onnx", "model.skops", "signature.json", "baseline.json", "report.html"}
    assert set(result.artifacts) == {*made, "request.json", "trials.json"}
    contents = {name: objects.read_verified(artifact, {}) for name, artifact in result.artifacts.items()}
    assert msgspec.json.decode(contents["signature.json"], type=type(result.signature)) == result.signature
    reference = msgspec.json.decode(contents["baseline.json"], type=Baseline)
    assert reference.metrics == result.metrics
    assert (result.data.rows, result.data.files, reference.rows) == (303, 1, 303)
    assert [sum(chunk) for chunk in reference.features[0].chunks] == [101] * 3
    assert sum(map(sum, reference.confusion)) == result.data.test_rows
    assert reference.joint is not None
    assert sum(reference.joint.distribution.counts) == 303
    assert result.metrics["roc_auc"] > 0.8
    assert (result.format, result.format_reason) == ("onnx", "")
    assert result.parity is not None
    assert result.parity < 1e-4
    assert result.pipeline_sha256 == objects.sha256(compiling.path_of("tabular").read_bytes())
    assert result.packages["scikit-learn"]
    page = contents["report.html"].decode()
    HTMLParser().feed(page)
    assert "heart-disease" in page
    assert "<polyline" in page
    assert "http" not in page.replace("http-equiv", ""), "the page loads nothing"
    assert not list((tmp_path / "tmp").iterdir()), "nothing is left behind, nothing reported to a runtime's maker"


def test_a_failure_says_which_component_and_why(tmp_path: Path) -> None:
    code, outcome = run(tmp_path, request(target=Target("nun", above=0), output=f"file://{tmp_path}/store"))
    assert code == 1
    assert not outcome.succeeded
    assert (outcome.component, outcome.reason) == ("ingest", "DataRejected")
    assert outcome.message == (
        "column 'nun' is not in the data (did you mean 'num'?)\n"
        "columns are: age, sex, cp, trestbps, chol, fbs, restecg, thalach, exang, oldpeak, slope, ca, thal, num"
    )
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["progress.json"]
    told = msgspec.json.decode((tmp_path / "store" / "progress.json").read_bytes(), type=Progress)
    assert (told.component, told.index) == ("ingest", 1)


def test_data_of_one_class_is_refused_by_its_check(tmp_path: Path) -> None:
    rows = (DATA / "cleveland.csv").read_text().splitlines()
    healthy = [rows[0], *(row for row in rows[1:] if row.endswith(",0"))]
    (tmp_path / "data.csv").write_text("\n".join(healthy))
    _, outcome = run(tmp_path, request(source=f"file://{tmp_path}/data.csv", output=f"file://{tmp_path}/store"))
    assert (outcome.component, outcome.reason) == ("check", "DataRejected")
    assert outcome.message == (
        "column 'num' is the target and has one class only ('0': 164 rows): there is nothing to tell apart"
    )


def test_a_request_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text('{"namespace": 1}')
    environ = {**os.environ, "PERENNIAL_REQUEST_FILE": str(tmp_path / "request.json")}
    command = [sys.executable, "-m", "perennial_components.runner"]
    environ["PERENNIAL_TERMINATION_LOG"] = str(tmp_path / "log")
    assert subprocess.run(command, env=environ, capture_output=True, check=False).returncode == 1
    outcome = msgspec.json.decode((tmp_path / "log").read_bytes(), type=RunOutcome)
    assert outcome.message == "the run request cannot be read: Expected `str`, got `int` - at `$.namespace`"


def test_a_component_that_was_killed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "failure.json"
    monkeypatch.setenv("PERENNIAL_FAILURE_FILE", str(path))
    with pytest.raises(SystemExit), reported("tune"):  # as a kill does, this passes by everything that records failures
        raise SystemExit
    outcome = failed(path, RuntimeError("Inner task failed"))
    assert (outcome.component, outcome.reason) == ("tune", "InternalError")
    assert "killed" in outcome.message


def test_an_unforeseen_exception_is_told_without_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "failure.json"
    monkeypatch.setenv("PERENNIAL_FAILURE_FILE", str(path))
    with pytest.raises(ZeroDivisionError), reported("tune", unexpected="TrainingFailed"):
        _ = 1 / 0
    outcome = failed(path, RuntimeError("Inner task failed"))
    assert outcome.reason == "TrainingFailed"
    assert outcome.message.startswith("ZeroDivisionError: division by zero\n(at ")
    assert "test_runner.py:" in outcome.message
    assert "/" not in outcome.message


def test_no_credential_leaves_by_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"AWS_SECRET_ACCESS_KEY": "hunter22", "AWS_ALLOW_HTTP": "true", "AWS_ENDPOINT_URL": "http://s3:80"}
    said = redact("true: http://ann:pw@s3:80/x?X-Amz-Signature=abc&list=2 hunter22 at http://s3:80", environ)
    assert said == "true: http://***@s3:80/x?X-Amz-Signature=***&list=2 *** at http://s3:80"
    path = tmp_path / "failure.json"
    monkeypatch.setenv("PERENNIAL_FAILURE_FILE", str(path))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter22")
    with pytest.raises(RunError), reported("ingest"):
        raise RunError("DataUnavailable", "refused hunter22")
    assert b"hunter22" not in path.read_bytes()


def test_a_long_message_is_shortened_at_its_end() -> None:
    said = shortened("column 'ä': \n" * 2000)
    assert len(msgspec.json.encode(said)) <= 3072
    assert said.startswith("column 'ä'")
    assert said.endswith("...")


def test_the_compiled_pipeline_is_current_and_names_no_cached_ingest() -> None:
    assert compiling.main(["--check"]) == 0
    for name in compiling.PIPELINES:
        text = compiling.path_of(name).read_text()
        assert "localhost/perennial/components" in text
        assert "pip install" not in text
