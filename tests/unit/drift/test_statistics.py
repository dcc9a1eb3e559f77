"""The tests against scipy's, and what must not change their result."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from perennial.contracts.baseline import ABOVE, BELOW, INVALID, MISSING, OTHER, Distribution
from perennial.domain.drift.bins import MIN_EXPECTED, group
from perennial.domain.drift.statistics import FeatureTest, benjamini_hochberg, design_effect, judge_features
from perennial.domain.drift.statistics import examine as examine_all

COUNTS = st.integers(0, 400)


def examine(reference: Distribution, chunks: np.ndarray) -> FeatureTest | None:
    return examine_all([(reference, chunks)])[0]


def numeric(*counts: int, missing: int = 0, above: int = 0) -> Distribution:
    names = tuple(f"[{at},{at + 1})" for at in range(len(counts)))
    return Distribution("x", "Numeric", (MISSING, INVALID, BELOW, *names, ABOVE), (missing, 0, 0, *counts, above))


def categorical(*counts: int, missing: int = 0, other: int = 0) -> Distribution:
    names = tuple(f"c{at}" for at in range(len(counts)))
    return Distribution("x", "Categorical", (MISSING, INVALID, *names, OTHER), (missing, 0, *counts, other))


def in_one_chunk(*counts: float) -> np.ndarray:
    return np.array([counts], dtype=np.float64)


def test_pearson_is_scipys_over_smoothed_counts() -> None:
    before, now = (300, 200, 100), (90, 90, 60)
    found = examine(categorical(*before), in_one_chunk(0, 0, *now, 0))
    assert found is not None
    # The empty special bins are joined to a category and add nothing but their shape.
    smooth = np.array([before, now]) + 0.5
    pooled = smooth / smooth.sum(axis=1, keepdims=True) * np.array([[600], [240]])
    assert found.p_value == pytest.approx(stats.chi2_contingency(pooled, correction=False).pvalue, rel=1e-9)


def test_a_shift_of_location_is_seen_by_the_order_where_pearson_alone_sees_less() -> None:
    before = [1000] * 10
    trend = [100 + 4 * (at - 4.5) for at in range(10)]
    ordered = examine(numeric(*before), in_one_chunk(0, 0, 0, *trend, 0))
    named = examine(categorical(*before), in_one_chunk(0, 0, *trend, 0))
    assert ordered is not None
    assert named is not None
    assert ordered.p_value < named.p_value / 2


def test_a_wider_spread_without_a_shift_is_seen() -> None:
    now = [180, 120, 80, 60, 60, 60, 60, 80, 120, 180]
    found = examine(numeric(*[1000] * 10), in_one_chunk(0, 0, 0, *now, 0))
    assert found is not None
    assert found.p_value < 1e-12


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values_are_scipys(p_values: list[float]) -> None:
    assert benjamini_hochberg(p_values) == pytest.approx(list(stats.false_discovery_control(p_values)), abs=1e-12)


@pytest.mark.parametrize("rows", [0, 199])
def test_too_few_rows_are_no_ground_for_anything(rows: int) -> None:
    window = in_one_chunk(0, 0, rows, 0, 0, 0)
    assert examine(categorical(300, 200, 100), window) is None
    assert examine(categorical(60, 60, 60), in_one_chunk(0, 0, 300, 300, 300, 0)) is None


def test_missing_values_that_never_were_are_the_signal() -> None:
    found = examine(numeric(100, 100, 100), in_one_chunk(450, 0, 0, 10, 20, 20, 0))
    assert found is not None
    assert (found.top_bin, round(found.share_before), round(found.share_now, 1)) == (MISSING, 0, 0.9)
    assert found.psi > 1
    assert found.p_value < 1e-30


def test_values_beyond_every_edge_are_the_signal() -> None:
    found = examine(numeric(100, 100, 100), in_one_chunk(0, 0, 0, 10, 20, 20, 450))
    assert found is not None
    assert ABOVE in found.top_bin
    assert found.psi > 1


def test_a_feature_that_is_now_always_missing_is_judged() -> None:
    found = examine(categorical(150, 150), np.array([[100.0, 0, 0, 0, 0]] * 6))
    assert found is not None
    assert found.p_value < 1e-6


def test_a_constant_feature_is_as_in_training() -> None:
    found = examine(numeric(1000), in_one_chunk(0, 0, 0, 500, 0))
    assert found is not None
    assert (found.p_value, found.psi) == (1.0, 0.0)


def test_the_bias_of_the_index_is_removed() -> None:
    rng = np.random.default_rng(3)
    share = np.full(10, 0.1)
    found = [
        examine(numeric(*rng.multinomial(1000, share)), in_one_chunk(0, 0, 0, *rng.multinomial(1000, share), 0))
        for _ in range(300)
    ]
    assert abs(np.mean([each.psi for each in found if each])) < 0.001


def test_rows_that_come_in_clusters_count_for_fewer() -> None:
    rng = np.random.default_rng(5)
    apart = rng.multinomial(50, [0.25] * 4, size=12).astype(float)
    together = 10 * rng.multinomial(5, [0.25] * 4, size=12).astype(float)
    assert design_effect(apart) < 2
    assert 5 < design_effect(together) < 20


def test_significant_but_small_is_no_drift_and_large_but_uncertain_neither() -> None:
    many = examine(numeric(*[100_000] * 4), in_one_chunk(0, 0, 0, 26_000, 25_000, 25_000, 24_000, 0))
    few = examine(numeric(*[75] * 4), in_one_chunk(0, 0, 0, 62, 55, 50, 43, 0))
    assert many is not None
    assert few is not None
    small, uncertain = judge_features([many, few], alpha=0.01, tolerance=0.02)
    assert small.adjusted < 1e-6
    assert not small.drifting
    assert uncertain.adjusted > 0.01
    assert not uncertain.drifting


chunks = arrays.arrays(np.float64, st.tuples(st.integers(2, 8), st.just(9)), elements=st.integers(0, 60).map(float))
references = st.lists(COUNTS, min_size=5, max_size=5).filter(lambda counts: sum(counts) >= 200)


@settings(max_examples=150, deadline=None)
@given(references, chunks)
def test_every_result_is_a_number_in_its_range(counts: list[int], window: np.ndarray) -> None:
    found = examine(numeric(*counts), window)
    if window.sum() < 200:
        assert found is None
        return
    assert found is not None
    assert 0 <= found.p_value <= 1
    assert np.isfinite(found.psi)
    assert found.design_effect >= 1
    assert 0 <= found.share_now <= 1


@settings(max_examples=60, deadline=None)
@given(references, chunks)
def test_time_backwards_is_the_same_test(counts: list[int], window: np.ndarray) -> None:
    one, other = examine(numeric(*counts), window), examine(numeric(*counts), window[::-1])
    assert (one is None) == (other is None)
    if one and other:
        assert one.p_value == pytest.approx(other.p_value, rel=1e-6)
        assert one.psi == pytest.approx(other.psi, rel=1e-6, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(references, chunks)
def test_read_from_high_to_low_is_the_same_test(counts: list[int], window: np.ndarray) -> None:
    mirrored = window.copy()
    mirrored[:, 2:] = window[:, :1:-1]
    # Joining may pair other neighbours from the other side, so only bins that all stay apart are compared.
    reference, turned = numeric(*counts), numeric(*counts[::-1])
    if len(group(reference, window.sum(axis=0)).members) < 6 or window.sum() < 200:
        return
    one, other = examine(reference, window), examine(turned, mirrored)
    assert one
    assert other
    if group(reference, window.sum(axis=0)).ordered == group(turned, mirrored.sum(axis=0)).ordered == 7:
        assert one.p_value == pytest.approx(other.p_value, rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(6)), st.lists(st.integers(20, 400), min_size=6, max_size=6))
def test_categories_have_no_order(order: list[int], now: list[int]) -> None:
    before = [300, 250, 200, 150, 100, 50]
    one = examine(categorical(*before), in_one_chunk(0, 0, *now, 0))
    other = examine(categorical(*(before[at] for at in order)), in_one_chunk(0, 0, *(now[at] for at in order), 0))
    assert (one is None) == (other is None)
    if one and other:
        assert one.p_value == pytest.approx(other.p_value, rel=1e-6)
        assert one.psi == pytest.approx(other.psi, rel=1e-6, abs=1e-12)


def test_features_have_no_order() -> None:
    rng = np.random.default_rng(9)
    tests = [
        examine(numeric(*[250] * 4), in_one_chunk(0, 0, 0, *rng.multinomial(500, share), 0))
        for share in ([0.25] * 4, [0.4, 0.3, 0.2, 0.1], [0.25] * 4)
    ]
    tested = [each for each in tests if each]
    forward = [each.drifting for each in judge_features(tested, alpha=0.01, tolerance=0.02)]
    backward = [each.drifting for each in judge_features(tested[::-1], alpha=0.01, tolerance=0.02)]
    assert forward == [False, True, False]
    assert backward == forward[::-1]


@settings(max_examples=150, deadline=None)
@given(references, arrays.arrays(np.float64, 9, elements=st.integers(0, 300).map(float)), st.booleans())
def test_every_bin_is_in_one_group_that_is_large_enough(counts: list[int], window: np.ndarray, ordered: bool) -> None:
    reference = numeric(*counts) if ordered else categorical(*counts, 7)
    groups = group(reference, window)
    assert sorted(place for members in groups.members for place in members) == list(range(9))
    before = np.asarray(reference.counts, dtype=np.float64)
    smaller, total = min(window.sum(), before.sum()), window.sum() + before.sum()
    expected = groups.total(window + before) * smaller / max(total, 1.0)
    assert len(groups.members) == 1 or expected.min() >= MIN_EXPECTED - 1e-9
    for members in groups.members[: groups.ordered]:
        places = [place for place in members if place >= 2]
        assert places == list(range(places[0], places[-1] + 1)), "only neighbours are joined"
