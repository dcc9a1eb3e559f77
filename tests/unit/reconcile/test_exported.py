"""The metrics of monitors and deployments, read as Prometheus reads them."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from perennial.reconcile.exported import FAMILIES, AskedFor, exposition, of_deployment, of_monitor

Json = dict[str, Any]
SINCE, AT = "2026-01-02T03:04:05Z", 1767323045.0
VERDICTS = {"Healthy", "Drifting", "PerformanceLoss", "InsufficientData", "NoTraffic", "NoMetrics"}


def monitor(status: Json | None = None, name: str = "watch", **spec: Any) -> Json:
    metadata = {"namespace": "clinic", "name": name}
    return {
        "kind": "DriftMonitor",
        "metadata": metadata,
        "spec": {"deployment": "serve", **spec},
        "status": status or {},
    }


def deployment(status: Json) -> Json:
    metadata = {"namespace": "clinic", "name": "serve"}
    return {"kind": "ModelDeployment", "metadata": metadata, "spec": {"model": "heart"}, "status": status}


def figure(source: str, **more: Any) -> Json:
    return {"metric": "accuracy", "source": source, "reference": 0.85, **more}


FULL: Json = {
    "verdict": "Drifting", "cause": "InputDrift", "since": SINCE, "version": "heart-v2", "windowEnd": SINCE,
    "observations": 4321,
    "features": [
        {"feature": "age", "psi": 0.31, "threshold": 0.02, "pValue": 0.0, "drifting": True},
        {"feature": "chol", "psi": 0.001, "threshold": 0.02, "pValue": 0.7, "drifting": False},
    ],
    "performance": figure("Labels", value=0.8, low=0.75, high=0.84, labels=300, loss=True),
    "estimated": figure("Estimated", value=0.82, low=0.81, high=0.83),
    "signals": [
        {"name": "errors", "value": 0.2, "max": 0.01, "breached": True, "consecutive": 3},
        {"name": "rate", "min": 0.1, "breached": False, "message": "no requests before"},
    ],
    "actions": [
        {"id": "b", "kind": "Retrain", "version": "heart-v2", "since": SINCE},
        {"id": "a", "kind": "Retrain", "version": "heart-v1", "since": "2026-01-01T00:00:00Z"},
    ],
    "conditions": [
        {"type": "HumanNeeded", "status": "True", "reason": "BudgetSpent", "lastTransitionTime": SINCE},
        {"type": "Ready", "status": "True", "reason": "Judged", "lastTransitionTime": SINCE},
    ],
}  # fmt: skip


def series(*objects: Json) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """By name and labels; each may be there once."""
    lines = [of_monitor(raw, AskedFor()) if raw["kind"] == "DriftMonitor" else of_deployment(raw) for raw in objects]
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(exposition(lines)):
        assert family.documentation
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, key
            found[key] = sample.value
    return found


def values(found: Any, name: str, *labels: str, **wanted: str) -> dict[Any, float]:
    """The series ``name`` that have ``wanted``, by the values of ``labels`` (of one, by the value itself)."""
    rows = [(dict(key[1]), each) for key, each in found.items() if key[0] == name]
    return {
        tuple(row.get(label, "") for label in labels) if len(labels) > 1 else row.get(labels[0], ""): value
        for row, value in rows
        if wanted.items() <= row.items()
    }


def test_one_verdict_stands_and_the_others_do_not() -> None:
    verdicts = values(series(monitor(FULL)), "perennial_monitor_verdict", "verdict")
    assert verdicts == {each: float(each == "Drifting") for each in VERDICTS}
    assert set(values(series(monitor()), "perennial_monitor_verdict", "verdict").values()) == {0.0}


def test_each_series_names_the_monitor_and_the_deployment_as_predictors_do() -> None:
    for name, labels in series(monitor(FULL), monitor(FULL, "second")):
        pairs = dict(labels)
        assert (pairs["namespace"], pairs["deployment"]) == ("clinic", "clinic/serve"), name
        assert pairs["monitor"] in {"watch", "second"}


def test_the_evidence_is_told_with_what_it_is_held_against() -> None:
    found = series(monitor(FULL, window={"length": "48h"}))
    assert values(found, "perennial_monitor_feature_psi", "feature") == {"age": 0.31, "chol": 0.001}
    assert values(found, "perennial_monitor_feature_psi_threshold", "feature") == {"age": 0.02, "chol": 0.02}
    assert values(found, "perennial_monitor_feature_drifting", "feature") == {"age": 1.0, "chol": 0.0}
    assert values(found, "perennial_monitor_performance", "bound", source="Labels") == {
        "value": 0.8, "low": 0.75, "high": 0.84, "reference": 0.85,
    }  # fmt: skip
    assert values(found, "perennial_monitor_performance_loss", "source") == {"Labels": 1.0, "Estimated": 0.0}
    assert values(found, "perennial_monitor_signal", "signal", "part") == {
        ("errors", "value"): 0.2, ("errors", "max"): 0.01, ("rate", "min"): 0.1,
    }  # fmt: skip
    assert values(found, "perennial_monitor_signal_breached", "signal") == {"errors": 1.0, "rate": 0.0}
    assert values(found, "perennial_monitor_window_seconds", "version") == {"heart-v2": 172800.0}
    assert values(found, "perennial_monitor_window_predictions", "version") == {"heart-v2": 4321.0}
    assert values(found, "perennial_monitor_since_timestamp_seconds", "version") == {"heart-v2": AT}
    assert values(found, "perennial_monitor_info", "cause", "mode", "baseline") == {
        ("InputDrift", "Act", "Training"): 1.0
    }


def test_conditions_are_told_with_status_and_reason() -> None:
    assert values(series(monitor(FULL)), "perennial_monitor_condition", "type", "status", "reason") == {
        ("HumanNeeded", "True", "BudgetSpent"): 1.0, ("Ready", "True", "Judged"): 1.0,
    }  # fmt: skip


def test_actions_are_counted_from_zero_and_the_newest_has_its_time() -> None:
    found = series(monitor(FULL))
    assert values(found, "perennial_monitor_actions_total", "kind") == {"Retrain": 2.0, "Rollback": 0.0}
    newest = values(found, "perennial_monitor_last_action_timestamp_seconds", "kind", "version")
    assert newest == {("Retrain", "heart-v2"): AT}


def test_a_deployment_tells_what_serves_what_comes_and_what_is_held() -> None:
    def revision(version: str, **more: str) -> Json:
        return {"version": version, "revision": "r", "image": "i", **more}

    found = series(
        deployment({
            "stable": revision("heart-v1", since=SINCE),
            "rollout": {"target": revision("heart-v2"), "strategy": "Shadow", "startedAt": SINCE, "stepSince": SINCE},
            "held": {"version": "heart-v3", "reason": "quarantined", "since": SINCE},
            "conditions": [{"type": "Ready", "status": "True", "reason": "Serving", "lastTransitionTime": SINCE}],
        })
    )  # fmt: skip
    about = frozenset({("deployment", "clinic/serve")})
    assert found == {
        ("perennial_deployment_promoted_timestamp_seconds", about | {("version", "heart-v1")}): AT,
        ("perennial_deployment_rollout_started_timestamp_seconds",
         about | {("version", "heart-v2"), ("strategy", "Shadow")}): AT,
        ("perennial_deployment_held_timestamp_seconds", about | {("version", "heart-v3")}): AT,
        ("perennial_deployment_condition", about | {("type", "Ready"), ("status", "True"), ("reason", "Serving")}): 1.0,
    }  # fmt: skip


def test_a_monitor_costs_no_more_series_than_its_status_can_hold() -> None:
    features = [{**FULL["features"][0], "feature": f"f{number}"} for number in range(10)]
    signals = [{"name": f"s{number}", "value": 1.0, "min": 0.0, "max": 2.0} for number in range(20)]
    assert len(series(monitor({**FULL, "features": features, "signals": signals}))) <= 150


@pytest.mark.parametrize("name", ['"', "\\", "\n", 'a "b\\n\nc'])
def test_any_name_of_a_feature_is_told_as_it_is(name: str) -> None:
    feature = {**FULL["features"][0], "feature": name}
    assert set(
        values(series(monitor({"features": [feature, feature]})), "perennial_monitor_feature_psi", "feature")
    ) == {name}


def test_what_an_older_definition_let_in_is_left_out() -> None:
    assert series({**monitor(FULL), "spec": {}}) == {}
    assert series({**deployment({}), "spec": {"modle": 1}}) == {}


def test_nothing_is_told_that_is_not_described() -> None:
    lines = of_monitor(monitor(FULL), AskedFor())
    assert set(lines) <= set(FAMILIES)
