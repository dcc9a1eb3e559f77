"""What windows are compared with: seasons that are usual, another version's data, what service began with."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contracts.baseline import ABOVE, BELOW, INVALID, MISSING, OTHER, Baseline, Distribution, bin_index
from perennial.domain.drift.learning import content, kept, learn, lesson
from perennial.domain.drift.noise import own_windows, usual_index
from perennial.domain.drift.reference import prepare, told_in
from perennial.domain.drift.statistics import stability_index
from perennial.domain.drift.window import Chunk, Layout
from tests.unit.drift.support import AGE, NOW, OUTCOME, SEX, monitor

EDGES = (-8.0, -1.28, -0.84, -0.52, -0.25, 0.0, 0.25, 0.52, 0.84, 1.28, 8.0)


def distribution(values: np.ndarray, edges: tuple[float, ...] = EDGES, chunks: int = 0) -> Distribution:
    """As a run counts it."""
    bins = (
        MISSING,
        INVALID,
        BELOW,
        *(f"[{low:g},{high:g})" for low, high in pairwise(edges)),
        ABOVE,
    )

    def count(part: np.ndarray) -> tuple[int, ...]:
        places = np.searchsorted(edges, part, side="right")
        places[part == edges[-1]] -= 1
        return (0, 0, *np.bincount(places, minlength=len(edges) + 1).tolist())

    parts = tuple(count(each) for each in np.array_split(values, chunks)) if chunks else ()
    quantiles = tuple(np.quantile(values, np.linspace(0, 1, 201), method="inverted_cdf").tolist())
    return Distribution("x", "Numeric", bins, count(values), edges, quantiles, parts)


def seasonal(rng: np.random.Generator, rows: int, period: int) -> np.ndarray:
    return rng.normal(size=rows) * 0.5 + np.sin(np.arange(rows) * 2 * np.pi / period)


def test_a_season_longer_than_the_window_is_usual() -> None:
    rng = np.random.default_rng(1)
    known = distribution(seasonal(rng, 40_000, 10_000), chunks=40)
    usual = usual_index(known, own_windows(known, 3600.0, 3600.0))
    windows = seasonal(rng, 20_000, 10_000).reshape(20, 1000)
    before = np.asarray(known.counts, dtype=np.float64)
    index = [stability_index(before, np.asarray(distribution(each).counts, dtype=np.float64)) for each in windows]
    assert max(index) > 0.3
    assert usual > max(index)


def test_without_a_season_nothing_is_usual() -> None:
    known = distribution(np.random.default_rng(2).normal(size=40_000), chunks=40)
    assert usual_index(known, own_windows(known, 3600.0, 3600.0)) < 0.01
    thin = distribution(np.random.default_rng(3).normal(size=4000), chunks=60)
    assert usual_index(thin, own_windows(thin, 60.0, 60.0)) < 0.05
    assert len(own_windows(distribution(np.random.default_rng(4).normal(size=4000)), 0.0, 60.0)) == 0


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.5, 0.5), st.integers(0, 50))
def test_another_versions_numbers_in_this_ones_bins(shift: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(shift, 1.0, 5000)
    pinned = distribution(values, tuple(np.quantile(values, np.linspace(0, 1, 11)).tolist()))
    found, exact = told_in(pinned, distribution(np.zeros(1))), distribution(values)
    assert sum(found.counts) == 5000
    assert np.abs(np.asarray(found.counts) - np.asarray(exact.counts)).max() <= 0.012 * 5000


def test_an_atom_stays_one() -> None:
    values = np.concatenate([np.zeros(600), np.linspace(0.1, 5, 400)])
    pinned = distribution(values, (0.0, 1.0, 5.0))
    onto = distribution(values, (0.0, np.nextafter(0.0, 1), 2.0, 5.0))
    found = dict(zip(onto.bins, told_in(pinned, onto).counts, strict=True))
    assert found[onto.bins[bin_index(onto, 0.0)]] == pytest.approx(600, abs=6)


def test_another_versions_categories_by_name() -> None:
    pinned = Distribution("c", "Categorical", (MISSING, INVALID, "a", "b", "gone", OTHER), (1, 0, 10, 20, 5, 2))
    onto = Distribution("c", "Categorical", (MISSING, INVALID, "a", "b", "new", OTHER), (0,) * 6)
    assert told_in(pinned, onto).counts == (1, 0, 10, 20, 0, 7)


BASELINE = Baseline(
    rows=1000, features=(AGE, SEX), prediction=OUTCOME, predicted=OUTCOME, calibration=(), metrics={"accuracy": 0.9}
)
SERVING = {"baseline": {"from": "Serving", "windows": 2}}


def chunks(rows: float, *starts: int) -> dict[int, Chunk]:
    counts = np.array([0, 0, 0, 0.1, 0.3, 0.6, 0, 0, 0, 0.3, 0.7, 0]) * rows
    return {start: Chunk(counts, predicted={"1": rows}) for start in starts}


def test_the_first_windows_in_which_enough_came_are_learnt() -> None:
    layout, wanted = (
        Layout.of((AGE, SEX)),
        lesson(monitor(**SERVING), "heart-v1", NOW, int(NOW.timestamp()) * 1000 + 600_000),
    )
    assert (wanted.step, wanted.first % wanted.step, wanted.end % wanted.step) == (60_000, 0, 0)
    assert wanted.first >= NOW.timestamp() * 1000
    nothing = learn(layout, wanted, chunks(150, 0, 60_000))
    assert (nothing.found, nothing.missing) == (0, 2)
    part = learn(layout, wanted, {**chunks(150, 0), **chunks(300, 60_000)})
    assert (part.found, part.missing) == (1, 1)
    assert "1 of 2 windows since heart-v1" in part.message(wanted)
    whole = learn(
        layout, wanted, {**chunks(150, 0), **chunks(300, 60_000), **chunks(400, 120_000), **chunks(900, 180_000)}
    )
    assert (whole.found, whole.missing) == (2, 0)
    reference = prepare(monitor(**SERVING).spec, BASELINE, learnt=whole.counts, learnt_seconds=60.0)
    assert reference.layout.features[0].counts == (0, 0, 0, 70, 210, 420, 0)


def test_what_was_learnt_is_kept_for_the_same_lesson_alone() -> None:
    layout, end = Layout.of((AGE, SEX)), int(NOW.timestamp()) * 1000
    wanted = lesson(monitor(**SERVING), "heart-v1", NOW, end)
    whole = learn(layout, wanted, chunks(300, 0, 60_000))
    raw = {"data": content(wanted, whole, layout)}
    found = kept(raw, wanted, layout)
    assert found is not None
    assert found.counts == whole.counts
    assert kept(raw, lesson(monitor(**SERVING), "heart-v2", NOW, end), layout) is None
    assert kept(raw, wanted, Layout.of((AGE,))) is None
    for broken in ({}, {"data": {"baseline.json": "{"}}, {"data": {"baseline.json": json.dumps({"mark": 1})}}):
        assert kept(broken, wanted, layout) is None
