"""The tensor that models take, and the bins that training and serving share."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contracts.baseline import ABOVE, BELOW, INVALID, MISSING, OTHER, bin_index
from perennial.contracts.signature import Input, Signature
from perennial_components.baseline.bins import REGULAR, categorical, labels_of, numeric, numeric_places
from perennial_components.split.encoding import encode, signature_of
from tests.unit.components.support import DATA, prepared, request, text_table

VALUES = st.lists(
    st.one_of(st.integers(-3, 12).map(float), st.floats(-1e6, 1e6), st.sampled_from([0.0, 0.1, math.nan])), max_size=120
)
PROBES = st.lists(st.one_of(st.floats(allow_nan=True), st.integers(-4, 13).map(float)), max_size=20)


def test_what_is_missing_unreadable_or_unknown() -> None:
    signature = Signature(
        "Classification", (Input("age", "Numeric"), Input("cp", "Categorical", ("1", "2"))), "y", ("0",)
    )
    table = text_table(age=["63", None, "old", "inf", "1e2"], cp=["2.0", "1", None, "9", " 2 "])
    found = encode(signature, table)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, 0], [63, np.nan, np.nan, np.nan, 100])
    np.testing.assert_array_equal(found[:, 1], [1, 0, -1, -1, 1])


def test_the_signature_of_the_hospitals() -> None:
    table, rows, signature = prepared(request(source=f"file://{DATA}/*.csv"))
    assert [item.name for item in signature.inputs] == [*request().numeric, *request().categorical]
    by_name = {item.name: item for item in signature.inputs}
    assert by_name["thal"].categories == ("3", "6", "7")
    assert by_name["age"].example == 54
    assert (signature.target, signature.classes, signature.positive) == ("num", ("0", "1"), 1)
    assert rows.features.shape == (920, 13)
    assert signature_of(request(), table.sample(frac=1, random_state=1)) == signature


@settings(max_examples=150, deadline=None)
@given(VALUES, PROBES)
def test_numeric_bins_hold_every_value_once_and_serving_agrees(values: list[float], probes: list[float]) -> None:
    array = np.array(values, dtype=np.float64)
    found = numeric("x", array)
    regular = len(found.edges) - 1 if found.edges else 0
    assert len(found.bins) == len(set(found.bins)) == len(found.counts) == regular + 4
    assert regular <= REGULAR
    assert list(found.edges) == sorted(set(found.edges))
    assert sum(found.counts) == len(values)
    assert found.counts[found.bins.index(BELOW)] == found.counts[found.bins.index(ABOVE)] == 0
    assert all(found.counts[3:-1]), "no regular bin is empty in training"
    for value in [*values, *probes]:
        assert bin_index(found, value) == numeric_places(found.edges, np.array([value]))[0]


def test_an_atom_has_a_bin_of_its_own() -> None:
    values = np.array([0.0] * 40 + [float(i) for i in range(1, 61)])
    found = numeric("chol", values)
    assert found.counts[found.bins.index("[0,1)")] == 40
    assert bin_index(found, 0.0) != bin_index(found, 1.0)


def test_a_column_of_one_value_or_none() -> None:
    constant = numeric("x", np.array([5.0] * 10))
    assert constant.bins == (MISSING, INVALID, BELOW, "[5,5]", ABOVE)
    assert [constant.bins[bin_index(constant, value)] for value in (4, 5, 6)] == [BELOW, "[5,5]", ABOVE]
    empty = numeric("x", np.array([math.nan] * 3))
    assert empty.bins == (MISSING, INVALID, BELOW, ABOVE)
    assert empty.counts == (3, 0, 0, 0)


def test_labels_are_short_and_distinct() -> None:
    assert labels_of((45.0, 52.0, 60.5)) == ("[45,52)", "[52,60.5]")
    assert labels_of((0.12345, 0.123456, 0.2)) == ("[0.12345,0.12346)", "[0.12346,0.2]")


def test_categories_beyond_the_top_are_others_and_unknown_ones_invalid() -> None:
    texts = [f"c{i:02}" for i in range(30) for _ in range(40 - i)] + [None] * 3 + [OTHER]
    found = categorical("cp", np.array(texts, dtype=object))
    assert len(found.bins) == 23
    assert sum(found.counts) == len(texts)
    assert found.counts[0] == 3
    known = {text for text in texts if text}
    places = [found.bins[bin_index(found, value, known)] for value in ("c00", "c29", "new", None, OTHER)]
    assert places == ["c00", OTHER, INVALID, MISSING, OTHER]
