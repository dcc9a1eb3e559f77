"""Serving's fast bins are the contract's bins."""

import math
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from perennial.contracts.baseline import ABOVE, BELOW, INVALID, MISSING, OTHER, Distribution, bin_index
from perennial_serving.bins import CategoryBins, NumericBins

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)


@st.composite
def numeric_cases(draw: st.DrawFn) -> tuple[Distribution, list[float]]:
    """Edges with atoms among them, and values on, beside and between them."""
    points = draw(st.lists(FINITE.filter(lambda x: abs(x) < 1e300), max_size=8, unique=True))
    atoms = [math.nextafter(point, math.inf) for point in points if draw(st.booleans())]
    edges = tuple(sorted({*points, *atoms}))
    edges = edges if len(edges) > 1 else ()
    regular = tuple(f"bin {place}" for place in range(max(len(edges) - 1, 0)))
    bins = (MISSING, INVALID, BELOW, *regular, ABOVE)
    near = [math.nextafter(edge, side) for edge in edges for side in (-math.inf, math.inf)]
    choice = st.one_of(FINITE, st.just(math.nan), st.sampled_from([*edges, *near, 0.0, -0.0]))
    return Distribution("x", "Numeric", bins, (0,) * len(bins), edges), draw(st.lists(choice, min_size=1, max_size=12))


def expected(
    distribution: Distribution, values: Sequence[float | str | None], categories: tuple[str, ...] = ()
) -> list[int]:
    places = [bin_index(distribution, value, categories) for value in values]
    return [places.count(place) for place in range(len(distribution.bins))]


@given(numeric_cases())
def test_numbers_fall_where_the_contract_says(case: tuple[Distribution, list[float]]) -> None:
    distribution, values = case
    bins = NumericBins(distribution)
    bins.add(np.array(values))
    assert bins.counts == expected(distribution, values)


@given(st.lists(st.text(max_size=3), min_size=1, max_size=30, unique=True), st.integers(1, 20), st.data())
def test_categories_fall_where_the_contract_says(categories: list[str], named: int, data: st.DataObject) -> None:
    bins = (MISSING, INVALID, *categories[:named], OTHER)
    distribution = Distribution("c", "Categorical", bins, (0,) * len(bins))
    indices = data.draw(st.lists(st.integers(-1, len(categories) - 1), min_size=1, max_size=12))
    bins = CategoryBins(distribution, categories)
    bins.add(np.array(indices, dtype=np.float64))
    values = [None if index < 0 else categories[index] for index in indices]
    assert bins.counts == expected(distribution, values, tuple(categories))
