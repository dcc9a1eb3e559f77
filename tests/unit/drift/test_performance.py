"""A loss is called only when the labels leave no doubt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from perennial.api.drift import Performance
from perennial.domain.drift.performance import judge_labels, suspect, wilson
from tests.unit.drift.support import EMPTY, chunk, held

WANTED = Performance(max_drop=0.05, min_labels=50)


@given(st.integers(1, 5000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_the_interval_is_scipys(pair: tuple[int, int]) -> None:
    expected = stats.binomtest(*pair).proportion_ci(0.95, method="wilson")
    assert wilson(*pair) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(
    ("right", "wrong", "loss"),
    [
        (24, 25, None),  # under minLabels: no value at all
        (45, 5, False),
        (40, 10, False),  # 0.80 against 0.90, but 50 labels leave doubt
        (400, 100, True),  # the same share, no doubt
        (440, 60, False),  # 0.88: a drop that is let pass
        (0, 500, True),
    ],
)
def test_loss(right: float, wrong: float, loss: bool | None) -> None:
    chunks = [chunk(EMPTY, {("1", "1"): right / 2, ("1", "0"): wrong}), chunk(EMPTY, {("0", "0"): right / 2})]
    found = judge_labels(chunks, held(0.9), WANTED)
    assert found.labels == right + wrong
    assert found.loss is bool(loss)
    assert (found.value is None) == (loss is None)
    if found.value is not None and found.low is not None and found.high is not None:
        assert found.low <= found.value <= found.high


@pytest.mark.parametrize(
    ("predictions", "feedback", "doubt"),
    [(0, 0, False), (1000, 1000, False), (1000, 1060, False), (1000, 1100, True), (0, 100, True)],
)
def test_more_feedback_than_predictions_is_suspect(predictions: float, feedback: float, doubt: bool) -> None:
    assert suspect(predictions, feedback) is doubt
