"""A pipeline of somebody's own: executed as it is, and what it claims measured again."""

from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest
from onnx import TensorProto, helper

from perennial.contracts import objects
from perennial.contracts.names import FILE_MODEL, FILE_RESULT, OWN_PIPELINE
from perennial.contracts.request import OwnPipeline, RunRequest
from perennial.contracts.result import RunResult
from perennial.contracts.signature import Input
from perennial_components import runner
from perennial_components.failure import RunError
from perennial_components.own.core import claim
from perennial_components.pipelines.compile import path_of
from perennial_components.records import Tuned
from perennial_components.storage import read_json, write_json
from tests.unit.components.pipeline import run_here
from tests.unit.components.support import prepared, request, run

IMAGE = "localhost/perennial/components"


def own_request(store: Path, **changes: Any) -> RunRequest:
    """A run whose own pipeline is the one that we bring: it keeps the contract."""
    path = path_of("tabular")
    pipeline = OwnPipeline(f"file://{path}", objects.sha256(path.read_bytes()), IMAGE)
    return request(trials=1, output=f"file://{store}", pipeline=pipeline, **changes)


def result_at(folder: Path) -> RunResult:
    """The account that lies in ``folder``."""
    return msgspec.json.decode((folder / FILE_RESULT).read_bytes(), type=RunResult)


def test_what_it_claims_is_measured_again(tmp_path: Path) -> None:
    store = tmp_path / "store"
    asked = own_request(store)
    (tmp_path / "own").mkdir()
    code, outcome = run(tmp_path / "own", asked, **{OWN_PIPELINE: "1"})
    assert (code, outcome.message) == (0, "")
    claimed = result_at(store / "claimed")
    assert not (store / FILE_RESULT).exists(), "nothing of it is a result before it has been measured"

    lie = msgspec.structs.replace(claimed, metrics=dict.fromkeys(claimed.metrics, 1.0))
    (store / "claimed" / FILE_RESULT).write_bytes(msgspec.json.encode(lie))
    assert run_here(tmp_path / "ours", asked, "own") == result_at(store)
    measured = result_at(store)
    assert measured.metrics == pytest.approx(claimed.metrics)
    assert measured.pipeline_sha256 == asked.pipeline.sha256 if asked.pipeline else False
    assert measured.algorithm == "LogisticRegression"
    model = objects.read_verified(measured.artifacts[FILE_MODEL], {})
    assert model == (store / "claimed" / FILE_MODEL).read_bytes()
    assert measured.artifacts[FILE_MODEL].uri == f"file://{store}/{FILE_MODEL}"


@pytest.mark.parametrize(
    ("changes", "reason", "says"),
    [
        ({"url": "file:///nowhere.yaml"}, "TrainingFailed", "spec.pipeline.url: there is nothing"),
        ({"sha256": "0" * 64}, "TrainingFailed", "spec.pipeline.sha256"),
        ({"image": "registry/mine:1"}, "TrainingFailed", "is not registry/mine:1"),
    ],
)
def test_a_file_that_is_not_the_declared_one_is_not_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], reason: str, says: str
) -> None:
    asked = own_request(tmp_path / "store")
    assert asked.pipeline is not None
    asked = msgspec.structs.replace(asked, pipeline=msgspec.structs.replace(asked.pipeline, **changes))
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # the runner sets it for its children
    (tmp_path / "request.json").write_bytes(msgspec.json.encode(asked))
    outcome = runner.run({runner.REQUEST_FILE: str(tmp_path / "request.json"), OWN_PIPELINE: "1"}, tmp_path)
    assert (outcome.succeeded, outcome.reason) == (False, reason)
    assert says in outcome.message


def constant(features: int, answers: list[float], name: str = "answer") -> bytes:
    """A graph as another framework's exporter writes it: names of its own, a probability from a sigmoid."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [features, len(answers)], [0.0] * features * len(answers))
    bias = helper.make_tensor("b", TensorProto.FLOAT, [len(answers)], answers)
    clean = helper.make_node("IsNaN", ["x"], ["missing"])
    zero = helper.make_tensor("z", TensorProto.FLOAT, [], [0.0])
    nodes = [
        clean, helper.make_node("Where", ["missing", "z", "x"], ["known"]),
        helper.make_node("MatMul", ["known", "w"], ["y"]), helper.make_node("Add", ["y", "b"], [name]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "constant", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", features])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", len(answers)])], [weights, bias, zero],
    )  # fmt: skip
    return onnx.ModelProto.SerializeToString(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    )


def claimed_by(
    store: Path, model: bytes, asked: dict[str, Any] | None = None, **changes: Any
) -> tuple[RunRequest, Any]:
    """A request (``asked`` is what differs), and what ``claim`` makes of a result with ``model`` and ``changes``."""
    wanted = own_request(store, **(asked or {}))
    table, rows, signature = prepared(wanted)
    artifact = objects.write(f"file://{store}/claimed/{FILE_MODEL}", model, {})
    result = msgspec.convert(
        {
            "data": {"sha256": "", "rows": 303, "testRows": 76, "columns": [], "files": 1},
            "algorithm": "TorchMLP", "parameters": {"epochs": 3}, "candidates": [], "metrics": {"roc_auc": 0.5},
            "slices": [], "artifacts": {FILE_MODEL: msgspec.to_builtins(artifact)},
            "signature": msgspec.to_builtins(signature), "seed": 1, "packages": {}, "pipelineSha256": "",
        },
        RunResult,
    )  # fmt: skip
    changed = msgspec.structs.replace(result, **changes)
    (store / "claimed" / FILE_RESULT).write_bytes(msgspec.json.encode(changed))
    return wanted, lambda: claim(wanted, table, rows, signature, {})


def test_a_graph_of_another_framework_is_asked_by_its_own_names(tmp_path: Path) -> None:
    _, found = claimed_by(tmp_path, constant(13, [0.25]))
    claimed = found()
    assert claimed.tuned.candidates[0].algorithm == "TorchMLP"
    assert claimed.predictions.answers[0] == pytest.approx([0.75, 0.25])
    assert claimed.predictions.rows is not None
    assert len(claimed.predictions.answers) == claimed.predictions.rows.sum()
    assert claimed.estimator is None


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (constant(13, [0.1, 0.2, 0.7]), "3 probabilities for 2 classes"),
        (constant(12, [0.1]), "cannot be asked"),
        (constant(13, [float("nan")]), "NaN or infinity"),
        (b"nothing", "cannot be asked"),
    ],
)
def test_a_model_that_cannot_be_served_is_refused(tmp_path: Path, model: bytes, says: str) -> None:
    _, found = claimed_by(tmp_path, model)
    with pytest.raises(RunError, match=says):
        found()


def test_a_result_about_something_else_is_refused(tmp_path: Path) -> None:
    _, _, signature = prepared(own_request(tmp_path))
    other = msgspec.structs.replace(signature, inputs=(*signature.inputs, Input("agee", "Numeric")))
    _, found = claimed_by(tmp_path, constant(14, [0.1]), signature=other)
    with pytest.raises(RunError, match=r"'agee' \(did you mean 'age'\?\)"):
        found()
    other = msgspec.structs.replace(signature, classes=("no", "yes"))
    _, found = claimed_by(tmp_path, constant(13, [0.1]), signature=other)
    with pytest.raises(RunError, match="asked for is"):
        found()


def test_files_that_are_not_as_it_says_are_refused(tmp_path: Path) -> None:
    _, found = claimed_by(tmp_path, constant(13, [0.1]))
    (tmp_path / "claimed" / FILE_MODEL).write_bytes(constant(13, [0.9]))
    with pytest.raises(RunError, match="not as it says"):
        found()
    (tmp_path / "claimed" / FILE_RESULT).unlink()
    with pytest.raises(RunError, match=r"left no result\.json"):
        found()


def test_a_result_without_a_figure_of_the_metric_has_the_one_that_is_measured(tmp_path: Path) -> None:
    asked, found = claimed_by(tmp_path, constant(13, [0.25]), metrics={})
    assert asked.metric == "roc_auc"
    claimed = found().tuned
    assert claimed.candidates[0].score == 0.5, "a model that answers the same of everybody"
    write_json(str(tmp_path / "tuned.json"), claimed)
    assert read_json(str(tmp_path / "tuned.json"), Tuned) == claimed


def test_a_metric_that_nobody_can_tell_is_an_error_that_names_it(tmp_path: Path) -> None:
    _, found = claimed_by(tmp_path, constant(13, [0.25]), asked={"metric": "precision"}, metrics={})
    with pytest.raises(RunError, match=r"names no precision in its metrics, .* undefined on the rows held out"):
        found()
