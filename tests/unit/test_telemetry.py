"""What the operator says about itself."""

import json
import logging
import socket

import aiohttp
import pytest
from prometheus_client import generate_latest

from perennial.telemetry import Health, JsonFormatter, Metrics, about, serving


def test_a_log_line_is_json_with_the_object_it_is_about() -> None:
    record = logging.LogRecord("perennial.loop", logging.WARNING, "", 0, "%s went\nwrong", ("it",), None)
    with about(("ModelTraining", "clinic", "heart")):
        inside = json.loads(JsonFormatter().format(record))
    outside = json.loads(JsonFormatter().format(record))
    assert inside["message"] == "it went\nwrong"
    assert (inside["level"], inside["kind"], inside["namespace"], inside["name"]) == (
        "warning", "ModelTraining", "clinic", "heart",
    )  # fmt: skip
    assert inside["reconcile"]
    assert "kind" not in outside


def test_each_look_has_its_own_id() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "", (), None)
    ids = set()
    for _ in range(3):
        with about(("ModelTraining", "clinic", "heart")):
            ids.add(json.loads(JsonFormatter().format(record))["reconcile"])
    assert len(ids) == 3


def test_roles_are_exported_as_they_are_at_the_scrape() -> None:
    metrics, roles = Metrics(), [("clinic/serve", "heart-v1", "stable")]
    metrics.follow_roles(lambda: roles)
    series = 'perennial_deployment_role{deployment="clinic/serve",role="stable",version="heart-v1"} 1.0'
    assert series in generate_latest(metrics.registry).decode()
    roles.clear()
    assert "heart-v1" not in generate_latest(metrics.registry).decode()


def test_what_objects_say_is_part_of_the_scrape() -> None:
    metrics = Metrics()
    assert b"perennial_operator_leader" in metrics.exposition()
    metrics.follow_objects(lambda: "x 1.0\n")
    assert metrics.exposition().endswith(b"\nx 1.0\n")


def test_looks_errors_requests_and_outcomes_are_counted() -> None:
    metrics = Metrics()
    metrics.reconciled("ModelTraining", 0.02)
    metrics.error("ModelTraining", "Unreachable")
    metrics.api_request("get", "Pod", 200)
    metrics.outcome("verdict", "Drifting")
    metrics.follow_queue(lambda: 3, lambda: 1.5)
    text = generate_latest(metrics.registry).decode()
    for line in (
        'perennial_operator_reconcile_duration_seconds_count{kind="ModelTraining"} 1.0',
        'perennial_operator_reconcile_errors_total{kind="ModelTraining",reason="Unreachable"} 1.0',
        'perennial_operator_api_requests_total{code="200",kind="Pod",verb="get"} 1.0',
        'perennial_operator_outcomes_total{outcome="Drifting",subject="verdict"} 1.0',
        "perennial_operator_queue_depth 3.0",
        "perennial_operator_queue_overdue_seconds 1.5",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("role", "synced", "stalled", "live", "ready"),
    [
        ("starting", False, 0.0, 200, 503),
        ("standby", False, 0.0, 200, 200),
        ("leader", False, 0.0, 200, 503),
        ("leader", True, 29.0, 200, 200),
        ("leader", True, 31.0, 503, 200),
    ],
)
async def test_the_probes_answer(role: str, synced: bool, stalled: float, live: int, ready: int) -> None:
    health = Health()
    health.role, health.synced, health.stalled_for = role, lambda: synced, lambda: stalled
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with serving(Metrics(), health, port), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        assert (await session.get("/healthz")).status == live
        assert (await session.get("/readyz")).status == ready
        assert (await session.get("/metrics")).status == 200
