"""A component in a pod of Kubeflow's finds out of which run it is, and leaves word of its failure there."""

import json
import sys
from pathlib import Path

import msgspec
import pytest

from perennial.contracts import names
from perennial.contracts.result import RunOutcome
from perennial_components import pod, progress
from perennial_components.failure import RunError, reported
from tests.unit.components.support import request as run_request

RUN, OLDER = "0f6f4f0e-1111-4a4b-8c8c-121212121212", "aaaaaaaa-2222-4a4b-8c8c-343434343434"


def arguments(outputs: list[str], inputs: list[str]) -> list[str]:
    def artifacts(addresses: list[str]) -> dict[str, object]:
        return {"artifacts": {f"a{i}": {"artifacts": [{"uri": uri}]} for i, uri in enumerate(addresses)}}

    request = msgspec.json.encode(run_request()).decode()
    given = {"inputs": {"parameterValues": {"request": request}, **artifacts(inputs)}, "outputs": artifacts(outputs)}
    return ["executor_main", "--executor_input", json.dumps(given), "--function_to_execute", "tune"]


def uri(run: str) -> str:
    return f"minio://mlpipeline/v2/artifacts/pipeline/ml.heart/{run}/tune/model"


def environ(root: Path) -> dict[str, str]:
    return {names.ENGINE: names.KUBEFLOW, names.STORE_ROOT: f"file://{root}"}


def test_the_run_is_that_of_what_is_made_not_of_what_comes_from_a_cache(tmp_path: Path) -> None:
    asked = run_request()
    expected = f"file://{tmp_path}/{asked.namespace}/{asked.training}/kubeflow/{RUN}"
    assert pod.folder(arguments([uri(RUN)], [uri(OLDER)]), environ(tmp_path)) == expected
    assert pod.folder(arguments([], [uri(RUN)]), environ(tmp_path)) == expected


def test_outside_of_kubeflow_there_is_no_such_place(tmp_path: Path) -> None:
    assert pod.folder(arguments([uri(RUN)], []), {names.STORE_ROOT: f"file://{tmp_path}"}) is None
    assert pod.folder(["executor_main"], environ(tmp_path)) is None
    assert pod.folder(["executor_main", "--executor_input", "{"], environ(tmp_path)) is None
    assert pod.folder(arguments(["/tmp/model"], []), environ(tmp_path)) is None


def test_a_component_that_fails_says_why_in_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environ(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", arguments([uri(RUN)], []))
    with pytest.raises(RunError), reported("check"):
        raise RunError("DataRejected", "column age: 3 rows above 120")
    asked = run_request()
    file = tmp_path / asked.namespace / asked.training / "kubeflow" / RUN / names.FILE_FAILURE
    told = msgspec.json.decode(file.read_bytes(), type=RunOutcome)
    assert (told.component, told.reason, told.message) == ("check", "DataRejected", "column age: 3 rows above 120")


def test_a_search_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environ(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", arguments([uri(RUN)], []))
    progress.searching(3, 20, "roc_auc", 0.9, clock=lambda: 1e9)
    asked = run_request()
    file = tmp_path / asked.namespace / asked.training / "kubeflow" / RUN / names.FILE_PROGRESS
    told = msgspec.json.decode(file.read_bytes(), type=progress.Progress)
    assert (told.component, told.index, told.components, told.trial) == ("tune", 4, 8, 3)
