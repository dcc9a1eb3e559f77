"""Limits as they are written, and what a figure is worth against them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.domain.analysis.limits import Bounds, Figure, LimitError, bounds, verdict
from tests.unit.rollout.analysis.support import metric

RANK = {"Fail": 0, "Inconclusive": 1, "Pass": 2}


@pytest.mark.parametrize(
    ("builtin", "text", "value"),
    [
        ("LatencyP99", "50ms", 0.05), ("LatencyP50", "1.5s", 1.5), ("LatencyP99", 2, 2.0), ("LatencyP99", "0.2", 0.2),
        ("ErrorRate", "0.01", 0.01), ("ErrorRate", 0.01, 0.01), ("ErrorRate", 0, 0.0), ("Agreement", 1, 1.0),
        ("Throughput", "250", 250.0), ("PredictionShift", 0.1, 0.1), ("ErrorRate", 1e-05, 1e-05),
    ],
)  # fmt: skip
def test_limits_are_shares_times_or_numbers(builtin: str, text: str | float, value: float) -> None:
    assert bounds(metric(builtin, max=text)).max == pytest.approx(value)


def test_a_query_takes_any_number_and_times_in_seconds() -> None:
    found = bounds(metric(query="up", max="250ms", min="-3", failAbove="1s", failBelow=-4))
    assert found == Bounds(max=0.25, min=-3, fail_above=1, fail_below=-4)


@pytest.mark.parametrize(
    ("builtin", "fields", "field", "words"),
    [
        ("ErrorRate", {"max": "5ms"}, "max", "5ms is a time, ErrorRate is a share"),
        ("Throughput", {"min": "5s"}, "min", "5s is a time, Throughput is a number"),
        ("ErrorRate", {"max": 5}, "max", "5.0 is no share: ErrorRate is between 0 and 1"),
        ("Performance", {"min": 0.8, "failBelow": -0.1}, "failBelow", "is no share"),
        ("LatencyP99", {"max": "-50ms"}, "max", "is negative"),
        ("LatencyP99", {"max": "5 ms"}, "max", "5 ms is no number and no time"),
        ("LatencyP99", {"max": "nan"}, "max", "is no number"),
        ("LatencyP99", {"max": "50ms", "failAbove": "40ms"}, "max", "0.05 is above failAbove, 0.04"),
        ("Agreement", {"min": 0.9, "failBelow": 0.95}, "failBelow", "0.95 is above min, 0.9"),
        ("Throughput", {"min": 9, "max": 8}, "min", "9 is above max, 8"),
        ("Performance", {"max": 60}, "max", "60.0 is no share: accuracy is between 0 and 1"),
        ("Performance", {"metric": "mae", "min": 0.8}, "min", "mae is an error, lower is better: bound it by max"),
        ("Performance", {"metric": "rmse", "min": 1, "max": 9}, "min", "rmse is an error"),
        ("Performance", {"metric": "mae", "max": "5s"}, "max", "5s is a time, mae is a number"),
        ("Performance", {"metric": "mae", "max": -5}, "max", "is negative, mae never is"),
        ("Performance", {"max": 1, "maxDrop": 0.1}, "maxDrop", "list the metric twice"),
    ],
)
def test_limits_that_cannot_be_meant_are_told(builtin: str, fields: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(LimitError) as caught:
        bounds(metric(builtin, **fields))
    assert caught.value.field == field
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("limits", "value", "result"),
    [
        (Bounds(max=1), 1, "Pass"), (Bounds(max=1), 1.01, "Fail"),
        (Bounds(max=1, fail_above=2), 1.5, "Inconclusive"), (Bounds(max=1, fail_above=2), 2, "Inconclusive"),
        (Bounds(max=1, fail_above=2), 2.1, "Fail"),
        (Bounds(min=1), 1, "Pass"), (Bounds(min=1), 0.9, "Fail"),
        (Bounds(min=1, fail_below=0.5), 0.5, "Inconclusive"), (Bounds(min=1, fail_below=0.5), 0.4, "Fail"),
        (Bounds(min=1, max=2), 1.5, "Pass"), (Bounds(min=1, max=2), 0, "Fail"), (Bounds(min=1, max=2), 3, "Fail"),
        (Bounds(min=1, max=2, fail_above=4), 3, "Inconclusive"),
    ],
)  # fmt: skip
def test_between_the_bounds_nothing_is_decided(limits: Bounds, value: float, result: str) -> None:
    found, message = verdict(Figure(value), limits)
    assert found == result
    assert bool(message) == (result == "Inconclusive"), "the figures do not say alone why it is inconclusive"


numbers = st.floats(-10, 10)


@given(value=numbers, limits=st.lists(numbers, min_size=4, max_size=4).map(sorted), grown=st.floats(0, 5))
def test_a_wider_bound_is_never_worse(value: float, limits: list[float], grown: float) -> None:
    fail_below, low, high, fail_above = limits
    before, _ = verdict(Figure(value), Bounds(max=high, min=low, fail_above=fail_above, fail_below=fail_below))
    wider = [
        Bounds(max=high + grown, min=low, fail_above=fail_above + grown, fail_below=fail_below),
        Bounds(max=high, min=low, fail_above=fail_above + grown, fail_below=fail_below),
        Bounds(max=high, min=low - grown, fail_above=fail_above, fail_below=fail_below - grown),
        Bounds(max=high, min=low, fail_above=fail_above, fail_below=fail_below - grown),
    ]
    for each in wider:
        after, _ = verdict(Figure(value), each)
        assert RANK[after] >= RANK[before]
