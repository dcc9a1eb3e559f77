"""Gates and the champion: what is let through, and what is said of what is not."""

import pytest

from perennial.api.evaluation import ChampionGate, Evaluation, Gate
from perennial.contracts.request import Artifact, Champion, Split
from perennial.contracts.result import ChampionMetrics
from perennial.domain.gates import compare, evaluate, judge
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
