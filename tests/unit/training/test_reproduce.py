"""A recorded version, fitted again: the same file, or not, and nothing else of the training changes."""

import msgspec
import pytest

from perennial.contracts.objects import sha256
from perennial.contracts.request import Artifact
from perennial.contracts.result import Reproduction, RunOutcome
from perennial.domain.training.request import read_started
from tests.unit.training.support import ROOT, Cluster, a_training, result

MODEL = sha256(b"model.onnx")
ASKED = "request.json"


def registered(**changes: object) -> Cluster:
    """A cluster with heart-v1, whose run left what it was asked in the store, as runs do."""
    cluster = Cluster(a_training(**changes))
    cluster.settle()
    content = cluster.config_maps[cluster.run.job]["data"][ASKED].encode()
    folder = f"{ROOT}/cardio/heart/1"
    cluster.store[f"{folder}/{ASKED}"] = content
    made = result(folder)
    asked = Artifact(f"{folder}/{ASKED}", sha256(content), len(content))
    cluster.end_run(made=msgspec.structs.replace(made, artifacts={**made.artifacts, ASKED: asked}))
    cluster.settle()
    return cluster


def reproducing(cluster: Cluster | None = None) -> Cluster:
    """A cluster in which heart-v1 is being fitted again."""
    cluster = cluster or registered()
    cluster.request("reproduce/heart-v1/u1")
    cluster.settle()
    return cluster


def end(cluster: Cluster, found: str = MODEL) -> None:
    """The run ends with a model of this digest."""
    made = result(f"{ROOT}/cardio/heart/{cluster.run.number}")
    told = Reproduction("heart-v1", MODEL, found, identical=True)
    cluster.end_run(made=msgspec.structs.replace(made, reproduction=told))
    cluster.settle()


def test_a_version_is_fitted_again_as_it_was_asked_for_in_the_image_that_made_it() -> None:
    cluster = registered()
    cluster.change(tuning={"trials": 3}, suspend=True)
    cluster.change(suspend=False, tuning={})
    cluster = reproducing(cluster)
    run = cluster.run
    assert (run.number, run.reproduces, run.trigger.type) == (2, "heart-v1", "Request")
    assert run.image == cluster.versions["heart-v1"].spec.record.image
    begun = read_started(cluster.config_maps[run.job])
    assert begun is not None
    assert begun.request.replay is not None
    assert (begun.request.run, begun.request.output) == (2, f"{ROOT}/cardio/heart/2")
    assert (begun.request.replay.version, begun.request.replay.model_sha256) == ("heart-v1", MODEL)
    assert "to reproduce heart-v1" in cluster.condition("Running")[2]
    written = msgspec.json.decode(cluster.config_maps[run.job]["data"][ASKED])
    assert written["slices"] == []
    assert not {"gates", "champion", "tracking"} & set(written), "an older image refuses fields that it does not know"


@pytest.mark.parametrize(("found", "outcome"), [(MODEL, "Reproduced"), ("f" * 64, "Differs")])
def test_the_same_file_is_reproduced_and_another_differs_and_no_version_is_made(found: str, outcome: str) -> None:
    cluster = reproducing()
    ready, latest = cluster.condition(), cluster.status.latest_version
    end(cluster, found)
    assert (cluster.run.phase, cluster.run.outcome, cluster.run.version) == ("Succeeded", outcome, "")
    assert MODEL in cluster.run.message
    assert found in cluster.run.message
    assert list(cluster.versions) == ["heart-v1"]
    assert (cluster.condition(), cluster.status.latest_version, cluster.status.phase) == (ready, latest, "Succeeded")
    assert cluster.status.version_counter == 1
    assert cluster.said(outcome)


def test_data_that_have_changed_are_said_and_leave_the_training_ready() -> None:
    cluster = reproducing()
    cluster.end_run(RunOutcome(succeeded=False, component="ingest", reason="DataRejected", message="the data changed"))
    cluster.settle()
    assert (cluster.run.phase, cluster.run.outcome) == ("Failed", "DataRejected")
    assert cluster.condition()[:2] == ("True", "Registered")


@pytest.mark.parametrize("about", ["heart-v9", "lung-v1"])
def test_a_version_that_is_not_there_is_refused(about: str) -> None:
    cluster = registered()
    cluster.request(f"reproduce/{about}/u1")
    cluster.settle()
    assert cluster.status.run_counter == 1
    assert f"there is no ModelVersion {about} of the model heart" in cluster.said("RequestRefused")[0]


def test_a_version_whose_request_is_gone_cannot_be_reproduced() -> None:
    cluster = registered()
    del cluster.store[f"{ROOT}/cardio/heart/1/{ASKED}"]
    cluster = reproducing(cluster)
    assert (cluster.run.phase, cluster.run.outcome) == ("Failed", "RequestMissing")
    assert not [name for name in cluster.jobs if name.startswith("heart-2-")]


def test_a_result_that_does_not_say_is_no_reproduction() -> None:
    cluster = reproducing()
    cluster.end_run()
    cluster.settle()
    assert (cluster.run.phase, cluster.run.outcome) == ("Failed", "ResultMalformed")


def test_a_changed_spec_goes_first_and_the_request_waits_for_its_end() -> None:
    cluster = registered()
    cluster.change(tuning={"trials": 3})
    cluster = reproducing(cluster)
    assert (cluster.run.reproduces, cluster.run.trigger.type) == ("", "Spec")
    cluster.end_run()
    cluster.settle()
    assert (cluster.run.number, cluster.run.reproduces) == (3, "heart-v1")
    end(cluster)
    assert cluster.status.handled_request == "u1"
    assert cluster.status.run_counter == 3


def test_a_spec_that_changes_meanwhile_starts_a_run_afterwards() -> None:
    cluster = registered()
    cluster.request("reproduce/heart-v1/u1")
    cluster.step()
    cluster.change(tuning={"trials": 3})
    cluster.settle()
    assert cluster.run.reproduces == "heart-v1"
    end(cluster)
    assert (cluster.run.number, cluster.run.trigger.type, cluster.run.reproduces) == (3, "Spec", "")


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_reproduction_survives_the_end_of_the_process(steps: int) -> None:
    cluster = registered()
    cluster.request("reproduce/heart-v1/u1")
    for _ in range(2):
        cluster.step(steps=steps, status=False)
        cluster.step()
    cluster.settle()
    end(cluster)
    assert (cluster.run.number, cluster.run.outcome) == (2, "Reproduced")


def test_however_often_a_version_is_reproduced_the_training_stays_as_ready_as_it_was() -> None:
    cluster = registered()
    ready = cluster.condition()
    for number in range(12):
        cluster.request(f"reproduce/heart-v1/u{number}")
        cluster.settle()
        end(cluster)
    assert (cluster.condition(), cluster.status.phase) == (ready, "Succeeded")
    assert [run.number for run in cluster.status.runs] == [13, 12, 11, 10, 9, 8, 7, 6, 5, 1]
