"""Models of other makers: graphs as torch.onnx and tf2onnx write them, and estimators without ONNX form."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from perennial_serving.model import Model, load
from perennial_serving.scorers import ModelError, OnnxScorer
from tests.unit.serving.support import (
    CLIENT,
    FIXTURE,
    MODEL,
    PATIENT,
    artifacts,
    environment,
    named,
    outputs,
    serving,
    total,
)

FEATURES = 13
FLOAT = TensorProto.FLOAT
ABOUT = ("signature.json", "baseline.json")


def graph(
    *nodes: Any,
    taken: tuple[str, int, list[Any]] = ("input", FLOAT, ["batch_size", FEATURES]),
    given: tuple[tuple[str, int, list[Any]], ...] = (("output", FLOAT, ["batch_size", 2]),),
    width: int = 2,
    kind: Any = np.float32,
) -> bytes:
    """A graph over the weights ``W`` [13, width], which see the first feature (the age) alone, and the bias ``B``."""
    weights = np.zeros((FEATURES, width), dtype=kind)
    weights[0, -1] = 0.01
    bias = np.full(width, -0.5, dtype=kind)
    values = [numpy_helper.from_array(weights, "W"), numpy_helper.from_array(bias, "B")]
    made = helper.make_graph(
        list(nodes),
        "main_graph",
        [helper.make_tensor_value_info(*taken)],
        [helper.make_tensor_value_info(*item) for item in given],
        values,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def linear(into: str, name: str = "input") -> Any:
    return helper.make_node("Gemm", [name, "W", "B"], [into])


def torch_softmax(batch: Any = "batch_size") -> bytes:
    """As ``torch.onnx.export(model, x, input_names=["input"], output_names=["output"], dynamic_axes=…)`` writes it."""
    return graph(
        linear("/fc/Gemm_output_0"),
        helper.make_node("Softmax", ["/fc/Gemm_output_0"], ["output"], axis=1),
        taken=("input", FLOAT, [batch, FEATURES]),
        given=(("output", FLOAT, [batch, 2]),),
    )


def keras_sigmoid(shape: tuple[Any, ...] = ("unk__7", 1)) -> bytes:
    """As tf2onnx writes a Sequential with one sigmoid unit at its end."""
    nodes = [
        helper.make_node("MatMul", ["dense_input", "W"], ["sequential/dense/MatMul:0"]),
        helper.make_node("Add", ["sequential/dense/MatMul:0", "B"], ["sequential/dense/BiasAdd:0"]),
        helper.make_node("Sigmoid", ["sequential/dense/BiasAdd:0"], ["dense" if len(shape) == 2 else "wide"]),
    ]
    if len(shape) == 1:
        nodes.append(helper.make_node("Reshape", ["wide", "flat"], ["dense"]))
        nodes.insert(0, helper.make_node("Constant", [], ["flat"], value_ints=[-1]))
    return graph(
        *nodes,
        taken=("dense_input", FLOAT, ["unk__6", FEATURES]),
        given=(("dense", FLOAT, list(shape)),),
        width=1,
    )


def served(model: bytes) -> Model:
    return load({"model.onnx": model} | {name: (FIXTURE / name).read_bytes() for name in ABOUT})


def patients(*ages: float) -> Any:
    rows = np.full((len(ages), FEATURES), -1.0)
    rows[:, 0] = ages
    return rows


def expected(*ages: float) -> Any:
    """softmax(-0.5, z) and sigmoid(z - 0.5) are one: z is a hundredth of the age."""
    return pytest.approx([1 / (1 + np.exp(0.5 - 0.01 * age)) for age in ages], abs=1e-6)


def test_a_softmax_as_torch_exports_it() -> None:
    scorer = OnnxScorer(torch_softmax())
    positive = scorer.probabilities(patients(20, 80).astype(np.float32))[:, 1]
    assert positive.tolist() == pytest.approx([1 / (1 + np.exp(-0.01 * age)) for age in (20, 80)], abs=1e-6)
    assert served(torch_softmax()).predict(patients(20, 80)).positive == pytest.approx(positive.tolist())


@pytest.mark.parametrize("shape", [("unk__7", 1), ("unk__7",)])
def test_a_sigmoid_as_keras_exports_it_is_the_second_of_two_classes(shape: tuple[Any, ...]) -> None:
    prediction = served(keras_sigmoid(shape)).predict(patients(20, 80))
    assert prediction.positive == expected(20, 80)
    assert prediction.predicted == [0, 1]


def test_a_graph_for_one_row_is_run_row_by_row() -> None:
    model = served(torch_softmax(batch=1))
    assert model.scorer.row_by_row
    alone = [model.predict(patients(age)).positive[0] for age in (20, 50, 80)]
    assert model.predict(patients(20, 50, 80)).positive == alone


def test_the_named_output_is_taken_among_others() -> None:
    model = graph(
        linear("logits"),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        given=(("logits", FLOAT, ["n", 2]), ("probabilities", FLOAT, ["n", 2])),
    )
    assert served(model).predict(patients(50)).positive == pytest.approx([1 / (1 + np.exp(-0.5))])


def casted(kind: int, dtype: Any) -> bytes:
    return graph(
        helper.make_node("Cast", ["input"], ["x"], to=FLOAT),
        helper.make_node("Gemm", ["x", "W", "B"], ["z"]),
        helper.make_node("Softmax", ["z"], ["output"]),
        taken=("input", kind, ["n", FEATURES]),
    )


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (casted(TensorProto.DOUBLE, np.float64), r"its input 'input' is a tensor\(double\); export it with float32"),
        (casted(TensorProto.INT64, np.int64), r"its input 'input' is a tensor\(int64\); export it with float32"),
        (graph(linear("output")), r"do not add up to 1; a graph that gives logits needs a softmax"),
        (torch_softmax(batch=16), "takes batches of 16 rows alone; export it with a dynamic batch axis"),
        (
            graph(
                linear("a"),
                helper.make_node("Softmax", ["a"], ["b"]),
                given=(("a", FLOAT, ["n", 2]), ("b", FLOAT, ["n", 2])),
            ),
            r"gives a \(tensor\(float\)\), b \(tensor\(float\)\); expected is 'probabilities'",
        ),
        (
            graph(
                helper.make_node("Flatten", ["input"], ["x"]),
                linear("z", "x"),
                helper.make_node("Softmax", ["z"], ["output"]),
                taken=("input", FLOAT, ["n", 1, FEATURES]),
            ),
            r"its input 'input' has shape \['n', 1, 13\], not \[rows, features\]",
        ),
        (
            graph(
                linear("z"), helper.make_node("Softmax", ["z"], ["output"]), width=3,
                given=(("output", FLOAT, ["n", 3]),),
            ),
            r"its probabilities have shape \[1, 3\], the signature has 2 classes",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_refused_with_what_to_do(model: bytes, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        served(model)


def estimator(kind: str = "classifier") -> bytes:
    import skops.io
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer
    from sklearn.semi_supervised import LabelSpreading

    rows = patients(*range(20, 80))
    target = (rows[:, 0] > 50).astype(int)
    if kind == "unknown":
        return bytes(skops.io.dumps(make_pipeline(FunctionTransformer(shutil.which), Ridge())))
    age = ColumnTransformer([("age", "passthrough", [0])])
    last = LabelSpreading(kernel="knn", n_neighbors=5) if kind == "classifier" else Ridge()
    return bytes(skops.io.dumps(make_pipeline(age, last).fit(rows, target)))


def fitted(content: bytes) -> Model:
    return load({"model.skops": content} | {name: (FIXTURE / name).read_bytes() for name in ABOUT})


def test_an_estimator_without_onnx_form_is_served_from_skops() -> None:
    model = fitted(estimator())
    assert model.scorer.aside
    assert model.predict(patients(22, 78)).predicted == [0, 1]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda: estimator("unknown"), r"model\.skops: it holds types that are not trusted: shutil\.which"),
        (lambda: estimator("regressor"), r"model\.skops: a Pipeline has no predict_proba"),
        (lambda: b"PK\x03\x04 no archive", r"model\.skops: skops cannot read it"),
    ],
)
def test_a_file_that_is_no_trusted_classifier_is_refused(content: Any, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        fitted(content())


def test_a_pod_serves_an_estimator_and_stays_responsive(tmp_path: Path) -> None:
    for name in ABOUT:
        shutil.copy(FIXTURE / name, tmp_path)
    (tmp_path / "model.skops").write_bytes(estimator())
    recorded = json.dumps(artifacts(tmp_path, ("model.skops", *ABOUT)))
    with serving(
        tmp_path, ready_seconds=120, PERENNIAL_ARTIFACTS=recorded, PERENNIAL_MODEL_DIR=str(tmp_path)
    ) as server:
        found = outputs(server.infer(named(PATIENT | {"age": 78}, PATIENT | {"age": 22})))
        assert found["predicted"] == ["1", "0"]
        assert CLIENT.get(f"{server.url}/v2/models/{MODEL}").json()["platform"] == "sklearn_skops"
        assert total(server.metrics(), "perennial_requests_total", code="200") == 1
        assert total(server.metrics(), "perennial_predictions_total") == 2


def test_who_serves_onnx_does_not_pay_for_scikit_learn(tmp_path: Path) -> None:
    told = (
        "import os, sys; from perennial_serving import __main__ as main, settings\n"
        "main.build(settings.load_settings(os.environ))\n"
        "print('sklearn' in sys.modules, 'onnxruntime' in sys.modules)"
    )
    env = environment(tmp_path)
    ended = subprocess.run([sys.executable, "-c", told], env=env, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["False", "True"]
