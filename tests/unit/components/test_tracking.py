"""A run as MLflow keeps it, by a real tracking server."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from perennial.contracts.request import Artifact, Tracking
from perennial.contracts.result import CandidateScore, Tracked, Trial
from perennial.contracts.signature import Input, Signature
from perennial_components.failure import RunError
from perennial_components.records import Account, Evaluation, Ingested, Parity, Tuned
from perennial_components.tracking.mlflow import ALIAS, tracking
from tests.unit.components.support import request

ROOT = Path(__file__).parents[3]
MODEL = Artifact("s3://artifacts/clinic/heart/1/model.onnx", "ab" * 32, 10)


def account(uri: str, **changes: object) -> Account:
    """The account of a run that found its best in the second of three trials, of which one failed."""
    trials = (
        Trial(1, "LogisticRegression", {"C": 0.1}, score=0.81, deviation=0.02, folds=(0.8, 0.82)),
        Trial(2, "LogisticRegression", {"C": 1.0}, score=0.84, deviation=0.02, folds=(0.83, 0.85)),
        Trial(3, "LogisticRegression", {"C": 9.0}, state="Failed", message="it does not converge"),
    )
    made = Account(
        request=msgspec.structs.replace(request(), tracking=Tracking(uri, "clinic/heart")),
        ingested=Ingested(sha256="cd" * 32, rows=303, files=1, columns=("age", "num")),
        signature=Signature("Classification", (Input("age", "Numeric"),), "num", ("0", "1")),
        tuned=Tuned((CandidateScore("LogisticRegression", {"C": 1.0}, 0.84, 0.02, 3),), 0, trials),
        parity=Parity(1e-7, 303),
        evaluation=Evaluation(
            rows=76, metrics={"roc_auc": 0.9, "recall": 0.8}, slices=(), confusion=(), roc=(), calibration=()
        ),
    )
    return msgspec.structs.replace(made, **changes)


def track(of: Account, page: str = "", **more: Any) -> Tracked | None:
    """What MLflow knows a run as that goes on well."""
    with tracking(of, MODEL, page, {}, **more) as found:
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a tracking server with a store of its own."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        ROOT / ".venvs/bench-mlflow/bin/mlflow", "server", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts",
    ]  # fmt: skip
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **quiet}, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    until = time.monotonic() + 120
    try:
        while not _answers(address):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # it takes seconds to end by itself, and nothing of it is kept
        process.wait(30)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health").status_code == 200
    except httpx.HTTPError:
        return False


def test_a_run_is_recorded_with_its_trials_its_report_and_a_version(server: str) -> None:
    first, second = (track(account(server), "<h1>report</h1>") for _ in range(2))
    assert first is not None
    assert second is not None
    assert (first.problem, second.problem) == ("", "")
    assert (first.version, second.version) == ("1", "2")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=server)
    run = client.get_run(first.run)
    assert run.data.metrics == {"roc_auc": 0.9, "recall": 0.8}
    assert run.data.params == {"algorithm": "LogisticRegression", "C": "1.0"}
    assert run.data.tags["perennial.training"] == "clinic/heart"
    assert run.info.status == "FINISHED"
    assert [item.path for item in client.list_artifacts(first.run)] == ["report.html"]
    children = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{first.run}'")
    assert sorted((child.data.params["C"], child.info.status) for child in children) == [
        ("0.1", "FINISHED"), ("1.0", "FINISHED"), ("9.0", "FAILED"),
    ]  # fmt: skip
    version = client.get_model_version_by_alias("heart-disease", ALIAS)
    assert (version.version, version.source, version.run_id) == ("2", MODEL.uri, second.run)
    assert version.tags["sha256"] == MODEL.sha256
    assert httpx.get(first.url.partition("#")[0]).status_code == 200


def test_trials_that_would_take_too_long_are_left_out_and_said_so(server: str) -> None:
    times = iter([0.0, 0.0, 99.0, 99.0])
    found = track(account(server), clock=lambda: next(times))
    assert found
    assert found.run
    assert found.problem.startswith("2 trials were left out")


def statuses(server: str, run: str) -> list[str]:
    """The status of a run, then those of its trials, sorted."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=server)
    info = client.get_run(run).info
    children = client.search_runs([info.experiment_id], f"tags.`mlflow.parentRunId` = '{run}'")
    return [info.status, *sorted(child.info.status for child in children)]


@pytest.mark.parametrize(
    ("ends", "status"), [(RunError("StoreUnavailable", "no route"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_run_that_fails_afterwards_has_not_finished_in_mlflow(server: str, ends: BaseException, status: str) -> None:
    seen: list[str] = []

    def register() -> None:
        with tracking(account(server), MODEL, "", {}) as found:
            assert found is not None
            seen.append(found.run)
            assert statuses(server, found.run)[0] == "RUNNING"
            raise ends

    with pytest.raises(type(ends)):
        register()
    assert statuses(server, seen[0]) == [status, "FAILED", "FINISHED", "FINISHED"]


def test_what_mlflow_refuses_ends_its_run_as_failed_and_ours_goes_on(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    log = MlflowClient.log_batch

    def refusing(self: Any, run_id: str, **given: Any) -> None:
        if any(each.value == "9.0" for each in given["params"]):
            raise MlflowException("no room left")
        log(self, run_id, **given)

    monkeypatch.setattr(MlflowClient, "log_batch", refusing)
    found = track(account(server))
    assert found is not None
    assert found.problem == "no room left"
    assert found.run in found.url
    assert statuses(server, found.run) == ["FAILED", "FAILED", "FINISHED", "FINISHED"]


def test_what_an_attempt_that_was_killed_has_left_running_is_ended_by_the_next(server: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=server)
    asked = msgspec.structs.replace(account(server).request, output="s3://artifacts/clinic/heart/7")
    here = account(server, request=asked)
    with tracking(here, MODEL, "", {}) as found:
        assert found is not None
        experiment = client.get_run(found.run).info.experiment_id
    left = client.create_run(experiment, tags=client.get_run(found.run).data.tags).info.run_id
    trial = client.create_run(experiment, tags={"mlflow.parentRunId": left}).info.run_id
    elsewhere = {**client.get_run(found.run).data.tags, "perennial.output": "s3://staging/clinic/heart/7"}
    other = client.create_run(experiment, tags=elsewhere).info.run_id
    assert track(here)
    assert [client.get_run(each).info.status for each in (left, trial, other)] == ["KILLED", "KILLED", "RUNNING"]


def test_a_server_that_is_away_fails_nothing() -> None:
    found = track(account("http://name:word@127.0.0.1:9"))
    assert found
    assert found.problem
    assert "word" not in found.problem


def test_no_server_is_named() -> None:
    asked = msgspec.structs.replace(request(), tracking=None)
    assert track(account("", request=asked)) is None
