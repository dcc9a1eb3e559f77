"""Gates and the champion: what is let through, and what is said of what is not."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.contracts import gates
from perennial.contracts.gates import Judged, Met, between, evaluate
from perennial.contracts.request import Artifact, Champion, FairnessGate, Gate, Gates, Split
from perennial.contracts.result import ChampionMetrics, Gain, RunResult, SliceMetrics
from perennial.domain.gates import champion_record, gate_records, gates_of, judged, met_by
from tests.unit.training.support import a_training, result

SPLIT = Split(test=0.25, seed=7)
CHAMPION = Champion("heart-v1", Artifact("s3://m", "a" * 64), Artifact("s3://s", "b" * 64), SPLIT, metric="roc_auc")


def judge(gate: Gate, measured: RunResult) -> Judged:
    """One gate on a result."""
    return gates.judge(gate, measured.metrics, measured.slices)


def compare(asked: dict[str, Any], measured: RunResult, split: Split = SPLIT) -> Met:
    """A result beside the champion, of which ``asked`` is what its challenger is to be."""
    return gates.compare(champion(**asked), split, measured.metrics, measured.champion)


def champion(**asked: Any) -> Champion:
    return msgspec.structs.replace(CHAMPION, **asked)


def between_groups(slices: tuple[SliceMetrics, ...], **bound: Any) -> Judged:
    """The fairness gate on recall by sex."""
    return between(FairnessGate("recall", "sex", **bound), slices)


@pytest.mark.parametrize(
    ("gate", "value", "passed", "message"),
    [
        (Gate(metric="roc_auc", min=0.8), 0.78, False, "roc_auc 0.78 is under the gate's 0.80"),
        (Gate(metric="roc_auc", min=0.8), 0.8, True, "roc_auc 0.80 is at or above the gate's 0.80"),
        (Gate(metric="roc_auc", min=0.8), 0.79996, False, "roc_auc 0.79996 is under the gate's 0.80"),
        (Gate(metric="brier", max=0.125), 0.2, False, "brier 0.20 is over the gate's 0.125"),
        (Gate(metric="brier", max=0.125), 0.1, True, "brier 0.10 is at or under the gate's 0.125"),
        (Gate(metric="recall", min=0.5, max=0.9), 0.95, False, "recall 0.95 is over the gate's 0.90"),
        (Gate(metric="recall", min=0.5, max=0.9), 0.4, False, "recall 0.40 is under the gate's 0.50"),
        (Gate(metric="f1", min=0.1 + 0.2), 0.3, True, "f1 0.30 is at or above the gate's 0.30"),
    ],
)
def test_a_gate_over_all_rows(gate: Gate, value: float, passed: bool, message: str) -> None:
    record = judge(gate, result(**{gate.metric: value}))
    assert (record.passed, record.message, record.value) == (passed, message, value)


def test_a_metric_that_was_not_measured_does_not_pass() -> None:
    record = judge(Gate(metric="log_loss", max=1), result(roc_auc=0.9))
    assert not record.passed
    assert record.message == "log_loss could not be measured on the held-out rows"


def test_a_gate_by_column_names_the_worst_slice_that_has_enough_rows() -> None:
    record = judge(Gate(metric="recall", min=0.75, by="sex"), result())
    assert not record.passed
    assert record.value == 0.61
    assert record.message == (
        "recall by sex: 0.61 for sex=0 (38 rows) is under the gate's 0.75; 1 of 3 values were not judged"
    )
    assert judge(Gate(metric="recall", min=0.6, by="sex"), result()).passed
    assert judge(Gate(metric="recall", max=0.7, by="sex"), result()).value == 0.9, (
        "the worst for a maximum is the largest"
    )


@pytest.mark.parametrize(
    ("gate", "why"),
    [
        (Gate(metric="recall", min=0.1, by="sex", min_rows=100), "none of its 3 values has 100 held-out rows"),
        (Gate(metric="roc_auc", min=0.1, by="sex"), "none of its 3 values has 20 held-out rows"),
        (Gate(metric="recall", min=0.1, by="site"), "the run measured no slices of it"),
    ],
)
def test_a_gate_by_column_that_cannot_be_judged_does_not_pass(gate: Gate, why: str) -> None:
    record = judge(gate, result())
    assert not record.passed
    assert why in record.message
    assert record.value is None


@pytest.mark.parametrize(
    ("metric", "mine", "its", "improvement", "verdict"),
    [
        ("roc_auc", 0.91, 0.9, 0.0, "Better"),
        ("roc_auc", 0.9, 0.9, 0.0, "Better"),
        ("roc_auc", 0.9, 0.9, 0.01, "Worse"),
        ("roc_auc", 0.85, 0.8, 0.05, "Better"),
        ("roc_auc", 0.89, 0.9, -0.02, "Better"),
        ("log_loss", 0.3, 0.4, 0.0, "Better"),
        ("log_loss", 0.4, 0.3, 0.0, "Worse"),
        ("brier", 0.2, 0.1, 0.0, "Worse"),
    ],
)
def test_the_challenger_meets_the_champion(
    metric: str, mine: float, its: float, improvement: float, verdict: str
) -> None:
    measured = result(champion=ChampionMetrics("heart-v1", {metric: its}, 76), **{metric: mine})
    record = compare({"metric": metric, "min_improvement": improvement}, measured)
    assert record.verdict == verdict
    assert "against heart-v1's" in record.message
    assert "the same 76 rows" in record.message


@pytest.mark.parametrize(
    ("measured", "split", "why"),
    [
        (ChampionMetrics("heart-v1", {"roc_auc": 0.9}, 76), Split(test=0.25, seed=8), "split settings differ"),
        (ChampionMetrics("heart-v1", {}, 0, "its files cannot be used"), SPLIT, "its files cannot be used"),
        (ChampionMetrics("heart-v1", {"recall": 0.9}, 76), SPLIT, "roc_auc was not measured for both"),
        (ChampionMetrics("heart-v0", {"roc_auc": 0.9}, 76), SPLIT, "the run did not measure it"),
        (None, SPLIT, "the run did not measure it"),
    ],
)
def test_an_inconclusive_comparison_keeps_nobody_out_and_says_why(
    measured: ChampionMetrics | None, split: Split, why: str
) -> None:
    verdict = evaluate(Gates(), CHAMPION, split, result(champion=measured))
    assert verdict.passed
    assert verdict.champion is not None
    assert verdict.champion.verdict == "Inconclusive"
    assert why in verdict.champion.message


def test_without_a_deployed_version_there_is_nothing_to_compare() -> None:
    verdict = evaluate(Gates(), None, SPLIT, result())
    assert verdict.passed
    assert verdict.champion is None


def gain(value: float = 0.02, probability: float = 0.9, metric: str = "roc_auc") -> Gain:
    return Gain(metric, value, value - 0.02, value + 0.02, probability, "PairedBootstrap")


@pytest.mark.parametrize(
    ("improvement", "mine", "probability", "verdict", "words"),
    [
        (0.0, 0.92, 0.97, "Better", "better with a probability of 0.97, 0.95 was asked for"),
        (0.0, 0.92, 0.9499, "Unproven", "better with a probability of 0.9499, 0.95 was asked for"),
        (0.0, 0.88, 0.2, "Worse", "the deployed version is better"),
        (0.01, 0.92, 0.8, "Unproven", "better by at least 0.01 with a probability of 0.80, 0.95 was asked for"),
        (0.03, 0.92, 0.3, "Worse", "better by at least 0.03 was asked for"),
        (-0.02, 0.89, 0.96, "Better", "worse by less than 0.02 with a probability of 0.96, 0.95 was asked for"),
        (-0.02, 0.89, 0.9, "Unproven", "worse by less than 0.02 with a probability of 0.90, 0.95 was asked for"),
    ],
)
def test_a_confidence_asks_how_probable_the_gain_is(
    improvement: float, mine: float, probability: float, verdict: str, words: str
) -> None:
    met = champion(min_improvement=improvement, confidence=0.95)
    its = ChampionMetrics("heart-v1", {"roc_auc": 0.9}, 76, gain=gain(mine - 0.9, probability))
    found = evaluate(Gates(), met, SPLIT, result(champion=its, roc_auc=mine))
    assert found.champion is not None
    assert found.champion.verdict == verdict
    assert found.passed is (verdict == "Better")
    assert words in found.champion.message
    assert found.champion.gain is not None
    assert found.champion.gain.probability == probability
    if verdict != "Better":
        assert words in found.message, "who was kept out is told why"


@pytest.mark.parametrize("measured", [None, gain(metric="brier")])
def test_a_confidence_that_nothing_is_known_of_is_inconclusive(measured: Gain | None) -> None:
    its = ChampionMetrics("heart-v1", {"roc_auc": 0.5}, 12, gain=measured)
    record = compare({"confidence": 0.9}, result(champion=its))
    assert record.verdict == "Inconclusive"
    assert "the 12 held-out rows do not say how probable a gain of roc_auc is" in record.message


def test_without_a_confidence_the_figures_decide_and_the_gain_is_recorded() -> None:
    its = ChampionMetrics("heart-v1", {"roc_auc": 0.89}, 76, gain=gain(0.01, 0.6))
    record = compare({}, result(champion=its))
    assert (record.verdict, record.gain and record.gain.probability) == ("Better", 0.6)


def slices(**figures: float) -> tuple[SliceMetrics, ...]:
    """Slices of sex with 30 rows each, but for one with too few."""
    few = SliceMetrics("sex", "few", 5, {"recall": 0.0})
    return (*(SliceMetrics("sex", name, 30, {"recall": value}) for name, value in figures.items()), few)


@pytest.mark.parametrize(
    ("bound", "figures", "value", "passed", "words"),
    [
        ({"max_difference": 0.1}, {"f": 0.75, "m": 0.9}, 0.15, False, "the difference of 0.15 is over the gate's 0.10"),
        (
            {"max_difference": 0.15},
            {"f": 0.75, "m": 0.9},
            0.15,
            True,
            "the difference of 0.15 is within the gate's 0.15",
        ),
        ({"min_ratio": 0.8}, {"f": 0.6, "m": 0.8}, 0.75, False, "the ratio of 0.75 is under the gate's 0.80"),
        ({"min_ratio": 0.75}, {"f": 0.6, "m": 0.8, "x": 0.7}, 0.75, True, "is at or above the gate's 0.75"),
        ({"min_ratio": 0.8}, {"f": 0.0, "m": 0.0}, 1.0, True, "the ratio of 1.00"),
        ({"min_ratio": 0.8}, {"f": 0.0, "m": 0.1}, 0.0, False, "0.00 for f (30 rows) and 0.10 for m (30 rows)"),
    ],
)
def test_a_fairness_gate_bounds_what_lies_between_groups(
    bound: dict[str, float], figures: dict[str, float], value: float, passed: bool, words: str
) -> None:
    record = between_groups(slices(**figures), **bound)
    assert (record.passed, record.value, record.by) == (passed, pytest.approx(value), "sex")
    assert words in record.message
    assert record.message.endswith(f"1 of {len(figures) + 1} values were not compared")


def test_one_group_alone_cannot_be_fair() -> None:
    record = between_groups(slices(f=0.9), max_difference=0.1)
    assert not record.passed
    assert "it is known for 1 of its 2 values with at least 20 held-out rows; it takes two" in record.message
    assert "the run measured no slices of it" in between_groups((), max_difference=0.1).message


def test_an_unfair_version_is_rejected_with_the_reason() -> None:
    fairness = FairnessGate("recall", "sex", max_difference=0.1)
    found = evaluate(Gates(fairness=(fairness,)), None, SPLIT, result())
    assert not found.passed
    assert "recall by sex: 0.61 for 0 (38 rows) and 0.90 for 1 (38 rows)" in found.message


FIGURE = st.floats(0, 1)
BOUND = st.one_of(st.builds(dict, min=FIGURE), st.builds(dict, max=FIGURE), st.builds(dict, min=FIGURE, max=FIGURE))


@given(BOUND, FIGURE, FIGURE)
def test_a_value_nearer_to_what_a_gate_asks_for_never_fails_where_another_passes(
    bound: dict[str, float], one: float, other: float
) -> None:
    gate = Gate("recall", **bound)
    if "min" in bound and "max" in bound:
        return
    worse, better = sorted((one, other), reverse="max" in bound)
    assert judge(gate, result(recall=worse)).passed <= judge(gate, result(recall=better)).passed


@given(st.lists(FIGURE, min_size=2, max_size=5), st.sampled_from(["max_difference", "min_ratio"]), st.floats(0.01, 1))
def test_groups_that_come_closer_never_fail_where_they_passed_before(
    figures: list[float], kind: str, bound: float
) -> None:
    named = {f"v{place}": value for place, value in enumerate(figures)}
    lowest = min(named, key=lambda name: named[name])
    closer = {**named, lowest: max(named.values())}
    assert (
        between_groups(slices(**named), **{kind: bound}).passed
        <= between_groups(slices(**closer), **{kind: bound}).passed
    )


@given(
    st.sampled_from(["roc_auc", "log_loss"]), FIGURE, FIGURE, FIGURE, st.floats(-0.2, 0.2),
    st.one_of(st.none(), st.floats(0.5, 0.99)), st.tuples(st.floats(0, 1), st.floats(0, 1)),
)  # fmt: skip
def test_a_better_challenger_never_loses_where_a_worse_one_wins(
    metric: str,
    its: float,
    one: float,
    other: float,
    least: float,
    confidence: float | None,
    chances: tuple[float, float],
) -> None:
    met = champion(metric=metric, min_improvement=least, confidence=confidence)
    worse, better = sorted((one, other), reverse=metric == "log_loss")
    passed = []
    for value, chance in zip((worse, better), sorted(chances), strict=True):
        measured = ChampionMetrics("heart-v1", {metric: its}, 76, gain=gain(value - its, chance, metric))
        found = evaluate(Gates(), met, SPLIT, result(champion=measured, **{metric: value}))
        passed.append(found.passed)
    assert passed[0] <= passed[1]


ASKED = {
    "gates": [
        {"metric": "roc_auc", "min": 0.95}, {"metric": "recall", "max": 0.9, "by": "sex"},
        {"metric": "brier", "max": 0.1, "by": "site", "minRows": 5},
    ],
    "fairness": [{"metric": "selection_rate", "by": "sex", "minRatio": 0.8}],
    "champion": {"minImprovement": 0.01, "confidence": 0.9},
}  # fmt: skip


def test_what_a_spec_asks_reaches_the_run_and_is_judged_the_same_there() -> None:
    spec = a_training(evaluation=ASKED, approval="Manual").spec
    asked, met = gates_of(spec), met_by(CHAMPION, spec)
    assert asked == Gates(
        bounds=(
            Gate("roc_auc", min=0.95),
            Gate("recall", max=0.9, by="sex"),
            Gate("brier", max=0.1, by="site", min_rows=5),
        ),
        fairness=(FairnessGate("selection_rate", "sex", min_ratio=0.8),),
        approval="Manual",
    )
    assert (met.metric, met.min_improvement, met.confidence) == ("roc_auc", 0.01, 0.9)
    its = ChampionMetrics("heart-v1", {"roc_auc": 0.85}, 76, gain=gain(0.05, 0.99))
    found = judged(spec, result(champion=its), CHAMPION, SPLIT)
    assert found == evaluate(asked, met, SPLIT, result(champion=its))
    records, kept = gate_records(found), champion_record(found)
    assert [each.passed for each in records] == [False, True, False, False]
    assert [each.limit for each in records] == ["at least 0.95", "at most 0.90", "at most 0.10", "ratio at least 0.80"]
    assert kept is not None
    assert (kept.verdict, kept.gain and kept.gain.probability) == ("Better", 0.99)


def test_a_run_that_is_told_of_no_champion_meets_none_and_one_that_is_asks_for_no_comparison_by_itself() -> None:
    spec = a_training().spec
    assert judged(spec, result(), CHAMPION, SPLIT).champion is None, "the spec asks for no comparison"
    assert champion_record(judged(spec, result(), None, SPLIT)) is None


def test_a_text_that_is_too_long_for_the_record_is_cut() -> None:
    named = tuple(SliceMetrics("sex", "x" * 300 + str(place), 30, {"recall": place / 2}) for place in range(2))
    spec = a_training(evaluation={"fairness": [{"metric": "recall", "by": "sex", "maxDifference": 0.1}]}).spec
    [record] = gate_records(judged(spec, msgspec.structs.replace(result(), slices=named), None, SPLIT))
    assert len(record.message) == 512
