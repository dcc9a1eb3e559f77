"""Quantiles and shifts from counts."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.domain.analysis.figures import quantile, shift
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


EVEN = [0.1] * 10
TILTED = [0.19, 0.17, 0.15, 0.13, 0.11, 0.09, 0.07, 0.05, 0.03, 0.01]


def test_the_same_distribution_has_no_shift_on_the_average() -> None:
    rng = np.random.default_rng(7)
    found = []
    for _ in range(300):
        new, stable = rng.multinomial(300, EVEN), rng.multinomial(900, EVEN)
        found.append(shift(by_bin(new), by_bin(stable)))
    assert np.mean([each.value for each in found]) < 0.02
    assert np.mean([each.chance(0.0) < 0.05 for each in found]) == pytest.approx(0.05, abs=0.03)


def test_the_noise_of_a_shift_at_its_limit_is_as_computed() -> None:
    """At a true index of 0.39 and a limit of as much, one interval in twenty fails."""
    true = float(np.sum((np.array(TILTED) - 0.1) * np.log(np.array(TILTED) / 0.1)))
    rng = np.random.default_rng(8)
    failed = 0
    for _ in range(600):
        new, stable = rng.multinomial(400, TILTED), rng.multinomial(3600, EVEN)
        found = shift(by_bin(new), by_bin(stable))
        failed += found.surely_above(true)
    assert 0.01 < failed / 600 < 0.1


@pytest.mark.parametrize(
    ("rows", "limit", "result"),
    [(2000, 0.1, "Fail"), (2000, 0.8, "Pass"), (60, 0.2, "Inconclusive"), (400, 0.5, "Inconclusive")],
)
def test_a_shift_above_its_limit_fails_only_beyond_noise(rows: int, limit: float, result: str) -> None:
    found = shift(binned(TILTED, rows, seed=3), binned(EVEN, 9 * rows, seed=4))
    told, message = verdict(found, Bounds(max=limit))
    assert told == result
    assert ("sampling noise" in message) == (result == "Inconclusive")


def test_thin_bins_are_counted_with_a_neighbour_and_one_bin_is_no_shift() -> None:
    specials = {"__missing__": 1.0, "__invalid__": 0.0, "__below__": 0.0, "__above__": 2.0}
    assert shift({**specials, **binned(EVEN, 1000)}, {**specials, **binned(EVEN, 1000, 2)}).value < 0.05
    one = shift({"[0,0.5)": 50.0, "[0.5,1]": 0.0}, {"[0,0.5)": 500.0, "[0.5,1]": 0.0})
    assert (one.value, one.surely_above(0.0)) == (0.0, False)


@pytest.mark.parametrize("rows", [20, 30, 60])
def test_few_predictions_still_show_a_shift_from_one_end_to_the_other(rows: int) -> None:
    low, high = binned([0.7, 0.2, 0.1, *([0] * 7)], rows), binned([*([0] * 7), 0.1, 0.2, 0.7], 9 * rows)
    assert verdict(shift(low | dict.fromkeys(high.keys() - low.keys(), 0.0), high), Bounds(max=0.2))[0] == "Fail"


counts = st.lists(st.integers(0, 500), min_size=5, max_size=5).filter(lambda each: sum(each) > 20)


@given(new=counts, stable=counts, limit=st.floats(0, 2), grown=st.floats(0, 2))
def test_a_higher_limit_is_never_worse(new: list[int], stable: list[int], limit: float, grown: float) -> None:
    found = shift(by_bin(new), by_bin(stable))
    assert RANK[verdict(found, Bounds(max=limit + grown))[0]] >= RANK[verdict(found, Bounds(max=limit))[0]]
