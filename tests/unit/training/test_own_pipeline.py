"""A training with a pipeline of one's own: what its pod is, and how its failures are told."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from perennial.contracts.result import RunOutcome
from perennial.domain.training.request import spec_hash
from tests.unit.training.support import Cluster, a_pod, a_training, ended_pod

OWN = {"url": "s3://pipelines/torch.yaml", "sha256": "a" * 64, "image": "registry/torch:1"}


def launched() -> Cluster:
    """A cluster whose first run has its Job."""
    cluster = Cluster(a_training(pipeline=OWN, candidates=[]))
    cluster.settle()
    return cluster


def own_pod(state: dict[str, Any]) -> dict[str, Any]:
    """A pod whose first container is in ``state``, and whose second one waits for it."""
    pod = a_pod({"waiting": {"reason": "PodInitializing"}})
    pod["status"]["initContainerStatuses"] = [{"name": "pipeline", "image": OWN["image"], "state": state}]
    return pod


def test_its_image_runs_first_and_ours_measures() -> None:
    cluster = launched()
    job = cluster.jobs[cluster.run.job]
    pod = job["spec"]["template"]["spec"]
    (own,), (ours,) = pod["initContainers"], pod["containers"]
    assert own["image"] == "registry/torch:1"
    assert {"name": "PERENNIAL_OWN_PIPELINE", "value": "1"} in own["env"]
    assert ours["image"] != own["image"]
    assert all(each["name"] != "PERENNIAL_OWN_PIPELINE" for each in ours["env"])
    assert own["securityContext"] == ours["securityContext"]
    writable = [{each["name"] for each in one["volumeMounts"] if not each.get("readOnly")} for one in (own, ours)]
    assert not writable[0] & writable[1], "it leaves nothing where ours would find it"
    assert {"name": "PYTHONSAFEPATH", "value": "1"} in ours["env"]
    request = json.loads(cluster.config_maps[cluster.run.job]["data"]["request.json"])
    assert request["pipeline"] == OWN


def test_its_failure_is_told_in_its_words() -> None:
    cluster = launched()
    failed = RunOutcome(succeeded=False, component="train", reason="TrainingFailed", message="loss is NaN")
    terminated = ended_pod(failed, exit_code=1)["status"]["containerStatuses"][0]["state"]
    cluster.pods[cluster.run.job] = [own_pod(terminated)]
    cluster.settle()
    assert cluster.condition()[1] == "TrainingFailed"
    assert "train failed: loss is NaN" in cluster.condition()[2]


def test_an_image_that_cannot_be_had_is_told() -> None:
    cluster = launched()
    cluster.pods[cluster.run.job] = [own_pod({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})]
    cluster.settle()
    assert cluster.status.phase == "Pending"
    assert cluster.condition()[1] == "ImagePullFailed"
    assert "no such image" in cluster.condition()[2]


def test_another_file_is_another_model() -> None:
    here, there = (spec_hash(a_training(pipeline={**OWN, "sha256": digit * 64}).spec) for digit in "ab")
    assert len({here, there, spec_hash(a_training().spec)}) == 3


@pytest.mark.parametrize("changes", [{"sha256": "A" * 64}, {"url": "https://me:secret@host/p.yaml"}, {"image": "a b"}])
def test_what_makes_no_sense_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=f"pipeline.{next(iter(changes))}"):
        a_training(pipeline={**OWN, **changes})
