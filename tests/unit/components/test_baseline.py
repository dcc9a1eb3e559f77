"""What a DriftMonitor compares with: counts over all rows and by time, and how the features hang together."""

import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from perennial.contracts.baseline import ABOVE, BELOW, PREDICTION_EDGES, Baseline, Joint, bin_index
from perennial.contracts.joint import JointError
from perennial.contracts.signature import Input, Signature
from perennial_components.baseline.bins import categorical, counted, numeric_places
from perennial_components.baseline.chunks import MOST, chunks_of
from perennial_components.baseline.core import baseline
from perennial_components.baseline.grid import grid_edges, grid_labels
from perennial_components.baseline.joint import joint_of
from perennial_components.evaluate.slices import largest
from perennial_components.records import Evaluation
from perennial_components.storage import OutOfFold
from perennial_components.table import unix_seconds
from tests.unit.components.support import DATA, prepared, request, text_table

DAY = 86400
CONFUSION = ((60, 10), (5, 25))
EVALUATION = Evaluation(100, {"accuracy": 0.85}, (), CONFUSION, (), ())


def made(times: list[Any] | None = None) -> tuple[Baseline, NDArray[np.bool_]]:
    """The baseline of the four hospitals' 920 patients, seen at ``times``, and which rows were held out."""
    table, rows, signature = prepared(request(source=f"file://{DATA}/*.csv"))
    probabilities = np.random.default_rng(1).random(int((~rows.held).sum()))
    out_of_fold = OutOfFold(rows.target[~rows.held], np.column_stack([1 - probabilities, probabilities]))
    if times is None:
        return baseline(table, rows, signature, out_of_fold, EVALUATION), rows.held
    table = table.assign(seen=text_table(seen=[str(time) for time in times])["seen"])
    return baseline(table, rows, signature, out_of_fold, EVALUATION, "seen"), rows.held


def test_rows_and_predictions_are_counted() -> None:
    found, held = made()
    assert found.rows == 920
    assert all(sum(feature.counts) == 920 for feature in found.features)
    chol = next(feature for feature in found.features if feature.name == "chol")
    assert chol.counts[chol.bins.index("[0,85)")] == 172, "not measured in Switzerland, an atom"
    assert sum(found.prediction.counts) == sum(found.predicted.counts) == int((~held).sum())
    assert found.prediction.edges == PREDICTION_EDGES, "the same for every version"
    assert found.predicted.bins == ("0", "1")
    assert (found.metrics, found.confusion) == (EVALUATION.metrics, CONFUSION)


def test_quantiles_tell_a_numeric_feature_in_any_bins() -> None:
    found, _ = made()
    by_name = {feature.name: feature for feature in found.features}
    assert by_name["sex"].quantiles == ()
    age = by_name["age"]
    assert len(age.quantiles) == 201
    assert (age.quantiles[0], age.quantiles[100], age.quantiles[200]) == (age.edges[0], 54, age.edges[-1])
    places = [bin_index(age, value) for value in age.quantiles]
    shares = np.bincount(places, minlength=len(age.bins)) / len(places)
    assert shares == pytest.approx(np.array(age.counts) / 920, abs=0.01)


def test_without_times_there_are_no_chunks() -> None:
    found, _ = made()
    assert found.chunk_seconds == 0
    assert found.joint is not None
    assert {part.chunks for part in (*found.features, found.prediction, found.joint.distribution)} == {()}


def test_all_is_counted_by_day_and_days_without_rows_are_left_out() -> None:
    days = [row // 23 if row < 460 else 5 + row // 23 for row in range(920)]
    found, held = made([1_780_012_800 + DAY * day for day in days])
    assert found.chunk_seconds == DAY
    assert found.joint is not None
    for part in (*found.features, found.joint.distribution):
        assert [sum(chunk) for chunk in part.chunks] == [23] * 40
        assert tuple(np.sum(part.chunks, axis=0)) == part.counts
    assert [sum(chunk) for chunk in found.prediction.chunks] == [
        int((~held[23 * day : 23 * day + 23]).sum()) for day in range(40)
    ]


def test_rows_may_come_in_any_order_of_time() -> None:
    found, _ = made([1_780_012_800 + DAY * (39 - row // 23) for row in range(920)])
    again, _ = made([1_780_012_800 + DAY * (row // 23) for row in range(920)])
    for late, early in zip(found.features, again.features, strict=True):
        assert late.chunks == early.chunks[::-1]


def test_rows_of_one_time_are_no_chunks() -> None:
    found, _ = made(["2026-05-31"] * 920)
    assert (found.chunk_seconds, found.features[0].chunks) == (0, ())


@pytest.mark.parametrize(
    ("texts", "seconds"),
    [
        (["2026-05-01", "2026-05-09", "2026-05-20"], DAY),
        (["2024-01-01", "2024-03-01", "2026-05-20"], 15 * DAY),
        (["2026-05-01T00:00:01", "2026-05-09T11:12:13", "2026-05-20"], 8 * 3600),
        (["1780000000", "1780000010.5"], 1),
    ],
)
def test_chunks_are_whole_units_of_time(texts: list[str], seconds: float) -> None:
    times = unix_seconds(text_table(seen=texts)["seen"])
    found = chunks_of(times)
    assert found is not None
    assert found.seconds == seconds
    assert found.of[0] == 0
    assert found.of.max() < MOST


def test_chunks_are_of_equal_time_and_never_too_many() -> None:
    random = np.random.default_rng(3)
    for span in np.geomspace(1e-3, 3e9, 200):
        times = 1e9 + random.random(50) * span
        found = chunks_of(times)
        assert found is not None
        assert found.of.max() < MOST
        for one, other in pairwise(np.argsort(times)):
            assert (found.of[other] - found.of[one] - 1) * found.seconds <= times[other] - times[one] + 1e-6


def two_numbers(correlation: float, rows: int = 4000) -> NDArray[np.float32]:
    """Two columns with the same values in both, whatever their ``correlation``, and a third that is noise."""
    random = np.random.default_rng(5)
    pair = random.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], rows)
    normal = np.sort(random.standard_normal(rows))
    ranked = normal[pair.argsort(axis=0).argsort(axis=0)]
    return np.column_stack([ranked, normal]).astype(np.float32)


NUMBERS = Signature("Classification", tuple(Input(name, "Numeric") for name in "abc"), "y", ("0", "1"))


def shares(joint: Joint, features: NDArray[np.float32]) -> NDArray[np.float64]:
    places = numeric_places(joint.distribution.edges, JointError(joint)(features))
    return np.bincount(places, minlength=len(joint.distribution.bins)) / len(features)


def test_a_change_of_correlation_alone_moves_the_joint_distribution() -> None:
    trained, changed = two_numbers(0.9), two_numbers(-0.9)
    assert np.array_equal(np.sort(trained, axis=0), np.sort(changed, axis=0)), "each column by itself is as it was"
    joint = joint_of(NUMBERS, trained)
    assert joint is not None
    as_trained, now = shares(joint, trained), shares(joint, changed)
    assert as_trained == pytest.approx(np.array(joint.distribution.counts) / len(trained))
    assert as_trained[3:-1] == pytest.approx([0.1] * 10, abs=0.001)
    assert 0.5 * np.abs(now - as_trained).sum() > 0.25
    same = shares(joint, trained[np.random.default_rng(1).permutation(4000)[:2000]])
    assert 0.5 * np.abs(same - as_trained).sum() < 0.05


def test_a_category_that_goes_with_another_number_moves_it_too() -> None:
    signature = Signature(
        "Classification",
        (Input("age", "Numeric"), Input("group", "Categorical", ("a", "b", "c")), Input("weight", "Numeric")),
        "y",
        ("0", "1"),
    )
    random = np.random.default_rng(2)
    group = random.choice([0.0, 1.0, 2.0, -1.0], 4000, p=[0.6, 0.25, 0.1, 0.05])
    age = group * 3 + random.standard_normal(4000)
    features = np.column_stack([age, group, -age + random.standard_normal(4000)]).astype(np.float32)
    joint = joint_of(signature, features)
    assert joint is not None
    assert joint.shares[0] == joint.shares[2] == ()
    assert joint.shares[1] == pytest.approx((0.6, 0.25, 0.1, 0.05), abs=0.02)
    other = features.copy()
    other[:, 1] = group[random.permutation(4000)]
    assert 0.5 * np.abs(shares(joint, other) - shares(joint, features)).sum() > 0.1


def test_what_is_missing_is_as_the_mean() -> None:
    features = two_numbers(0.9)
    joint = joint_of(NUMBERS, features)
    assert joint is not None
    error = JointError(joint)
    mean = np.array([joint.centre], dtype=np.float32)
    assert error(np.full((1, 3), np.nan, dtype=np.float32)) == pytest.approx(error(mean), abs=1e-5)


def test_the_error_of_a_row_does_not_depend_on_those_beside_it() -> None:
    """Otherwise the same row would count in another bin when it is served than in training."""
    table, rows, signature = prepared(request(source=f"file://{DATA}/*.csv", numeric=("ca", "fbs")))
    joint = joint_of(signature, rows.features)
    assert joint is not None
    error = JointError(joint)
    together = error(rows.features)
    assert np.array_equal(together, np.concatenate([error(row[np.newaxis]) for row in rows.features]))
    assert np.array_equal(together, error(rows.features.astype(np.float64)))
    assert len(table) == len(together)


def test_columns_that_do_not_vary_are_no_obstacle_and_two_that_do_are_needed() -> None:
    features = two_numbers(0.5)
    features[:, 2] = np.nan
    joint = joint_of(NUMBERS, features)
    assert joint is not None
    assert joint.scale[2] == 1
    assert joint.distribution.counts[joint.distribution.bins.index(ABOVE)] == 0
    features[:, 1] = 7
    assert joint_of(NUMBERS, features) is None


def test_two_columns_that_have_nothing_in_common_still_leave_an_error() -> None:
    features = two_numbers(0.0)
    features[:, 2] = 1
    joint = joint_of(NUMBERS, features)
    assert joint is not None
    assert len(joint.axes) == 1
    assert len(joint.distribution.bins) == 14


def test_a_repeat_makes_the_same_bytes() -> None:
    times = [f"2026-05-{1 + row % 28:02}T{row % 24:02}:00:00Z" for row in range(920)]
    one, other = (msgspec.json.encode(made(times)[0], order="deterministic") for _ in range(2))
    assert one == other
    joint = msgspec.json.decode(one, type=Baseline).joint
    assert joint is not None
    assert all(max(axis, key=abs) > 0 for axis in joint.axes)


@pytest.mark.parametrize("scale", [1e-6, 0.37, 1.0, 47.0, 3e8])
@pytest.mark.parametrize(("grown", "moved"), [(1.0, 0.0), (1.05, 0.1), (0.8, 0.5), (1.4, 1.0), (2.0, 0.0)])
def test_two_versions_of_like_scale_share_edges(scale: float, grown: float, moved: float) -> None:
    random = np.random.default_rng(int(100 * grown + moved))
    one = scale * random.normal(3, 1, 400)
    other = scale * (moved + random.normal(3, grown, 3000))
    assert 9 <= len(grid_edges(one)) <= 26
    assert len(set(grid_edges(one)) & set(grid_edges(other))) >= 6


@pytest.mark.parametrize(
    "values",
    [[5.0] * 40, [0.0] * 40, [0.0] * 30 + [*map(float, range(10))], [1e9, 1e9 + 64.0] * 20, [3.0], [-7.25, 1e-30]],
)
def test_edges_ascend_whatever_is_predicted(values: list[float]) -> None:
    found = counted("prediction", grid_edges(np.array(values)), np.array(values), labels=grid_labels)
    assert all(low < high for low, high in pairwise(found.edges))
    assert len(found.bins) == len(set(found.bins)) == len(found.edges) + 3
    assert sum(found.counts) == len(values)
    assert sum(found.counts[3:-1]) >= 0.5 * len(values), "training's own lie within the bins"
    assert grid_edges(np.array([np.nan, np.inf])) == ()
    assert counted("prediction", (), np.zeros(0), labels=grid_labels).bins[2:] == (BELOW, ABOVE)


def test_values_far_away_neither_make_bins_coarse_nor_many() -> None:
    values = np.random.default_rng(2).standard_cauchy(5000)
    edges = grid_edges(values)
    assert len(edges) <= 65
    assert sum(-1 <= edge < 1 for edge in edges) >= 4, "the quartiles of these are -1 and 1"


def test_names_of_bins_are_their_exact_edges() -> None:
    assert grid_labels((-0.1875, -0.125, -0.0625)) == ("[-0.1875,-0.125)", "[-0.125,-0.0625]")
    assert grid_labels((112.0, 128.0, 144.0, 160.0)) == ("[112,128)", "[128,144)", "[144,160]")
    edges = grid_edges(np.random.default_rng(3).normal(1e5, 1e-2, 500))
    assert [float(name[1:-1].split(",")[0]) for name in grid_labels(edges)] == list(edges[:-1])


@pytest.mark.parametrize("count", [lambda texts: categorical("x", texts), largest])
def test_one_long_text_does_not_take_its_room_in_every_row(count: Callable[[NDArray[np.object_]], Any]) -> None:
    texts = np.array(["a", "b", "b", "c" * 3000] * 5000, dtype=object)
    tracemalloc.start()
    try:
        count(texts)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * 2**20
