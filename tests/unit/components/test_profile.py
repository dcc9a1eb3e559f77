"""The profile's figures, counted in bins and found by hashes, are those of the plain way."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import r2_score, roc_auc_score

from perennial.contracts.signature import Input
from perennial_components.check import alone as module
from perennial_components.check.alone import Truth, alone, association
from perennial_components.check.repeats import duplicates, feature_hashes, shared
from perennial_components.storage import Encoded

NUMBER, CATEGORY = Input("x", "Numeric"), Input("x", "Categorical", ("a", "b", "c"))


def truth(target: Any, held: Any, classes: int) -> Truth:
    return Truth.of(Encoded(np.zeros((len(target), 1), np.float32), np.array(target), np.array(held)), classes)


VALUES = [np.nan, -1.0, 0.0, 1.0, 2.5]
ROWS = st.lists(st.tuples(st.sampled_from(VALUES), st.integers(0, 2), st.booleans()), min_size=4, max_size=60)
TRAINED = [(value, place % 3, False) for place, value in enumerate(VALUES)]
"""A training row of every value."""


def told(x: np.ndarray, target: np.ndarray, held: np.ndarray) -> np.ndarray:
    """The mean of the target among the training rows of each held-out row's value."""
    keys = np.nan_to_num(x, nan=99.0)
    return np.array([target[~held & (keys == key)].mean() for key in keys[held]])


@settings(max_examples=50, deadline=None)
@given(ROWS.map(lambda rows: [*TRAINED, *rows]))
def test_what_a_feature_tells_by_its_bins_is_what_its_values_means_tell(rows: list[tuple[float, int, bool]]) -> None:
    x, target, held = (np.array(each) for each in zip(*rows, strict=True))
    if not held.any():
        return
    encoded = x.astype(np.float32)
    found = alone(NUMBER, encoded, truth(target, held, 3))
    scores = []
    for place in range(3):
        mine = (target == place).astype(float)
        if 0 < mine[held].sum() < held.sum():
            auc = roc_auc_score(mine[held], told(x, mine, held))
            scores.append(max(auc, 1 - auc))
    assert found == (pytest.approx(np.mean(scores)) if scores else None)
    share = alone(CATEGORY, np.nan_to_num(encoded, nan=-1.0), truth(target.astype(float), held, 0))
    if held.sum() < 2 or np.ptp(target[held]) == 0:
        assert share is None
        return
    whole = told(np.nan_to_num(x, nan=-1.0), target.astype(float), held)
    assert share == pytest.approx(max(0.0, r2_score(target[held], whole)), abs=1e-9)


def test_of_many_rows_those_that_are_ranked_say_it(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    x = random.normal(size=4000).astype(np.float32)
    how = truth(np.exp(4 * x.astype(np.float64)), random.random(4000) < 0.5, 0)
    assert alone(NUMBER, x, how) == pytest.approx(1.0)
    monkeypatch.setattr(module, "RANKED", 500)
    assert alone(NUMBER, x, how) == pytest.approx(1.0)


def test_associations_of_what_never_varies_are_none_and_of_copies_all() -> None:
    same = np.ones(30, dtype=np.float32)
    target = np.tile([0, 1, 2], 10)
    held = np.zeros(30, dtype=bool)
    assert association(NUMBER, same, truth(target, held, 3)) == (None, "")
    copy = target.astype(np.float32)
    assert association(CATEGORY, copy, truth(target, held, 3)) == (pytest.approx(1.0), "cramers_v")
    assert association(CATEGORY, copy, truth(target.astype(float), held, 0)) == (pytest.approx(1.0), "eta")
    assert association(NUMBER, copy, truth(target, held, 3)) == (pytest.approx(1.0), "eta")
    assert association(NUMBER, -copy, truth(target.astype(float), held, 0)) == (pytest.approx(-1.0), "pearson")


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["0", "-0.0", "1", None]), st.sampled_from("ab"), st.booleans()), min_size=1))
def test_repeated_rows_are_those_that_are_equal(rows: list[tuple[str | None, str, bool]]) -> None:
    table = pd.DataFrame({"x": [row[0] for row in rows], "other": [row[1] for row in rows]})
    held = np.array([row[2] for row in rows])
    features = np.array([[np.nan if row[0] is None else float(row[0])] for row in rows], dtype=np.float32)
    hashes = feature_hashes(features)
    assert duplicates(table, hashes) == table.duplicated().sum()
    known = {str(value) for value in features[~held, 0] + 0.0}
    assert shared(hashes, held) == sum(str(value) in known for value in features[held, 0] + 0.0)
