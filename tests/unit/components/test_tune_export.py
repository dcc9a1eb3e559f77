"""The search is a function of data and seed; what is exported answers as what was fitted."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.semi_supervised import LabelSpreading

from perennial.contracts.estimator import EstimatorError
from perennial.contracts.request import Candidate, SearchRange
from perennial.contracts.signature import Signature
from perennial_components.export import core as exporting
from perennial_components.export.core import check_parity, convert
from perennial_components.export.estimator import load_estimator, save_estimator
from perennial_components.failure import RunError
from perennial_components.inference import probabilities_of
from perennial_components.records import Tuned
from perennial_components.storage import Encoded
from perennial_components.threads import threads_for
from perennial_components.tune.core import tune
from perennial_components.tune.estimators import make
from tests.unit.components.support import BOOSTING, DATA, LOGISTIC, export_of, prepared, request

EVERYONE = request(source=f"file://{DATA}/*.csv")


Prepared = tuple[pd.DataFrame, Encoded, Signature]


def untimed(tuned: Tuned) -> Tuned:
    """``tuned`` without how long each trial took."""
    trials = tuple(msgspec.structs.replace(trial, seconds=0.0) for trial in tuned.trials)
    return msgspec.structs.replace(tuned, trials=trials)


@pytest.fixture(scope="module")
def hospitals() -> Prepared:
    return prepared(EVERYONE)


def test_the_same_data_and_seed_give_the_same_model(hospitals: Prepared) -> None:
    _, rows, signature = hospitals
    asked = request(candidates=(LOGISTIC, BOOSTING), trials=4)
    first, second = (tune(asked, signature, rows) for _ in range(2))
    assert untimed(first[1]) == untimed(second[1])
    np.testing.assert_array_equal(first[2].answers, second[2].answers)
    assert convert(first[0], 13, "m") == convert(second[0], 13, "m")
    assert sum(candidate.trials for candidate in first[1].candidates) == len(first[1].trials) == 4


def test_the_winner_has_the_best_score_by_the_metrics_direction(hospitals: Prepared) -> None:
    _, rows, signature = hospitals
    bad, good = Candidate("LogisticRegression", {"C": 1e-6}), Candidate("LogisticRegression", {"C": 0.1})
    for metric in ("roc_auc", "log_loss"):
        asked = request(candidates=(bad, good), metric=metric, imbalance="None")
        assert tune(asked, signature, rows)[1].winner == 1


@pytest.mark.parametrize("candidate", [Candidate("LogisticRegression"), Candidate("HistGradientBoosting")])
@pytest.mark.parametrize("source", ["cleveland", "hungarian", "switzerland", "va", "*"])
def test_parity_on_the_real_hospitals(candidate: Candidate, source: str) -> None:
    _, rows, signature = prepared(request(source=f"file://{DATA}/{source}.csv"))
    with threads_for(920):
        training = rows.features[~rows.held]
        model = make(candidate.algorithm, {}, signature, training, weight="ClassWeight", seed=7)
        model.fit(training, rows.target[~rows.held])
        exported = convert(model, 13, "heart")
        assert exported == convert(model, 13, "heart")
        assert check_parity(model.predict_proba(rows.features), exported, rows.features).difference < 1e-5
    label, probabilities = probabilities_of(exported, rows.features[:2])
    assert label.dtype == np.int64
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (2, 2)


def test_an_export_that_answers_otherwise_is_refused(hospitals: Prepared) -> None:
    _, rows, signature = hospitals
    one, other = (
        make("LogisticRegression", {"C": c}, signature, rows.features, weight="None", seed=1).fit(
            rows.features, rows.target
        )
        for c in (0.01, 10.0)
    )
    with pytest.raises(RunError, match="differs from the estimator by up to 0") as error:
        check_parity(one.predict_proba(rows.features), convert(other, 13, "m"), rows.features)
    assert error.value.reason == "ExportMismatch"
    assert exporting.TOLERANCE == 1e-4


def test_a_model_without_onnx_form_is_served_as_it_is(hospitals: Prepared, tmp_path: Path) -> None:
    _, rows, signature = hospitals
    linear = make("LogisticRegression", {}, signature, rows.features, weight="None", seed=1)
    model = Pipeline([("features", linear.named_steps["features"]), ("model", LabelSpreading(kernel="knn"))])
    model.fit(rows.features[:200], rows.target[:200])
    onnx, found = export_of(model, rows.features)
    assert onnx is None
    assert found.reason.startswith("it has no ONNX form: ")
    assert found.difference is None, "nothing was compared"
    assert "LabelSpreading" in found.reason
    save_estimator(model, str(tmp_path / "m.skops"))
    _, probabilities = probabilities_of((tmp_path / "m.skops").read_bytes(), rows.features)
    np.testing.assert_allclose(probabilities, model.predict_proba(rows.features), atol=1e-6)


def test_a_model_that_exports_otherwise_is_served_as_it_is(
    hospitals: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, rows, signature = hospitals
    model = make("LogisticRegression", {}, signature, rows.features, weight="None", seed=1)
    model.fit(rows.features, rows.target)
    onnx, found = export_of(model, rows.features)
    assert onnx == convert(model, 13, "m")
    assert found.reason == ""
    monkeypatch.setattr(exporting, "TOLERANCE", 0.0)
    onnx, found = export_of(model, rows.features)
    assert onnx is None
    assert found.reason.startswith("the exported model differs from the estimator")
    assert found.difference is None, "what is served is the estimator itself"


@pytest.mark.parametrize(
    "estimator",
    [
        MLPClassifier((3,), max_iter=3),
        MLPClassifier((3,), max_iter=3, solver="sgd"),
        MLPClassifier((3,), max_iter=3, solver="lbfgs"),
        *(CalibratedClassifierCV(GaussianNB(), method=method) for method in ("sigmoid", "isotonic", "temperature")),
        CalibratedClassifierCV(GaussianNB(), ensemble=False),
    ],
    ids=lambda estimator: (
        f"{type(estimator).__name__}-{getattr(estimator, 'solver', getattr(estimator, 'method', ''))}"
    ),
)
@pytest.mark.filterwarnings("ignore")
def test_estimators_of_several_parts_are_read_again(estimator: Any, tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(120, 4)).astype(np.float32)
    fitted = estimator.fit(rows, (rows[:, 0] > 0).astype(int))
    save_estimator(fitted, str(tmp_path / "m.skops"))
    again = load_estimator(str(tmp_path / "m.skops"))
    np.testing.assert_array_equal(again.predict_proba(rows), fitted.predict_proba(rows))


def test_types_that_nobody_vouches_for_are_refused(tmp_path: Path) -> None:
    model = Pipeline([("f", FunctionTransformer(os.path.basename)), ("m", LogisticRegression())])
    save_estimator(model, str(tmp_path / "m.skops"))
    with pytest.raises(EstimatorError, match=r"types that are not trusted: .*basename"):
        load_estimator(str(tmp_path / "m.skops"))


def test_three_classes_export_too(hospitals: Prepared) -> None:
    table, _, _ = hospitals
    asked = msgspec.structs.replace(
        EVERYONE, target=msgspec.structs.replace(EVERYONE.target, column="cp", above=None), categorical=("sex",)
    )
    from perennial_components.split.core import split

    rows, signature = split(asked, table)
    assert signature.classes == ("1", "2", "3", "4")
    model, _, out_of_fold = tune(asked, signature, rows)
    assert out_of_fold.answers.shape[1] == 4
    check_parity(model.predict_proba(rows.features), convert(model, 7, "cp"), rows.features)


def test_the_estimator_survives_its_file(hospitals: Prepared, tmp_path: Path) -> None:
    _, rows, signature = hospitals
    model = make("HistGradientBoosting", {"max_iter": 5}, signature, rows.features, weight="None", seed=1)
    model.fit(rows.features, rows.target)
    save_estimator(model, str(tmp_path / "m.skops"))
    again = load_estimator(str(tmp_path / "m.skops"))
    np.testing.assert_array_equal(model.predict_proba(rows.features), again.predict_proba(rows.features))


_EXPORT = """
from perennial.contracts import objects
from perennial_components.export.core import convert
from perennial_components.export.estimator import load_estimator
import sys
print(objects.sha256(convert(load_estimator(sys.argv[1]), 13, "m")))
"""


def test_every_process_exports_the_same_bytes(hospitals: Prepared, tmp_path: Path) -> None:
    _, rows, signature = hospitals
    model = make("LogisticRegression", {}, signature, rows.features, weight="None", seed=1)
    save_estimator(model.fit(rows.features, rows.target), str(tmp_path / "m.skops"))
    digests = {
        subprocess.check_output(
            [sys.executable, "-c", _EXPORT, str(tmp_path / "m.skops")],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for seed in ("1", "2")
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"candidates": (Candidate("HistGradientBoosting", {"learning_rat": 1}),)},
            "HistGradientBoosting has no parameter 'learning_rat' (did you mean 'learning_rate'?); it has: ",
        ),
        (
            {"candidates": (Candidate("LogisticRegression", search={"c": SearchRange(1, 2)}),)},
            "LogisticRegression has no parameter 'c'",
        ),
        ({"candidates": (Candidate("LogisticRegression", {"C": "big"}),)}, "LogisticRegression: 'C' cannot be 'big'"),
        (
            {"candidates": (Candidate("LogisticRegression", {"C": -1.0}),)},
            "LogisticRegression: 'C' cannot be -1.0: it is a number above 0",
        ),
        (
            {"candidates": (Candidate("MLP", {"activation": "relo"}),)},
            "MLP: 'activation' cannot be 'relo': it is relu or tanh or logistic or identity",
        ),
        (
            {"candidates": (Candidate("HistGradientBoosting", search={"early_stopping": SearchRange(0, 1)}),)},
            "HistGradientBoosting: 'early_stopping' is true or false: search it by choices",
        ),
        (
            {"candidates": (Candidate("LogisticRegression", search={"C": SearchRange(scale="Log")}),)},
            "LogisticRegression: search of 'C': give low and high, or choices",
        ),
        (
            {"candidates": (Candidate("LogisticRegression", {"C": 1}, {"C": SearchRange(1, 2)}),)},
            "LogisticRegression: 'C' is both fixed and searched",
        ),
        ({"candidates": (Candidate("Dummy", {"strategy": "x"}),)}, "Dummy has no parameter 'strategy'; it has none"),
        (
            {"candidates": (Candidate("LogisticRegression", search={"C": SearchRange(0, 2, "Log")}),)},
            "a range on a Log scale must start above 0, not at 0",
        ),
        ({"metric": "roc_acu"}, "Classification has no metric 'roc_acu' (did you mean 'roc_auc'?)"),
    ],
)
def test_settings_that_make_no_sense(hospitals: Prepared, changes: dict[str, Any], message: str) -> None:
    _, rows, signature = hospitals
    with pytest.raises(RunError) as error:
        tune(request(**changes), signature, rows)
    assert error.value.reason == "TrainingFailed"
    assert error.value.message.startswith(message)
