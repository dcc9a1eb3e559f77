"""Gates and the champion: what is let through, and what is said of what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.api.evaluation import ChampionGate, Evaluation, FairnessGate, Gate
from perennial.contracts.request import Artifact, Champion, Split
from perennial.contracts.result import ChampionMetrics, Gain, SliceMetrics
from perennial.domain.gates import between, compare, evaluate, judge
from tests.unit.training.support import result

SPLIT = Split(test=0.25, seed=7)
CHAMPION = Champion("heart-v1", Artifact("s3://m", "a" * 64), Artifact("s3://s", "b" * 64), SPLIT)


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
    gate = ChampionGate.model_validate({"metric": metric, "minImprovement": improvement})
    measured = result(champion=ChampionMetrics("heart-v1", {metric: its}, 76), **{metric: mine})
    record = compare(gate, measured, CHAMPION, SPLIT)
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
    evaluation = Evaluation(champion=ChampionGate())
    verdict = evaluate(evaluation, result(champion=measured), CHAMPION, split)
    assert verdict.passed
    assert verdict.champion is not None
    assert verdict.champion.verdict == "Inconclusive"
    assert why in verdict.champion.message


def test_without_a_deployed_version_there_is_nothing_to_compare() -> None:
    verdict = evaluate(Evaluation(champion=ChampionGate()), result(), None, SPLIT)
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
    gate = ChampionGate.model_validate({"minImprovement": improvement, "confidence": 0.95})
    its = ChampionMetrics("heart-v1", {"roc_auc": 0.9}, 76, gain=gain(mine - 0.9, probability))
    found = evaluate(Evaluation(champion=gate), result(champion=its, roc_auc=mine), CHAMPION, SPLIT)
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
    record = compare(ChampionGate(confidence=0.9), result(champion=its), CHAMPION, SPLIT)
    assert record.verdict == "Inconclusive"
    assert "the 12 held-out rows do not say how probable a gain of roc_auc is" in record.message


def test_without_a_confidence_the_figures_decide_and_the_gain_is_recorded() -> None:
    its = ChampionMetrics("heart-v1", {"roc_auc": 0.89}, 76, gain=gain(0.01, 0.6))
    record = compare(ChampionGate(), result(champion=its), CHAMPION, SPLIT)
    assert (record.verdict, record.gain and record.gain.probability) == ("Better", 0.6)


def slices(**figures: float) -> tuple[SliceMetrics, ...]:
    """Slices of sex with 30 rows each, but for one with too few."""
    few = SliceMetrics("sex", "few", 5, {"recall": 0.0})
    return (*(SliceMetrics("sex", name, 30, {"recall": value}) for name, value in figures.items()), few)


@pytest.mark.parametrize(
    ("bound", "figures", "value", "passed", "words"),
    [
        ({"maxDifference": 0.1}, {"f": 0.75, "m": 0.9}, 0.15, False, "the difference of 0.15 is over the gate's 0.10"),
        (
            {"maxDifference": 0.15},
            {"f": 0.75, "m": 0.9},
            0.15,
            True,
            "the difference of 0.15 is within the gate's 0.15",
        ),
        ({"minRatio": 0.8}, {"f": 0.6, "m": 0.8}, 0.75, False, "the ratio of 0.75 is under the gate's 0.80"),
        ({"minRatio": 0.75}, {"f": 0.6, "m": 0.8, "x": 0.7}, 0.75, True, "is at or above the gate's 0.75"),
        ({"minRatio": 0.8}, {"f": 0.0, "m": 0.0}, 1.0, True, "the ratio of 1.00"),
        ({"minRatio": 0.8}, {"f": 0.0, "m": 0.1}, 0.0, False, "0.00 for f (30 rows) and 0.10 for m (30 rows)"),
    ],
)
def test_a_fairness_gate_bounds_what_lies_between_groups(
    bound: dict[str, float], figures: dict[str, float], value: float, passed: bool, words: str
) -> None:
    gate = FairnessGate.model_validate({"metric": "recall", "by": "sex", **bound})
    record = between(gate, slices(**figures))
    assert (record.passed, record.value, record.by) == (passed, pytest.approx(value), "sex")
    assert words in record.message
    assert record.message.endswith(f"1 of {len(figures) + 1} values were not compared")


def test_one_group_alone_cannot_be_fair() -> None:
    gate = FairnessGate.model_validate({"metric": "recall", "by": "sex", "maxDifference": 0.1})
    record = between(gate, slices(f=0.9))
    assert not record.passed
    assert "it is known for 1 of its 2 values with at least 20 held-out rows; it takes two" in record.message
    assert "the run measured no slices of it" in between(gate, ()).message


def test_an_unfair_version_is_rejected_with_the_reason() -> None:
    fairness = FairnessGate.model_validate({"metric": "recall", "by": "sex", "maxDifference": 0.1})
    found = evaluate(Evaluation(fairness=[fairness]), result(), None, SPLIT)
    assert not found.passed
    assert "recall by sex: 0.61 for 0 (38 rows) and 0.90 for 1 (38 rows)" in found.message


FIGURE = st.floats(0, 1)
BOUND = st.one_of(st.builds(dict, min=FIGURE), st.builds(dict, max=FIGURE), st.builds(dict, min=FIGURE, max=FIGURE))


@given(BOUND, FIGURE, FIGURE)
def test_a_value_nearer_to_what_a_gate_asks_for_never_fails_where_another_passes(
    bound: dict[str, float], one: float, other: float
) -> None:
    gate = Gate.model_validate({"metric": "recall", **bound})
    if "min" in bound and "max" in bound:
        return
    worse, better = sorted((one, other), reverse="max" in bound)
    assert judge(gate, result(recall=worse)).passed <= judge(gate, result(recall=better)).passed


@given(st.lists(FIGURE, min_size=2, max_size=5), st.sampled_from(["maxDifference", "minRatio"]), st.floats(0.01, 1))
def test_groups_that_come_closer_never_fail_where_they_passed_before(
    figures: list[float], kind: str, bound: float
) -> None:
    gate = FairnessGate.model_validate({"metric": "recall", "by": "sex", kind: bound})
    named = {f"v{place}": value for place, value in enumerate(figures)}
    lowest = min(named, key=lambda name: named[name])
    closer = {**named, lowest: max(named.values())}
    assert between(gate, slices(**named)).passed <= between(gate, slices(**closer)).passed


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
    gate = ChampionGate.model_validate({"metric": metric, "minImprovement": least, "confidence": confidence})
    worse, better = sorted((one, other), reverse=metric == "log_loss")
    passed = []
    for value, chance in zip((worse, better), sorted(chances), strict=True):
        measured = ChampionMetrics("heart-v1", {metric: its}, 76, gain=gain(value - its, chance, metric))
        found = evaluate(Evaluation(champion=gate), result(champion=measured, **{metric: value}), CHAMPION, SPLIT)
        passed.append(found.passed)
    assert passed[0] <= passed[1]
