"""What a person reads of a DriftMonitor in the terminal."""

from typing import Any

import pytest

from perennial.api.drift import DriftMonitor
from perennial.cli import resources
from perennial.cli.monitor import bar
from tests.unit.cli.support import Json, read
from tests.unit.render import report_support as support
from tests.unit.render.report_support import NOW, action, ready, status


def raw(**more: Any) -> Json:
    """The monitor of the report's tests, as the API server holds it."""
    metadata = {"name": "heart", "namespace": "cardiology", "uid": "u-1"}
    spec = more.pop("spec", support.spec())
    return {"metadata": metadata, "spec": spec.wire(), "status": status(**more).wire()}


def shown(**more: Any) -> str:
    return read(resources.tree(DriftMonitor, raw(**more), NOW), width=240)


def test_the_verdict_its_cause_and_its_version_stand_on_top() -> None:
    first, _, second = shown().splitlines()[:3]
    assert first.startswith("PerformanceLoss: accuracy 0.742. No action yet: run 4")
    assert second == "cardiology/heart PerformanceLoss (InputDrift) for 9h, 2 windows in a row heart-v3 of md/heart"


def test_features_stand_with_index_limit_chance_and_what_moved() -> None:
    text = shown()
    assert "▲ chol █████┃███████ PSI 1.84 ≤ 0.02 p < 0.0001 n 4812 below 0% → 43%" in text
    assert "▲ oldpeak █████┃█████░░ PSI 0.041 ≤ 0.02 p < 0.0001 n 4812 [0,0) 33% → 24% in the fast window" in text
    assert "✔ the features together ███░░┃░░░░░░░ PSI 0.012 ≤ 0.02 p 0.41" in text


def test_performance_stands_with_its_interval_and_what_it_may_lose() -> None:
    text = shown()
    assert "accuracy ✖ 0.742 (0.705 to 0.776) 0.853 held out, 0.05 let pass 611 labels, 3h10m late on average" in text
    assert "estimated accuracy ✔ 0.801" in text
    few = status().performance
    assert few is not None
    none = few.model_copy(update={"value": None, "low": None, "high": None, "labels": 12, "loss": False})
    assert "accuracy 12 labels are too few 0.853 held out" in shown(performance=none)


def test_signals_actions_and_what_was_before_are_there() -> None:
    text = shown()
    assert "✖ latency-p99 0.084 ≤ 0.05 3 chunks in a row" in text
    assert "∅ admissions no data ≥ 10 the query gives nothing" in text
    assert "Retrain heart-v3 8h36m ago: 3 of 13 features" in text
    assert "before Drifting heart-v3 (from 13h ago)" in text
    assert "window 24h in 24 chunks, closed 32s ago, 4812 predictions against Training of heart-v3" in text


def test_a_person_who_is_needed_is_told_before_the_figures() -> None:
    needed = ready("the retrain budget is spent", "BudgetSpent", "HumanNeeded")
    text = shown(conditions=[*status().conditions, needed])
    assert text.index("HumanNeeded the retrain budget is spent") < text.index("window 24h")


def test_one_that_only_watches_shows_what_it_would_have_asked_for() -> None:
    text = shown(spec=support.spec(mode="Observe"), actions=[], observed=[action("Rollback", 2.0)])
    assert "only watches" in text
    assert "would have been asked for\n│ └── Rollback heart-v3 2h ago" in text


def test_many_actions_are_cut_and_counted() -> None:
    assert "and 3 before" in shown(actions=[action("Retrain", float(at)) for at in range(8)])


def test_why_there_is_no_new_verdict_is_the_sentence() -> None:
    away = ready("Prometheus does not answer", "PrometheusUnavailable", status="False")
    assert shown(conditions=[away]).startswith("PrometheusUnavailable: Prometheus does not answer")


def test_one_that_nobody_has_looked_at_is_no_error() -> None:
    text = read(resources.tree(DriftMonitor, {**raw(), "status": {}}, NOW))
    assert "is it running?" in text
    assert "cardiology/heart not judged yet" in text


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [
        (0.0, 0.02, "░░░░░┃░░░░░░░"),
        (0.0199, 0.02, "█████┃░░░░░░░"),
        (0.0201, 0.02, "█████┃█░░░░░░"),
        (9.0, 0.02, "█████┃███████"),
        (-0.1, 0.02, "░░░░░┃░░░░░░░"),
        (0.1, 0.0, "█████┃███████"),
    ],
)
def test_a_bar_passes_its_line_where_the_index_passes_its_limit(value: float, limit: float, text: str) -> None:
    assert bar(value, limit) == text
