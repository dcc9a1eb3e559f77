"""How sure the figures are: weighted metrics against scikit-learn's, intervals and gains against known answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from perennial.contracts.signature import Signature
from perennial_components.evaluate import bootstrap
from perennial_components.evaluate.metrics import figures
from perennial_components.evaluate.weighted import statistics

NUMBER = Signature("Regression", (), "y", ())


def classes(count: int) -> Signature:
    return Signature("Classification", (), "y", tuple(map(str, range(count))))


@st.composite
def measured(draw: st.DrawFn) -> tuple[Signature, np.ndarray, np.ndarray]:
    """Rows of either task, with tied scores, absent classes and targets of 0 among them."""
    count = draw(st.sampled_from([0, 2, 3]))
    rows = draw(st.integers(1, 30))
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    if count == 0:
        return NUMBER, random.integers(-2, 3, rows).astype(float), random.normal(size=(rows, 1))
    raw = random.integers(1, 6, (rows, count)).astype(float)
    return classes(count), random.integers(0, count, rows), raw / raw.sum(axis=1, keepdims=True)


@settings(max_examples=150, deadline=None)
@given(measured(), st.integers(0, 2**16))
def test_a_weight_counts_a_row_as_often(rows: tuple[Signature, np.ndarray, np.ndarray], seed: int) -> None:
    signature, target, answers = rows
    weights = np.random.default_rng(seed).integers(0, 3, len(target))
    weights[0] += 1
    repeated = np.repeat(np.arange(len(target)), weights)
    wanted = figures(signature, target[repeated], answers[repeated])
    if np.any(target == 0):
        wanted.pop("mape", None)  # of the rows as they are it is undefined
    found = {
        name: float(value[0]) for name, value in statistics(signature, target, answers)(weights[None] * 1.0).items()
    }
    assert {name: value for name, value in found.items() if np.isfinite(value)} == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    ("positive", "target", "error"),
    [
        ([0.1, 0.1, 0.9, 0.9], [0, 0, 1, 1], 0.1),
        ([0.8, 0.8, 0.8, 0.8, 0.8], [1, 1, 1, 1, 0], 0.0),
        ([0.25, 0.28, 0.71], [1, 0, 1], (abs(0.53 - 1) + abs(0.71 - 1)) / 3),
        ([1.0, 1.0], [0, 1], 0.5),
    ],
)
def test_the_calibration_error_by_hand(positive: list[float], target: list[int], error: float) -> None:
    of = np.array(positive)
    assert figures(classes(2), np.array(target), np.column_stack([1 - of, of]))["calibration_error"] == pytest.approx(
        error
    )


def test_with_more_classes_the_calibration_error_is_of_the_answer() -> None:
    said = np.array([[0.75, 0.25, 0.0], [0.75, 0.25, 0.0], [0.0, 0.45, 0.55]])
    # Bin of 0.75: one of two is right; bin of 0.55: right.
    wanted = (2 * abs(0.75 - 0.5) + abs(0.55 - 1)) / 3
    assert figures(classes(3), np.array([0, 1, 2]), said)["calibration_error"] == pytest.approx(wanted)


@pytest.mark.parametrize("rows", [400, 80_000])
def test_the_interval_of_an_accuracy_is_the_binomial_one(rows: int) -> None:
    right = np.arange(rows) % 5 != 0
    answers = np.column_stack([np.where(right, 0.9, 0.1), np.where(right, 0.1, 0.9)])
    found = bootstrap.intervals(classes(2), np.zeros(rows, dtype=int), answers, seed=7)["accuracy"]
    low, high = binom.ppf([0.025, 0.975], rows, 0.8) / rows
    slack = 0.2 * (high - low) / 2
    assert (found.low, found.high) == (pytest.approx(low, abs=slack), pytest.approx(high, abs=slack))


def test_intervals_are_the_same_in_every_replay_and_hold_the_figure() -> None:
    random = np.random.default_rng(3)
    raw = random.random(500)
    target = (random.random(500) < raw).astype(int)
    answers = np.column_stack([1 - raw, raw])
    found = bootstrap.intervals(classes(2), target, answers, seed=7)
    assert found == bootstrap.intervals(classes(2), target, answers, seed=7)
    assert found != bootstrap.intervals(classes(2), target, answers, seed=8)
    whole = figures(classes(2), target, answers)
    assert set(found) == set(whole)
    assert all(found[name].low <= value <= found[name].high for name, value in whole.items())


def test_what_few_rows_of_a_class_cannot_bear_has_no_interval() -> None:
    target = np.array([1] + [0] * 40)
    answers = np.column_stack([np.linspace(0.1, 0.9, 41), np.linspace(0.9, 0.1, 41)])
    found = bootstrap.intervals(classes(2), target, answers, seed=7)
    assert "accuracy" in found
    assert "recall" not in found, "a third of the draws have no row of the class"


@pytest.mark.parametrize(
    ("won", "lost", "probability"), [(10, 0, 1 - 1 / 1024), (8, 2, 1 - 56 / 1024), (3, 3, 22 / 64), (0, 0, 0.5)]
)
def test_mcnemar_by_hand(won: int, lost: int, probability: float) -> None:
    mine = np.array([True] * won + [False] * lost + [True, False])
    its = np.array([False] * won + [True] * lost + [True, False])
    assert bootstrap.mcnemar(mine, its) == pytest.approx(probability)


def pair(better: float, rows: int = 300, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A target, and the predictions of two models whose errors are drawn with deviations 1 and ``better``."""
    random = np.random.default_rng(seed)
    target = random.normal(size=rows) + 10
    return target, (target + better * random.normal(size=rows))[:, None], (target + random.normal(size=rows))[:, None]


def test_a_gain_by_the_paired_bootstrap_is_the_normal_one_of_the_row_differences() -> None:
    target, mine, its = pair(0.8)
    found = bootstrap.gain(NUMBER, target, (mine, its), "mae", 0.0, seed=7)
    assert found is not None
    differences = np.abs(its[:, 0] - target) - np.abs(mine[:, 0] - target)
    spread = differences.std() / np.sqrt(len(differences))
    assert found.value == pytest.approx(differences.mean())
    assert found.low == pytest.approx(differences.mean() - 1.96 * spread, abs=0.2 * spread)
    assert found.high == pytest.approx(differences.mean() + 1.96 * spread, abs=0.2 * spread)
    assert found.probability > 0.99
    back = bootstrap.gain(NUMBER, target, (its, mine), "mae", 0.0, seed=7)
    assert back is not None
    assert (back.value, back.probability) == (pytest.approx(-found.value), pytest.approx(1 - found.probability))


def test_two_models_that_answer_alike_have_one_half_and_a_margin_decides() -> None:
    target, mine, _ = pair(1.0)
    chances = {least: bootstrap.gain(NUMBER, target, (mine, mine), "rmse", least, seed=7) for least in (0.0, 0.1, -0.1)}
    assert {least: found and found.probability for least, found in chances.items()} == {0.0: 0.5, 0.1: 0.0, -0.1: 1.0}


def test_the_accuracy_is_judged_by_mcnemar_where_nothing_more_is_asked_for() -> None:
    target = np.zeros(50, dtype=int)
    mine = np.column_stack([np.full(50, 0.9), np.full(50, 0.1)])
    its = mine.copy()
    its[:6] = its[:6, ::-1]
    found = bootstrap.gain(classes(2), target, (mine, its), "accuracy", 0.0, seed=7)
    margin = bootstrap.gain(classes(2), target, (mine, its), "accuracy", 0.05, seed=7)
    assert found is not None
    assert margin is not None
    assert (found.method, found.probability, found.value) == ("McNemar", 1 - 1 / 64, pytest.approx(0.12))
    assert (margin.method, margin.value) == ("PairedBootstrap", found.value)
    assert bootstrap.gain(classes(2), target, (mine, its), "roc_auc", 0.0, seed=7) is None, "there is one class alone"


def test_rows_of_a_few_groups_tell_less_than_as_many_rows() -> None:
    random = np.random.default_rng(5)
    groups = np.repeat(np.arange(20), 50)
    target = np.zeros(1000, dtype=int)
    wrong = (random.random(20) < 0.3)[groups]
    answers = np.column_stack([np.where(wrong, 0.2, 0.8), np.where(wrong, 0.8, 0.2)])
    rows = bootstrap.intervals(classes(2), target, answers, 7)["accuracy"]
    whole = bootstrap.intervals(classes(2), target, answers, 7, groups)["accuracy"]
    share = 1 - wrong.mean()
    low, high = binom.ppf([0.025, 0.975], 20, share) / 20
    assert (whole.low, whole.high) == (pytest.approx(low, abs=0.051), pytest.approx(high, abs=0.051))
    assert whole.high - whole.low > 5 * (rows.high - rows.low)
    found = bootstrap.gain(classes(2), target, (answers, answers[:, ::-1]), "accuracy", 0.0, 7, groups)
    assert found is not None
    assert found.method == "PairedBootstrap", "McNemar's test takes rows for independent"


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_few_groups_do_not_tell_how_sure_a_figure_is(groups: int) -> None:
    target, mine, its = pair(0.8)
    whose = np.arange(len(target)) % groups
    assert bootstrap.intervals(NUMBER, target, mine, 7, whose) == {}
    assert bootstrap.gain(NUMBER, target, (mine, its), "mae", 0.0, 7, whose) is None
    assert bootstrap.intervals(NUMBER, target, mine, 7, np.arange(len(target)) % 5)
