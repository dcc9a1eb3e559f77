"""Chunks align to the clock, only those that are over and belong to the version count, and answers become counts."""

import pytest

from perennial.adapters.prometheus import Series
from perennial.contracts.baseline import MISSING
from perennial.domain.drift.queries import chunk_query, lifetime_queries
from perennial.domain.drift.window import Geometry, Layout, read_chunks, too_short
from tests.unit.drift.support import AGE, SEX, monitor

MINUTE = Geometry(step=60_000, chunks=3, delay=2_000)


@pytest.mark.parametrize(
    ("now", "end"),
    [(599.0, 540), (600.0, 540), (601.9, 540), (602.0, 600), (661.9, 600), (662.0, 660)],
)
def test_a_chunk_is_over_when_its_last_scrape_is_stored(now: float, end: int) -> None:
    assert MINUTE.last_close(now) == end * 1000
    assert MINUTE.last_close(now + MINUTE.until_next(now) + 0.001) == (end + 60) * 1000


def test_chunks_that_began_before_the_version_took_over_are_left_out() -> None:
    assert MINUTE.starts(600_000, since=0.0) == [420_000, 480_000, 540_000]
    assert MINUTE.starts(600_000, since=480.0) == [480_000, 540_000]
    assert MINUTE.starts(600_000, since=480.5) == [540_000]
    assert MINUTE.starts(600_000, since=700.0) == []


@pytest.mark.parametrize(
    ("length", "chunks", "scrape", "smallest"),
    [
        ("60s", 3, "1s", ""),
        ("59s", 3, "1s", "1m"),
        ("24h", 24, "15s", ""),
        ("1h", 24, "15s", "2h"),
        ("10s", 2, "15s", "10m"),
    ],
)
def test_a_window_too_short_names_both_fields_and_what_works(
    length: str, chunks: int, scrape: str, smallest: str
) -> None:
    said = too_short(monitor(window={"length": length, "chunks": chunks}, scrapeInterval=scrape).spec)
    assert bool(said) == bool(smallest)
    if smallest:
        assert said.endswith(f"make window.length at least {smallest}")
        assert f"window.length {length}" in said
        assert f"scrapeInterval {scrape}" in said
        fixed = monitor(window={"length": smallest, "chunks": chunks}, scrapeInterval=scrape).spec
        assert too_short(fixed) == ""


def test_one_query_counts_everything_of_several_deployments() -> None:
    asked = chunk_query([("ward/heart", "heart-v1"), ("other/lung", "lung-v2")], 20_000)
    selector = '{deployment=~"other/lung|ward/heart",version=~"heart-v1|lung-v2"}'
    counter = f"perennial_feature_observations_total{selector}"
    assert asked.startswith(
        "label_replace(sum by (deployment, version, feature, bin) "
        f"(((last_over_time({counter}[20000ms]) - (last_over_time({counter}[20000ms] offset 20000ms) "
        f"or min_over_time({counter}[20000ms]))) unless (resets({counter}[40000ms]) > 0)) "
        f'or increase({counter}[20000ms])) > 0, "family", "features", "", "")'
    )
    assert f"or increase(perennial_feedback_total{selector}[20000ms])" in asked
    selector = '{deployment="ward/heart",version="heart-v1"}'
    assert lifetime_queries(("ward/heart", "heart-v1"), 90.0)[0] == (
        f"sum (increase(perennial_predictions_total{selector}[90000ms]))"
    )
    assert "[2592000000ms]" in lifetime_queries(("ward/heart", "heart-v1"), 1e9)[0]


def test_answers_become_counts_at_their_chunk_and_bin() -> None:
    layout = Layout.of((AGE, SEX))
    features = [
        Series({"family": "features", "feature": "age", "bin": "[40,60)"}, ((40.0, 10.5), (60.0, 11.0))),
        Series({"family": "features", "feature": "sex", "bin": "1"}, ((60.0, 7.0),)),
        Series({"family": "features", "feature": "sex", "bin": MISSING}, ((60.0, float("nan")),)),
        Series({"family": "features", "feature": "no longer known", "bin": "1"}, ((60.0, 7.0),)),
        Series({"family": "features", "feature": "age", "bin": "[60,80]"}, ((80.0, 5.0),)),
    ]
    others = [
        Series({"family": "predicted", "predicted": "0"}, ((60.0, 4.0),)),
        Series({"family": "predicted", "predicted": "1"}, ((60.0, 7.0),)),
        Series({"family": "feedback", "predicted": "1", "actual": "0"}, ((60.0, 2.0),)),
        Series({"family": "durations", "le": "+Inf"}, ((60.0, 3.0),)),
        Series({"family": "loss_sum"}, ((60.0, 0.5),)),
    ]
    found = read_chunks(layout, [20_000, 40_000], 20_000, [*features, *others])
    (age, age_counts), (sex, sex_counts) = layout.counts([found[20_000], found[40_000]])
    assert (age, sex) == (AGE, SEX)
    assert age_counts.tolist() == [[0, 0, 0, 0, 10.5, 0, 0], [0, 0, 0, 0, 11, 0, 0]]
    assert sex_counts.tolist() == [[0, 0, 0, 0, 0], [0, 0, 0, 7, 0]]
    assert [each.predictions for each in found.values()] == [0.0, 11.0]
    assert found[40_000].feedback == {("1", "0"): 2.0}
    assert found[40_000].durations == {float("inf"): 3.0}
    assert found[40_000].sums == {"loss_sum": 0.5}
