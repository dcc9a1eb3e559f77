"""What a run's Job looks like to the cluster, and what it is asked to do."""

import json

from perennial.contracts.names import STORE_SECRET
from perennial.domain.training.request import output, read_started, spec_hash
from tests.unit.training.support import ROOT, Cluster, a_deployment, a_training, spec


def launched(**changes: object) -> Cluster:
    """A cluster whose first run has its Job."""
    cluster = Cluster(a_training(**changes))
    cluster.settle()
    return cluster


def test_the_pod_is_restricted_bounded_and_has_no_token() -> None:
    cluster = launched(engine={"deadline": "30m", "resources": {"cpu": "2", "memory": "3Gi"}})
    job = cluster.jobs[cluster.run.job]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"], pod["restartPolicy"]) == (0, 1800, "Never")
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"] == {"requests": {"cpu": "2", "memory": "3Gi"}, "limits": {"memory": "3Gi"}}
    assert container["envFrom"] == [{"secretRef": {"name": STORE_SECRET}}]
    assert pod["volumes"][1]["emptyDir"]["sizeLimit"]
    owner = cluster.jobs[cluster.run.job]["metadata"]["ownerReferences"][0]
    assert owner["uid"] == cluster.training.metadata.uid


def test_the_request_says_all_that_the_run_may_depend_on() -> None:
    gates = [{"metric": "recall", "min": 0.5, "by": "sex"}, {"metric": "f1", "min": 0.5, "by": "age"}]
    data = {**spec()["data"], "checks": [{"column": "age", "min": 0, "maxMissing": 0.5, "allowed": ["1"]}]}
    cluster = launched(evaluation={"gates": gates}, data=data, tuning={"trials": 3})
    begun = read_started(cluster.config_maps[cluster.run.job])
    assert begun is not None
    request = begun.request
    assert (request.namespace, request.training, request.run, request.model) == ("cardio", "heart", 1, "heart")
    assert request.output == output(ROOT, "cardio", "heart", 1) == "s3://artifacts/cardio/heart/1"
    assert request.slices == ("age", "sex")
    assert (request.target.column, request.target.above) == ("num", 0)
    assert (request.checks[0].max_missing, request.checks[0].allowed) == (0.5, ("1",))
    assert (request.trials, request.seed, request.champion) == (3, 7, None)
    assert request.time == ""
    assert begun.spec_hash == spec_hash(cluster.training.spec)


def test_the_column_that_says_when_a_row_was_goes_with_the_request() -> None:
    cluster = launched(data={**spec()["data"], "time": "admitted"})
    begun = read_started(cluster.config_maps[cluster.run.job])
    assert begun is not None
    assert begun.request.time == "admitted"
    assert begun.spec_hash != launched().status.spec_hash, "it makes another baseline, so it is another run"


def test_the_champion_is_the_version_in_service() -> None:
    cluster = launched(evaluation={"champion": {"metric": "roc_auc"}})
    cluster.end_run()
    cluster.settle()
    cluster.deployments = [a_deployment("heart-v1")]
    cluster.request("train/heart/u1")
    cluster.settle()
    request = json.loads(cluster.config_maps[cluster.run.job]["data"]["request.json"])
    assert request["champion"]["version"] == "heart-v1"
    assert request["champion"]["model"]["uri"].endswith("/heart/1/model.onnx")
    split = request["champion"]["split"]
    assert (split["test"], split["seed"], split["key"]) == (0.25, 7, [])


def test_names_are_valid_and_differ_between_trainings_of_one_name() -> None:
    names = []
    for uid in ("uid-1", "uid-2"):
        cluster = Cluster(a_training("a" * 39 + "-" + "b" * 23, uid))
        cluster.settle()
        names.append(cluster.run.job)
    assert len(set(names)) == 2
    assert all(len(name) <= 63 and "--" not in name for name in names)
