"""Every estimator of the catalog answers alike once exported, whatever its features went through, and its file depends
on the rows alone.
"""

import io
import zipfile
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
import skops.io
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from perennial.contracts import estimator
from perennial.contracts.request import CLASSIFIERS, REGRESSORS, Algorithm, Preprocessing
from perennial.contracts.signature import Input, Signature, Task
from perennial_components.threads import single_threads
from perennial_components.tune.catalog import CATALOG
from perennial_components.tune.estimators import fit, make
from perennial_components.tune.file import canonical, without_rests
from tests.unit.components.support import export_of

FEW: dict[str, dict[str, Any]] = {
    "HistGradientBoosting": {"max_iter": 15},
    "GradientBoosting": {"n_estimators": 15},
    "RandomForest": {"n_estimators": 10},
    "ExtraTrees": {"n_estimators": 10},
    "MLP": {"max_iter": 40, "hidden_layer_sizes": 8},
}
TASKS: tuple[Task, ...] = ("Classification", "Regression")
EVERY = [(task, name) for task in TASKS for name, each in CATALOG.items() if each.knows(task)]


def rows(task: Task, classes: int = 3, count: int = 300) -> tuple[NDArray[np.float32], NDArray[Any], Signature]:
    """Numbers of very different sizes, two columns with missing cells, and two categories, one of them never seen."""
    random = np.random.default_rng(3)
    features = random.normal(size=(count, 5)).astype(np.float32)
    features[:, 1] = 1e5 + 1e3 * features[:, 1]
    features[:, 2] = np.round(features[:, 2])
    features[random.random(count) < 0.1, 0] = np.nan
    features[:, 4] = random.integers(-1, 3, count)
    inputs = (*(Input(f"x{i}", "Numeric") for i in range(4)), Input("c", "Categorical", ("a", "b", "c", "unseen")))
    truth = np.nan_to_num(features[:, 0]) + (features[:, 1] - 1e5) / 1e3 + features[:, 4]
    if task == "Regression":
        return features, 500 + 100 * truth, Signature(task, inputs, "y", (), 0)
    target = np.digitize(truth + random.normal(size=count), np.quantile(truth, np.arange(1, classes) / classes))
    return features, target, Signature(task, inputs, "y", tuple(map(str, range(classes))))


def fitted(
    task: Task, name: str, wanted: Preprocessing, classes: int = 3
) -> tuple[Pipeline, NDArray[np.float32], float]:
    """The estimator, the rows it was fitted on, and the target's spread."""
    features, target, signature = rows(task, classes)
    model = make(name, FEW.get(name, {}), signature, features, weight="None", seed=1, preprocessing=wanted)
    with single_threads():
        return fit(model, name, features, target), features, float(target.std())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("encoding", ["OneHot", "Ordinal", "Target"])
@pytest.mark.parametrize(("task", "name"), EVERY)
def test_the_export_answers_alike(task: Task, name: str, encoding: Any) -> None:
    # skl2onnx knows the target's mean in a category of two classes, but not of more.
    model, features, spread = fitted(task, name, Preprocessing(encoding=encoding), 2 if encoding == "Target" else 3)
    unseen = features.copy()
    unseen[:, 4] = 3
    _, found = export_of(model, np.vstack([features, unseen]), spread if task == "Regression" else None)
    assert found.reason == ""
    assert found.difference is not None
    assert found.difference < 1e-4


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "wanted",
    [
        *(Preprocessing(imputation=each, fill=-7) for each in ("Mean", "MostFrequent", "Constant")),
        *(Preprocessing(scaling=each) for each in ("MinMax", "Robust", "None")),
    ],
    ids=lambda each: each.imputation or each.scaling,
)
@pytest.mark.parametrize("name", ["LogisticRegression", "HistGradientBoosting", "ExtraTrees"])
def test_imputation_and_scaling_export_too(name: str, wanted: Preprocessing) -> None:
    model, features, _ = fitted("Classification", name, wanted, classes=2)
    assert export_of(model, features)[1].reason == ""


def test_trees_see_numbers_unscaled() -> None:
    model, _, _ = fitted("Classification", "RandomForest", Preprocessing(scaling="Standard"))
    assert [step for step, _ in model[0].named_transformers_["numbers"].steps] == ["impute"]


def test_thresholds_between_neighbouring_numbers_go_the_same_way() -> None:
    signature = rows("Classification", 2)[2]
    value = np.nextafter(np.float32(1e6), np.float32(np.inf))
    after = np.nextafter(value, np.float32(np.inf))
    assert np.float32((float(value) + float(after)) / 2) == after, "rounded, the middle is the upper one"
    features = np.zeros((80, 5), dtype=np.float32)
    features[:, 1] = np.repeat([value, after], 40)
    target = np.repeat([0, 1], 40)
    model = make("HistGradientBoosting", {"max_iter": 5}, signature, features, weight="None", seed=1)
    fit(model, "HistGradientBoosting", features, target)
    onnx, found = export_of(model, features)
    assert onnx is not None, found.reason
    assert model.predict(features).tolist() == target.tolist()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("task", "name"), EVERY)
def test_equal_fits_are_equal_files_that_are_trusted(task: Task, name: str) -> None:
    first, features, _ = fitted(task, name, Preprocessing())
    second, _, _ = fitted(task, name, Preprocessing())
    made = [canonical(skops.io.dumps(model)) for model in (first, second)]
    assert made[0] == made[1]
    assert canonical(made[0]) == made[0]
    again = estimator.load(made[0])
    np.testing.assert_array_equal(again.predict(features), first.predict(features))


def test_a_file_has_neither_time_nor_addresses() -> None:
    model, _, _ = fitted("Classification", "GaussianNB", Preprocessing())
    with zipfile.ZipFile(io.BytesIO(canonical(skops.io.dumps(model)))) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist()[0] == "0.npy"


def test_what_lies_between_the_fields_of_an_array_does_not_enter_its_file() -> None:
    gaps = np.dtype({"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [0, 8], "itemsize": 16})
    arrays = [np.frombuffer(bytes([fill]) * 32, np.uint8).copy().view(gaps) for fill in (1, 2)]
    for array in arrays:
        array["a"], array["b"] = 3, 0.5
    written = [io.BytesIO() for _ in arrays]
    for array, file in zip(arrays, written, strict=True):
        np.save(file, array)
    assert written[0].getvalue() != written[1].getvalue()
    first, second = (without_rests(file.getvalue()) for file in written)
    assert first == second
    np.testing.assert_array_equal(np.load(io.BytesIO(first)), arrays[0])


def test_the_dummy_says_the_shares_or_the_mean() -> None:
    model, features, _ = fitted("Classification", "Dummy", Preprocessing())
    shares = np.bincount(rows("Classification")[1]) / 300
    np.testing.assert_allclose(model.predict_proba(features[:1])[0], shares)
    model, features, _ = fitted("Regression", "Dummy", Preprocessing())
    assert model.predict(features[:1])[0] == pytest.approx(rows("Regression")[1].mean())


@pytest.mark.parametrize("name", ["Lasso", "ElasticNet", "SVR", "MLP"])
def test_what_parameters_do_does_not_depend_on_the_targets_unit(name: str) -> None:
    features, target, signature = rows("Regression")
    small, large = (
        fit(
            make(name, FEW.get(name, {}), signature, features, weight="None", seed=1), name, features, target * unit + 3
        ).predict(features)
        for unit in (1e-3, 1e3)
    )
    np.testing.assert_allclose((small - 3) / 1e-3, (large - 3) / 1e3, rtol=1e-2, atol=5)


def test_the_catalog_is_what_a_request_may_name() -> None:
    assert set(CATALOG) == set(get_args(Algorithm))
    assert {name for name, each in CATALOG.items() if not each.knows("Regression")} == set(CLASSIFIERS)
    assert {name for name, each in CATALOG.items() if not each.knows("Classification")} == set(REGRESSORS)
    for each in CATALOG.values():
        for parameter in each.parameters.values():
            if parameter.space:
                assert parameter.start is not None
                assert parameter.space.low <= parameter.start <= parameter.space.high
            assert msgspec.json.encode(parameter.meaning)
