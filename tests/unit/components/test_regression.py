"""A regression from its CSV file to a registered model: errors, losses that are expected, and what is refused."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from perennial.contracts import objects
from perennial.contracts.baseline import VALUE, Baseline
from perennial.contracts.request import Candidate, Champion, Require, RunRequest, SearchRange, Target
from perennial.contracts.result import RunResult
from perennial.contracts.signature import Signature
from perennial_components.baseline.losses import loss_points
from perennial_components.check.core import check
from perennial_components.evaluate.errors import measure_errors
from perennial_components.export.core import check_values, convert
from perennial_components.failure import RunError
from perennial_components.inference import values_of
from perennial_components.tune.core import tune
from perennial_components.tune.estimators import make
from tests.unit.components.pipeline import run_here
from tests.unit.components.support import BOOSTING, LOGISTIC, prepared, request, text_table

DATA = Path(__file__).parents[3] / "examples" / "diabetes" / "diabetes.csv"
RIDGE = Candidate("Ridge", search={"alpha": SearchRange(0.01, 100, "Log")})


def asked(**changes: Any) -> RunRequest:
    """A run on the diabetes patients."""
    return request(
        **{
            "task": "Regression",
            "model": "diabetes",
            "source": f"file://{DATA}",
            "target": Target("progression"),
            "numeric": ("age", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
            "categorical": ("sex",),
            "imbalance": "None",
            "candidates": (RIDGE, BOOSTING),
            "metric": "rmse",
            "trials": 4,
            **changes,
        }
    )


def read(result: RunResult, name: str) -> bytes:
    """A file of the run, verified."""
    return objects.read_verified(result.artifacts[name], {})


def test_a_run_predicts_a_number_and_meets_the_run_before(tmp_path: Path) -> None:
    result = run_here(tmp_path / "1", asked(output=f"file://{tmp_path}/store/1"))
    assert set(result.metrics) == {"mae", "rmse", "r2", "mape"}
    assert result.metrics["r2"] > 0.35
    assert result.metrics["mae"] < result.metrics["rmse"] < 70
    assert (result.format, result.format_reason) == ("onnx", "")
    assert result.parity is not None
    assert result.parity < 1e-4
    signature = msgspec.json.decode(read(result, "signature.json"), type=Signature)
    assert (signature.task, signature.classes, signature.positive) == ("Regression", (), 0)
    answers = values_of(read(result, "model.onnx"), np.zeros((3, 10), dtype=np.float32))
    assert (answers.shape, answers.dtype) == ((3, 1), np.dtype(np.float32))
    reference = msgspec.json.decode(read(result, "baseline.json"), type=Baseline)
    trained = result.data.rows - result.data.test_rows
    assert (reference.predicted.bins, reference.predicted.counts) == ((VALUE,), (trained,))
    assert sum(reference.prediction.counts) == trained
    edges = reference.prediction.edges
    assert 9 <= len(edges) <= 33
    assert {edge % (edges[1] - edges[0]) for edge in edges} == {0.0}, "another version of like scale has them, too"
    assert reference.prediction.bins[3] == f"[{edges[0]:g},{edges[1]:g})"
    assert len(reference.prediction.quantiles) == 201
    assert (reference.calibration, reference.confusion) == ((), ())
    assert len(reference.losses) == trained // 50
    page = read(result, "report.html").decode()
    HTMLParser().feed(page)
    assert "predicts the number" in page
    assert "probabilit" not in page

    champion = Champion(
        "diabetes-v1", result.artifacts["model.onnx"], result.artifacts["signature.json"], asked().split
    )
    challenger = asked(candidates=(RIDGE,), trials=1, champion=champion, output=f"file://{tmp_path}/store/2")
    second = run_here(tmp_path / "2", challenger)
    assert second.champion is not None
    assert second.champion.metrics == result.metrics
    assert "diabetes-v1" in read(second, "report.html").decode()


@pytest.mark.parametrize("candidate", [RIDGE, BOOSTING])
def test_both_estimators_export_alike_where_cells_are_missing(candidate: Candidate) -> None:
    _, rows, signature = prepared(asked())
    features = rows.features.copy()
    features[::7, 2] = np.nan
    features[::5, 9] = -1
    model = make(candidate.algorithm, {}, signature, features, weight="None", seed=7).fit(features, rows.target)
    spread = float(rows.target.std())
    assert check_values(model.predict(features), convert(model, 10, "m"), features, spread).difference < 1e-5
    other = make(candidate.algorithm, {}, signature, features, weight="None", seed=7).fit(features, rows.target + 1)
    with pytest.raises(RunError, match="standard deviation"):
        check_values(model.predict(features), convert(other, 10, "m"), features, spread)


def test_errors_by_hand() -> None:
    found = measure_errors(np.array([1.0, 2.0, 4.0]), np.array([2.0, 2.0, 2.0]))
    assert found["mae"] == pytest.approx(1)
    assert found["rmse"] == pytest.approx((5 / 3) ** 0.5)
    assert found["mape"] == pytest.approx(0.5)
    assert found["r2"] == pytest.approx(1 - 5 / (14 / 3))
    assert set(measure_errors(np.array([0.0, 0.0]), np.array([1.0, 1.0]))) == {"mae", "rmse"}
    assert measure_errors(np.zeros(0), np.zeros(0)) == {}


def test_the_expected_loss_follows_the_noise_and_keeps_the_mean() -> None:
    random = np.random.default_rng(0)
    predictions = random.uniform(0, 10, 20_000)
    target = predictions + random.normal(0, 1 + predictions)
    points = loss_points(predictions, target)
    assert len(points) == 33
    at, absolute, squared = np.array(points).T
    assert np.all(np.diff(at) > 0)
    np.testing.assert_allclose(absolute, (1 + at) * (2 / np.pi) ** 0.5, rtol=0.12)
    errors = np.abs(predictions - target)
    assert np.interp(predictions, at, absolute).mean() == pytest.approx(errors.mean())
    assert np.interp(predictions, at, squared).mean() == pytest.approx((errors**2).mean())


def test_a_constant_prediction_and_one_without_error_have_their_points() -> None:
    (low, first, _), (high, second, _) = loss_points(np.full(30, 5.0), np.arange(30.0))
    assert low < high
    assert first == second > 0
    assert {point[1:] for point in loss_points(np.arange(30.0), np.arange(30.0))} == {(0.0, 0.0)}


def test_a_target_that_is_no_number_or_never_varies_is_refused() -> None:
    def refused(target: list[Any], **more: Any) -> str:
        table = text_table(x=[str(row) for row in range(30)], y=target)
        with pytest.raises(RunError) as error:
            check(asked(target=Target("y"), numeric=("x",), categorical=(), **more), table)
        return error.value.message

    assert "number: 2 rows fail, for example high" in refused(["high", "inf"] + ["1", "2"] * 14)
    assert "missing in 1 of 30 rows" in refused([None, "2"] + ["1", "2"] * 14)
    assert "is 3 in every row" in refused(["3"] * 30)
    asked_for_classes = refused([str(row) for row in range(30)], require=Require(min_rows_per_class=5))
    assert asked_for_classes.startswith("data.require.minRowsPerClass is for Classification")


def test_what_belongs_to_the_other_task_is_refused() -> None:
    _, rows, signature = prepared(asked())
    for change, said in (({"metric": "roc_auc"}, "no metric"), ({"candidates": (LOGISTIC,)}, "is for Classification")):
        with pytest.raises(RunError, match=said):
            tune(asked(**change), signature, rows)
