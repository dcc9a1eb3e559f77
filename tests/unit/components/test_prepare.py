"""``data.prepare``: rows in training, values in training and serving alike."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper

from perennial.contracts.baseline import Baseline
from perennial.contracts.prepare import Bucket, Cast, Clip, DropDuplicates, Filter, Log, Ratio, Rename, Step
from perennial.contracts.signature import Input, Signature
from perennial_components.export.estimator import load_estimator
from perennial_components.failure import RunError
from perennial_components.inference import answers_of
from perennial_components.prepare.core import prepared, values
from perennial_components.prepare.graph import with_values
from perennial_components.prepare.rows import prepare_rows
from tests.unit.components.pipeline import run_here
from tests.unit.components.support import LOGISTIC, export_of, request, text_table

SIGNATURE = Signature(
    "Classification",
    (Input("a", "Numeric"), Input("b", "Numeric"), Input("c", "Categorical", ("x", "y"))),
    "t",
    ("0", "1"),
)
EVERY = (
    Clip("a", min=-5.0, max=50.0),
    Ratio("r", "a", "b"),
    Log("b", offset=1.0),
    Clip("r", max=10.0),
    Bucket("a", (0.0, 1.5, 20.0)),
)


def identity(columns: int) -> bytes:
    """A graph that gives back what it takes."""
    taken = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", columns])
    given_back = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", columns])
    graph = helper.make_graph([helper.make_node("Identity", ["features"], ["out"])], "g", [taken], [given_back])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(made.SerializeToString())


def by_graph(steps: tuple[Step, ...], features: np.ndarray) -> np.ndarray:
    asked = request(prepare=steps)
    model = with_values(identity(len(prepared(SIGNATURE, asked).inputs)), asked, SIGNATURE)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"features": features})[0])


FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=False) | st.sampled_from([0.0, -1.0, 1.5, 20.0, 50.0])


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(1, 6), st.just(3)), elements=FLOATS))
def test_the_graph_does_what_training_did(features: np.ndarray) -> None:
    features[:, 2] = np.where(np.isnan(features[:, 2]), -1, 0)
    asked = request(prepare=EVERY)
    np.testing.assert_allclose(by_graph(EVERY, features), values(asked, SIGNATURE, features), rtol=2e-7)


def test_each_step_says_what_it_does() -> None:
    rows = np.array([[60, 2, 0], [-9, 0, 1], [np.nan, -1, -1], [1.5, np.nan, 0]], dtype=np.float32)
    found = values(request(prepare=EVERY), SIGNATURE, rows)
    # a in buckets (-1 missing), log(b + 1), c as it was, a/b of the clipped a and the raw b
    expected = [[3, np.log(3), 0, 10], [0, 0, 1, np.nan], [-1, np.nan, -1, np.nan], [2, np.nan, 0, np.nan]]
    np.testing.assert_allclose(found, np.array(expected), rtol=1e-6)
    inputs = prepared(SIGNATURE, request(prepare=EVERY)).inputs
    assert [(item.name, item.kind) for item in inputs] == [
        ("a", "Categorical"), ("b", "Numeric"), ("c", "Categorical"), ("r", "Numeric"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (Clip("aa", min=0), "data.prepare[0].clip: 'aa' is no feature (did you mean 'a'?)"),
        (Log("c"), "data.prepare[0].log: 'c' is Categorical and not Numeric"),
        (Ratio("b", "a", "b"), "data.prepare[0].ratio: there is an input 'b' already"),
    ],
)
def test_a_value_step_on_something_else_is_refused(step: Step, says: str) -> None:
    with pytest.raises(RunError) as failed:
        prepared(SIGNATURE, request(prepare=(step,)))
    assert failed.value.message == says


def test_columns_that_no_step_names_cost_no_nodes() -> None:
    wide = msgspec.structs.replace(SIGNATURE, inputs=tuple(Input(f"c{at}", "Numeric") for at in range(200)))
    asked = request(prepare=(Clip("c3", max=1), Ratio("r", "c9", "c150"), Clip("c150", min=0)))
    model = with_values(identity(201), asked, wide)
    assert len(onnx.load_from_string(model).graph.node) < 25
    rows = np.random.default_rng(6).normal(size=(5, 200)).astype(np.float32)
    found = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"features": rows})[0]
    np.testing.assert_array_equal(found, values(asked, wide, rows))


def test_without_steps_nothing_changes() -> None:
    model = identity(3)
    assert with_values(model, request(), SIGNATURE) == model
    features = np.ones((2, 3), dtype=np.float32)
    assert values(request(), SIGNATURE, features) is features


# --- rows ---------------------------------------------------------------------------------------------------------

TABLE = text_table(
    id=["1", "2", "2", "3", None],
    on=["yes", "no", "no", "True", None],
    day=["2026-01-01", "x", "x", "1767225600", None],
)


def kept(*steps: Step) -> pd.DataFrame:
    return prepare_rows(steps, TABLE)[0]


def test_rows_are_dropped_kept_read_and_renamed_in_order() -> None:
    assert kept(DropDuplicates())["id"].tolist() == ["1", "2", "3", np.nan]
    assert kept(Filter("id", equals="2.0"))["id"].tolist() == ["2", "2", np.nan]
    assert kept(Filter("id", not_equals="2", missing="Drop"))["id"].tolist() == ["1", "3"]
    assert kept(Filter("id", min=2, max=2, missing="Drop"))["id"].tolist() == ["2", "2"]
    assert kept(Cast("on", "Boolean"))["on"].tolist() == ["1", "0", "0", "1", np.nan]
    days = kept(Cast("day", "Datetime", invalid="Missing"))["day"].tolist()
    assert days == ["1767225600", np.nan, np.nan, "1767225600", np.nan]
    table, places = prepare_rows((Rename("id", to="patient"), Filter("patient", equals="3", missing="Drop")), TABLE)
    assert (list(table.columns), places.tolist()) == (["patient", "on", "day"], [3])


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (Cast("day", "Datetime"), "data.prepare[0].cast: column 'day': 2 values are no Datetime, for example x"),
        (Rename("id", to="on"), "data.prepare[0].rename.to: there is a column 'on' already"),
        (Filter("i", equals="1"), "data.prepare[0]: column 'i' is not in the data (did you mean 'id'?)"),
        (Filter("id", equals="9", missing="Drop"), "data.prepare[0] leaves no row of 5"),
    ],
)
def test_a_row_step_that_cannot_be_done_is_told(step: Step, says: str) -> None:
    with pytest.raises(RunError) as failed:
        kept(step)
    assert failed.value.message.startswith(says)


def test_a_feature_by_the_name_that_it_had_is_refused() -> None:
    from perennial_components.ingest.core import ingest

    with pytest.raises(RunError) as failed:
        ingest(request(prepare=(Rename("chol", to="cholesterol"),)), {})
    assert failed.value.message.startswith("column 'chol' is not in the data (did you mean 'cholesterol'?)\n")


# --- a whole run --------------------------------------------------------------------------------------------------


def test_a_run_serves_what_it_was_trained_on(tmp_path: Path) -> None:
    folder = tmp_path
    steps = (
        Filter("age", min=40, missing="Drop"), Rename("chol", to="cholesterol"), Clip("cholesterol", max=400),
        Ratio("rate", "thalach", "age"), Log("oldpeak", offset=1), Bucket("ca", (1.0, 2.0)),
    )  # fmt: skip
    asked = request(
        prepare=steps, numeric=("age", "trestbps", "cholesterol", "thalach", "oldpeak", "ca"),
        candidates=(LOGISTIC,), trials=1, output=f"file://{folder}/store",
    )  # fmt: skip
    result = run_here(folder / "run", asked)
    store = folder / "store"
    assert [item.name for item in result.signature.inputs][:6] == list(asked.numeric), "callers send no ratio"
    reference = msgspec.json.decode((store / "baseline.json").read_bytes(), type=Baseline)
    assert reference.rows < result.data.rows == 303
    model = (store / "model.onnx").read_bytes()
    rows = np.array([[50, 120, 900, 150, 1, 2, 1, 0, 0, 2, 0, 1, 1], [np.nan] * 6 + [-1] * 7], dtype=np.float32)
    fitted = load_estimator(str(store / "model.skops"))
    taken = values(asked, result.signature, rows)
    np.testing.assert_allclose(answers_of("Classification", model, rows), fitted.predict_proba(taken), atol=1e-4)
    clipped = rows.copy()
    clipped[0, 2] = 400
    same = answers_of("Classification", model, np.vstack([rows[:1], clipped[:1]]))
    assert same[0].tolist() == same[1].tolist(), "serving clips"
    assert "after" in (store / "report.html").read_text()


def test_a_model_without_graph_cannot_have_its_values_prepared() -> None:
    from sklearn.base import BaseEstimator

    class Odd(BaseEstimator):  # type: ignore[misc]
        def predict_proba(self, rows: np.ndarray) -> np.ndarray:
            return np.full((len(rows), 2), 0.5)

    from perennial_components.export.core import export

    features = np.zeros((3, 3), dtype=np.float32)
    assert export_of(Odd(), features)[0] is None
    with pytest.raises(RunError, match="steps on values need a model with an ONNX form"):
        export(request(prepare=(Clip("a", min=0),)), SIGNATURE, Odd(), features)
