"""Quantiles and shifts from counts."""

from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from perennial.contracts.baseline import ABOVE, BELOW, INVALID, MISSING
from perennial.domain.analysis.comparable import comparable
from perennial.domain.analysis.figures import Shift, quantile, shift
from perennial.domain.analysis.limits import Bounds, verdict
from tests.unit.rollout.analysis.support import INF

BUCKETS = {0.01: 50.0, 0.1: 90.0, 1.0: 99.5, INF: 100.0}
RANK = {"Fail": 0, "Inconclusive": 1, "Pass": 2}


@pytest.mark.parametrize(
    ("share", "value"),
    [(0.5, 0.01), (0.25, 0.005), (0.7, 0.055), (0.9, 0.1), (0.99, 0.1 + 0.9 * 9 / 9.5)],
)
def test_a_quantile_is_interpolated_within_its_bucket(share: float, value: float) -> None:
    found = quantile(share, BUCKETS)
    assert found is not None
    assert found.value == pytest.approx(value)
    assert not found.open_ended


def test_beyond_the_last_bucket_nothing_passes() -> None:
    found = quantile(0.999, BUCKETS)
    assert found is not None
    assert found.value == 1.0
    assert verdict(found, Bounds(max=0.9))[0] == "Fail"
    assert verdict(found, Bounds(max=2)) == ("Inconclusive", "1 s or longer: no bucket is above")
    assert verdict(found, Bounds(min=2))[0] == "Inconclusive"


@pytest.mark.parametrize("durations", [{}, {0.1: 0.0, INF: 0.0}, {INF: 3.0}, {0.1: 2.0, 1.0: 3.0}])
def test_without_requests_there_is_no_quantile(durations: dict[float, float]) -> None:
    assert quantile(0.99, durations) is None


@given(st.lists(st.floats(0, 1e4), min_size=2, max_size=8), st.sampled_from([0.5, 0.99]))
def test_a_quantile_lies_between_the_limits_even_where_counts_are_uneven(counts: list[float], share: float) -> None:
    limits = [*(0.1 * (place + 1) for place in range(len(counts) - 1)), INF]
    found = quantile(share, dict(zip(limits, counts, strict=True)))
    assert found is None or 0 <= found.value <= limits[-2]


def binned(shares: list[float], rows: int, seed: int = 1) -> dict[str, float]:
    counts = np.random.default_rng(seed).multinomial(rows, shares)
    return by_bin(counts)


def by_bin(counts: Iterable[float]) -> dict[str, float]:
    return {f"[{place / 10:g},{(place + 1) / 10:g})": float(count) for place, count in enumerate(counts)}


def shifted(new: Mapping[str, float], stable: Mapping[str, float]) -> Shift:
    found = shift(new, stable)
    assert found is not None
    return found


EVEN = [0.1] * 10
TILTED = [0.19, 0.17, 0.15, 0.13, 0.11, 0.09, 0.07, 0.05, 0.03, 0.01]


def test_the_same_distribution_has_no_shift_on_the_average() -> None:
    rng = np.random.default_rng(7)
    found = []
    for _ in range(300):
        new, stable = rng.multinomial(300, EVEN), rng.multinomial(900, EVEN)
        found.append(shifted(by_bin(new), by_bin(stable)))
    assert np.mean([each.value for each in found]) < 0.02
    assert np.mean([each.chance(0.0) < 0.05 for each in found]) == pytest.approx(0.05, abs=0.03)


def test_the_noise_of_a_shift_at_its_limit_is_as_computed() -> None:
    """At a true index of 0.39 and a limit of as much, one interval in twenty fails."""
    true = float(np.sum((np.array(TILTED) - 0.1) * np.log(np.array(TILTED) / 0.1)))
    rng = np.random.default_rng(8)
    failed = 0
    for _ in range(600):
        new, stable = rng.multinomial(400, TILTED), rng.multinomial(3600, EVEN)
        found = shifted(by_bin(new), by_bin(stable))
        failed += found.surely_above(true)
    assert 0.01 < failed / 600 < 0.1


@pytest.mark.parametrize(
    ("rows", "limit", "result"),
    [(2000, 0.1, "Fail"), (2000, 0.8, "Pass"), (60, 0.2, "Inconclusive"), (400, 0.5, "Inconclusive")],
)
def test_a_shift_above_its_limit_fails_only_beyond_noise(rows: int, limit: float, result: str) -> None:
    found = shifted(binned(TILTED, rows, seed=3), binned(EVEN, 9 * rows, seed=4))
    told, message = verdict(found, Bounds(max=limit))
    assert told == result
    assert ("sampling noise" in message) == (result == "Inconclusive")


def test_thin_bins_are_counted_with_a_neighbour_and_one_bin_is_no_shift() -> None:
    specials = {"__missing__": 1.0, "__invalid__": 0.0, "__below__": 0.0, "__above__": 2.0}
    assert shifted({**specials, **binned(EVEN, 1000)}, {**specials, **binned(EVEN, 1000, 2)}).value < 0.05
    one = shifted({"[0,0.5)": 50.0, "[0.5,1]": 0.0}, {"[0,0.5)": 500.0, "[0.5,1]": 0.0})
    assert (one.value, one.surely_above(0.0)) == (0.0, False)


@pytest.mark.parametrize("rows", [20, 30, 60])
def test_few_predictions_still_show_a_shift_from_one_end_to_the_other(rows: int) -> None:
    low, high = binned([0.7, 0.2, 0.1, *([0] * 7)], rows), binned([*([0] * 7), 0.1, 0.2, 0.7], 9 * rows)
    assert verdict(shifted(low | dict.fromkeys(high.keys() - low.keys(), 0.0), high), Bounds(max=0.2))[0] == "Fail"


counts = st.lists(st.integers(0, 500), min_size=5, max_size=5).filter(lambda each: sum(each) > 20)


@given(new=counts, stable=counts, limit=st.floats(0, 2), grown=st.floats(0, 2))
def test_a_higher_limit_is_never_worse(new: list[int], stable: list[int], limit: float, grown: float) -> None:
    found = shifted(by_bin(new), by_bin(stable))
    assert RANK[verdict(found, Bounds(max=limit + grown))[0]] >= RANK[verdict(found, Bounds(max=limit))[0]]


# --- a regression: each version has edges of its own ---------------------------------------------------------------


def grid(values: NDArray[np.float64], unit: float, first: int, last: int) -> dict[str, float]:
    """``values`` counted between multiples of ``unit``, as a regression's predictor counts them."""
    edges = [unit * place for place in range(first, last + 1)]
    counts, _ = np.histogram(values, edges)
    ends = {BELOW: float(np.sum(values < edges[0])), ABOVE: float(np.sum(values > edges[-1]))}
    names = [f"[{low:g},{high:g})" for low, high in pairwise(edges)]
    names[-1] = names[-1][:-1] + "]"
    return {MISSING: 0.0, INVALID: 0.0, **ends, **dict(zip(names, map(float, counts), strict=True))}


def spread(rows: int, *, mean: float = 150, deviation: float = 50, seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(mean, deviation, rows)


def test_versions_with_edges_of_their_own_are_compared_in_those_that_both_have() -> None:
    stable = grid(spread(4000), 16, 2, 17)
    same = grid(spread(4000, seed=2), 8, 5, 33)
    found = shifted(same, stable)
    assert verdict(found, Bounds(max=0.1)) == ("Pass", "")
    moved = grid(spread(4000, mean=175, seed=2), 8, 8, 36)
    other = shifted(moved, stable)
    true = 0.5**2
    assert other.value == pytest.approx(true, rel=0.2), "of two normals half a deviation apart"
    assert verdict(other, Bounds(max=0.1))[0] == "Fail"


def test_common_bins_are_counted_to_the_row() -> None:
    one, other = spread(500), spread(700, seed=2)
    found = comparable(grid(one, 8, 5, 33), grid(other, 16, 4, 18))
    assert found is not None
    edges = [-np.inf, *range(64, 257, 16), np.inf]
    for values, counts in ((one, found.new), (other, found.stable)):
        assert list(counts.values())[2:] == np.histogram(values, edges)[0].tolist()


def test_few_common_edges_fail_what_they_show_and_pass_nothing() -> None:
    stable, near = grid(spread(2000), 16, 2, 17), grid(spread(2000, seed=3), 16, 14, 30)
    found = shifted(near, stable)
    told, message = verdict(found, Bounds(max=0.2))
    assert (told, "3 of the edges" in message) == ("Inconclusive", True), (
        "the last edge of one is in the midst of the other"
    )
    far = shifted(grid(spread(2000, mean=350), 16, 14, 30), stable)
    assert verdict(far, Bounds(max=0.2))[0] == "Fail"


def test_beyond_the_bins_nothing_passes() -> None:
    """Both versions see other inputs than in training: that they agree there cannot be seen."""
    found = shifted(grid(spread(900, mean=500), 16, 2, 17), grid(spread(900, mean=700), 16, 2, 17))
    assert found.value == 0
    assert verdict(found, Bounds(max=0.2))[0] == "Inconclusive"
    assert "beyond the bins" in found.doubt


@pytest.mark.parametrize(
    "stable",
    [grid(spread(900), 16, 40, 60), {"[0,1)": 9.0, "[2,3]": 9.0}, {"low": 9.0, "high": 9.0}, {"[1,1]": 9.0}, {}],
)
def test_without_a_common_edge_there_is_no_shift(stable: dict[str, float]) -> None:
    assert shift(grid(spread(900), 16, 2, 17), stable) is None


cuts = st.lists(st.integers(0, 40), min_size=2, max_size=12, unique=True).map(sorted)


@given(one=cuts, other=cuts, seed=st.integers(0, 2**16))
def test_what_common_bins_show_is_never_more_than_there_is(one: list[int], other: list[int], seed: int) -> None:
    """Of 0 to 40, each a bin of its own; with counts so large that smoothing does not matter."""
    random = np.random.default_rng(seed)
    new, stable = (random.integers(1000, 50_000, 41).astype(np.float64) for _ in range(2))

    def told(counts: NDArray[np.float64], edges: list[int]) -> dict[str, float]:
        regular = {f"[{low},{high})": float(counts[low:high].sum()) for low, high in pairwise(edges)}
        last = f"[{edges[-2]},{edges[-1]})"
        regular[last[:-1] + "]"] = regular.pop(last) + float(counts[edges[-1]])
        return {BELOW: float(counts[: edges[0]].sum()), ABOVE: float(counts[edges[-1] + 1 :].sum()), **regular}

    found = comparable(told(new, one), told(stable, other))
    if found is None:
        return
    assert sum(found.new.values()) == new.sum()
    assert sum(found.stable.values()) == stable.sum()
    full = shifted(by_bin(new), by_bin(stable))
    part = shifted(told(new, one), told(stable, other))
    assert part.value <= full.value * 1.001 + 1e-6
