"""A Regression is judged by its errors: in any unit, without crying wolf, and from what the series really hold."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.api.drift import Performance
from perennial.api.verdict import PerformanceEvidence
from perennial.contracts.baseline import MISSING, PREDICTION, VALUE, Baseline, Distribution
from perennial.contracts.names import ABSOLUTE, SQUARED
from perennial.domain.drift.evidence import Evidence
from perennial.domain.drift.performance import Held, doubt_of, judge_estimate, judge_labels
from perennial.domain.drift.reference import prepare, told_in
from perennial.domain.drift.verdict import Judgement, judge
from perennial.domain.drift.window import Chunk
from tests.unit.drift.support import AGE, CALM, EMPTY, OLDER, SEX, chunk, evidence, monitor
from tests.unit.drift.test_reference import distribution

Array = np.ndarray[Any, np.dtype[np.float64]]
MAE = 40.0


def regression(figure: float | None = MAE, doubt: float = 0.0) -> Held:
    return Held(figure, (), "", task="Regression", doubt=doubt)


def sums(errors: Array) -> dict[str, float]:
    return {ABSOLUTE: float(np.abs(errors).sum()), SQUARED: float((errors**2).sum())}


def labelled(errors: Array, counts: Any = CALM, **more: Any) -> Chunk:
    """A chunk of as many labels as ``errors``."""
    return chunk(counts, {(VALUE, VALUE): float(len(errors))}, errors=sums(errors), **more)


def window(errors: Array, counts: Any = CALM, chunks: int = 3) -> list[Chunk]:
    return [labelled(part, counts) for part in np.array_split(errors, chunks)]


def known(chunks: Sequence[Chunk], held: Held | None = None, **more: Any) -> Evidence:
    return evidence(*chunks, held=held or regression(), **more)


def verdict(chunks: Sequence[Chunk], **performance: Any) -> Judgement:
    return judge(monitor(performance=performance).spec, known(chunks), "diabetes-v1")


def normal(mae: float, rows: int = 300, seed: int = 1) -> Array:
    return np.asarray(np.random.default_rng(seed).normal(size=rows) * mae * np.sqrt(np.pi / 2))


@pytest.mark.parametrize(
    ("errors", "counts", "expected"),
    [
        (normal(MAE), CALM, ("Healthy", None)),
        (normal(1.05 * MAE), CALM, ("Healthy", None)),
        (normal(2 * MAE), CALM, ("PerformanceLoss", "ConceptDrift")),
        (normal(2 * MAE), OLDER, ("PerformanceLoss", "InputDrift")),
        (normal(MAE), OLDER, ("Drifting", "InputDrift")),
        (normal(MAE / 2), CALM, ("Healthy", None)),
    ],
    ids=["as before", "let pass", "worse", "worse and drift", "drift", "better"],
)
def test_labels_tell_worse_errors_from_other_inputs(errors: Array, counts: Any, expected: tuple[str, str]) -> None:
    found = verdict(window(errors, counts))
    assert (found.verdict, found.cause) == expected
    assert found.performance is not None
    assert found.performance.metric == "mae", "where no metric is named"
    assert found.performance.value == pytest.approx(np.abs(errors).mean(), rel=1e-5)


def test_a_loss_is_told_in_the_targets_unit_with_what_is_let_pass() -> None:
    found = verdict(window(normal(2 * MAE) * 1000), metric="rmse", maxDrop=0.25)
    assert "rmse 9" in found.message
    assert "against 40 held out, at most 50 let pass" in found.message
    assert "e+" not in found.message
    assert "0%" not in found.message


def test_what_inputs_mean_is_not_seen_without_labels() -> None:
    def expecting(error: float) -> list[Chunk]:
        told = {ABSOLUTE: 100 * error, SQUARED: 150 * error**2}
        return [chunk(CALM, expected={name: value * each for name, value in told.items()}) for each in (0.99, 1, 1.01)]

    calm = verdict(expecting(MAE), source="Estimated")
    assert calm.verdict == "Healthy"
    assert calm.message.startswith("2 features as in the baseline, estimated mae 40,")
    worse = verdict(expecting(2 * MAE), source="Estimated")
    assert (worse.verdict, worse.cause) == ("PerformanceLoss", None)
    assert worse.message.startswith("estimated mae 80 ")
    both = [labelled(normal(MAE, 100, seed), expected=expecting(2 * MAE)[0].expected) for seed in range(3)]
    assert verdict(both, source="Both").verdict == "Healthy", "labels decide where there are enough"
    assert verdict(expecting(2 * MAE), source="Both").verdict == "PerformanceLoss"


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk(CALM, {(VALUE, VALUE): 100.0})] * 3,
        [labelled(normal(9 * MAE, 10))] * 3,
        [labelled(normal(9 * MAE, 500)), chunk(CALM), chunk(CALM)],
        [chunk(EMPTY, {(VALUE, VALUE): 0.0}, errors={ABSOLUTE: 0.0, SQUARED: 0.0})] * 3,
    ],
    ids=["no series of errors", "too few labels", "labels in one chunk", "no labels"],
)
@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_what_cannot_be_known_has_no_value_and_claims_nothing(chunks: list[Chunk], metric: Any) -> None:
    for found in (
        judge_labels(chunks, regression(), Performance(metric=metric)),
        judge_estimate(chunks, regression(), Performance(metric=metric, source="Estimated")),
    ):
        assert (found.value, found.low, found.loss) == (None, None, False)


ERRORS = st.lists(
    st.lists(st.floats(0.01, 100.0), min_size=20, max_size=40).map(np.array), min_size=3, max_size=8
)  # fmt: skip
METRICS = st.sampled_from(["mae", "rmse"])


def measured(parts: list[Array], metric: Any, held: float, unit: float = 1.0) -> PerformanceEvidence:
    chunks = [labelled(part * unit) for part in parts]
    return judge_labels(chunks, regression(held * unit, 0.1 * held * unit), Performance(metric=metric))


@given(ERRORS, METRICS, st.floats(0.1, 100.0), st.sampled_from([1e-6, 1e6]))
def test_the_unit_changes_no_verdict(parts: list[Array], metric: Any, held: float, unit: float) -> None:
    one, other = measured(parts, metric, held), measured(parts, metric, held, unit)
    assert one.low is not None
    assert one.limit is not None
    for name in ("value", "low", "high", "limit", "reference"):
        assert getattr(other, name) == pytest.approx(getattr(one, name) * unit, rel=1e-4, abs=1e-9 * unit)
    # Figures are kept to six digits: a tie may fall to either side.
    if one.low != pytest.approx(one.limit, rel=1e-4):
        assert other.loss == one.loss


@given(ERRORS, METRICS, st.floats(0.1, 100.0))
def test_the_interval_holds_the_figure_and_a_loss_is_all_of_it_beyond(
    parts: list[Array], metric: Any, held: float
) -> None:
    found = measured(parts, metric, held)
    assert None not in (found.value, found.low, found.high, found.limit)
    assert 0 <= found.low <= found.value <= found.high  # type: ignore[operator]
    assert found.value <= max(float(np.abs(each).max()) for each in parts) * (1 + 1e-5)  # type: ignore[operator]
    if found.loss:
        assert found.low >= found.limit * (1 - 1e-5)  # type: ignore[operator]
        assert found.limit >= 1.1 * held * (1 - 1e-5)  # type: ignore[operator]
    worse = measured([3 * each for each in parts], metric, held)
    assert worse.loss >= found.loss, "what is worse is not let pass"


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_chance_is_no_loss_and_half_as_much_again_is_found(metric: Any) -> None:
    """With a hundred held-out rows of its own for each: taken as exact, they alone make seven in a hundred a loss."""
    rng, windows = np.random.default_rng(3), 300

    def claims(worse: float, rows: int) -> float:
        lost = 0
        for _ in range(windows):
            test = rng.laplace(size=rows)
            figures = {"mae": float(np.abs(test).mean()), "rmse": float(np.sqrt((test**2).mean()))}
            held = regression(figures[metric], doubt_of(metric, figures, rows))
            chunks = window(worse * rng.laplace(size=1000), chunks=24)
            lost += judge_labels(chunks, held, Performance(metric=metric)).loss
        return lost / windows

    assert claims(1.0, 100) <= 0.01
    assert claims(1.5, 1000) >= 0.95


@pytest.mark.parametrize("draw", ["normal", "laplace"])
@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_held_out_figures_lie_as_far_apart_as_they_are_said_to(metric: str, draw: str) -> None:
    rows = getattr(np.random.default_rng(4), draw)(size=(4000, 200))
    mae, rmse = np.abs(rows).mean(axis=1), np.sqrt((rows**2).mean(axis=1))
    figures = {"mae": float(mae.mean()), "rmse": float(rmse.mean())}
    spread = 1.96 * float({"mae": mae, "rmse": rmse}[metric].std())
    assert 0.95 * spread < doubt_of(metric, figures, 200) < 1.2 * spread


@pytest.mark.parametrize(
    ("metrics", "rows"),
    [({}, 100), ({"mae": 1.0}, 100), ({"mae": 0.0, "rmse": 0.0}, 100), ({"mae": 1.0, "rmse": 2.0}, 0)],
)
def test_nobody_can_tell_how_well_a_figure_is_known(metrics: dict[str, float], rows: int) -> None:
    assert doubt_of("mae", metrics, rows) == doubt_of("rmse", metrics, rows) == 0.0


# --- what is predicted ---------------------------------------------------------------------------------------------


def predictions(values: Array, edges: tuple[float, ...]) -> Distribution:
    """As a run of a Regression counts them."""
    return msgspec.structs.replace(distribution(values, edges), name="prediction", quantiles=())


def baseline(edges: tuple[float, ...]) -> Baseline:
    told = predictions(np.random.default_rng(5).normal(size=1000), edges)
    return Baseline(1000, (AGE, SEX), told, Distribution("predicted", "Categorical", (VALUE,), (1000,)), (), {})


def test_predictions_in_other_bins_are_not_compared() -> None:
    spec = monitor(predictions={}).spec
    one, other = baseline((-5.0, 0.0, 5.0)), baseline((-5.0, 0.5, 5.0))
    assert PREDICTION in prepare(spec, one).layout.names
    assert PREDICTION in prepare(spec, one, pinned=one).layout.names
    assert prepare(spec, one, pinned=other).layout.names == ("age", "sex")


def test_predictions_are_told_in_the_serving_versions_bins_by_their_quantiles() -> None:
    """Whose edges need not reach to the ends."""
    values = np.random.default_rng(6).normal(size=20_000)
    told = told_in(distribution(values, (-4.0, -1.5, 0.5, 1.0)), predictions(values[:9], (-1.0, 0.0, 1.0)))
    assert told is not None
    assert sum(told.counts) == len(values)
    for count, share in zip(told.counts[2:], (0.159, 0.341, 0.341, 0.159), strict=True):
        assert count / len(values) == pytest.approx(share, abs=0.01)


def test_what_another_version_never_saw_needs_no_quantiles() -> None:
    empty = Distribution("x", "Numeric", (MISSING, "__invalid__", "__below__", "__above__"), (70, 0, 0, 0))
    told = told_in(empty, distribution(np.zeros(3), (-1.0, 0.0, 1.0)))
    assert told is not None
    assert (told.counts[0], sum(told.counts)) == (70, 70)
