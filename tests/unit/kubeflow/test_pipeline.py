"""What Kubeflow is given: images, credentials and resources of each pod, and which pipeline it is."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from perennial.api.run import Run, Trigger
from perennial.api.training import ModelTraining
from perennial.contracts.request import RunRequest
from perennial.domain.plan import Submit
from perennial.domain.training.kubeflow import Defaults, Side, Target, target
from perennial.domain.training.request import started
from perennial.render.kubeflow import submission
from tests.unit.training.support import NOW, ROOT, a_training

OWN = Path(__file__).parents[3] / "examples" / "own-pipeline-torch" / "pipeline.yaml"
KEYS = ("AWS_ACCESS_KEY_ID", "PERENNIAL_STORE_ROOT")
Json = dict[str, Any]


def submitted(training: ModelTraining, defaults: Defaults | None = None, own: bytes = b"") -> Submit:
    """What is given to Kubeflow for the first run."""
    run = Run(
        number=1, trigger=Trigger(type="Spec"), phase="Running", job="heart-1-abc", image="components:9", started_at=NOW
    )
    begun = started(training, run, ROOT, None)
    where = target(training, training.spec.engine, defaults or Defaults("http://kfp"))
    assert isinstance(where, Target), where
    step = submission(training, run, begun, where, Side(keys=KEYS, own=own))[1]
    assert isinstance(step, Submit)
    return step


def read(step: Submit) -> tuple[Json, Json]:
    """The pipeline, and what Kubernetes gives its pods, by executor."""
    pipeline, platform = yaml.safe_load_all(step.content)
    return pipeline, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def kubeflow(**given: Any) -> Json:
    """An engine."""
    return {"type": "Kubeflow", "kubeflow": given}


def test_each_pod_has_the_runs_image_the_store_and_its_resources() -> None:
    step = submitted(a_training(engine=kubeflow() | {"resources": {"cpu": "500m", "memory": "3Gi"}}))
    pipeline, platform = read(step)
    executors = pipeline["deploymentSpec"]["executors"]
    assert set(executors) == set(platform)
    for executor in executors.values():
        container = executor["container"]
        assert container["image"] == "components:9"
        assert container["resources"] == {
            "cpuRequest": 0.5, "memoryRequest": 3 * 2**30 / 1e9, "memoryLimit": 3 * 2**30 / 1e9,
        }  # fmt: skip
        assert {"name": "PERENNIAL_ENGINE", "value": "Kubeflow"} in container["env"]
    # In the one namespace that all share each namespace's Secret has its name.
    (secret,) = platform["exec-tune"]["secretAsEnv"]
    assert secret["secretName"] == "perennial-store-cardio"
    assert [each["envVar"] for each in secret["keyToEnv"]] == list(KEYS)
    assert msgspec.json.decode(step.parameters["request"], type=RunRequest).run == 1
    assert (step.pipeline, step.experiment) == ("cardio.heart", "cardio.heart")


def test_nothing_is_cached_unless_it_is_asked_for() -> None:
    tasks = read(submitted(a_training(engine=kubeflow())))[0]["root"]["dag"]["tasks"]
    assert all(not task["cachingOptions"] for task in tasks.values())
    spread = read(submitted(a_training(engine=kubeflow(shards=3))))[0]
    searches = [
        task for each in spread["components"].values() if "dag" in each for task in each["dag"]["tasks"].values()
    ]
    assert len(searches) == 2
    assert all(not task["cachingOptions"] for task in searches)
    # A server of 2.0 lets nothing wait for a loop.
    waited = {name for task in spread["root"]["dag"]["tasks"].values() for name in task.get("dependentTasks", ())}
    assert not any("for-loop" in name for name in waited)
    cached = read(submitted(a_training(engine=kubeflow(caching=True))))[0]["root"]["dag"]["tasks"]
    known = {name for name, task in cached.items() if task.get("cachingOptions", {}).get("enableCache")}
    assert known == {"known", "check", "split", "perennial-search", "choose", "export", "evaluate", "baseline"}


def test_two_runs_of_a_definition_are_one_to_the_cache_and_one_version_of_the_pipeline() -> None:
    training = a_training(engine=kubeflow(caching=True, shards=2))
    first, later = submitted(training), submitted(training)
    assert first.content == later.content
    asked = msgspec.json.decode(first.parameters["definition"], type=RunRequest)
    assert (asked.run, asked.output) == (0, "")
    assert (first.parameters["share_numbers"], first.parameters["shares"]) == ([0, 1], 2)


def test_what_a_components_pods_need_goes_to_them_alone() -> None:
    pods = [
        {"nodeSelector": {"pool": "cpu"}},
        {
            "components": ["tune"], "cpu": "4", "memory": "8G", "accelerator": {"type": "nvidia.com/gpu", "count": 1},
            "nodeSelector": {"pool": "gpu"}, "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "volumes": [{"claim": "models", "mountPath": "/models"}],
            "secretEnv": [{"secret": "hub", "key": "token", "name": "HUB_TOKEN"}],
        },
    ]  # fmt: skip
    endpoint = {"endpoint": "https://kfp.example.com/pipeline", "namespace": "cardio"}
    pipeline, platform = read(submitted(a_training(engine=kubeflow(pods=pods, shards=2, **endpoint))))
    container = pipeline["deploymentSpec"]["executors"]["exec-search"]["container"]
    assert container["resources"] == {
        "cpuRequest": 4.0, "memoryRequest": 8.0, "memoryLimit": 8.0,
        "accelerator": {"type": "nvidia.com/gpu", "count": "1"},
    }  # fmt: skip
    search = platform["exec-search"]
    assert search["nodeSelector"] == {"labels": {"pool": "gpu"}}
    assert search["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert search["pvcMount"] == [{"constant": "models", "mountPath": "/models"}]
    assert [each["secretName"] for each in search["secretAsEnv"]] == ["perennial-store", "hub"]
    assert platform["exec-check"]["nodeSelector"] == {"labels": {"pool": "cpu"}}
    assert "tolerations" not in platform["exec-check"]


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (
            {"engine": kubeflow(pods=[{"secretEnv": [{"secret": "s", "key": "k", "name": "N"}]}])},
            "spec.engine.kubeflow.pods.secretEnv",
        ),
        ({"engine": kubeflow(pods=[{"volumes": [{"claim": "c", "mountPath": "/c"}]}])}, "spec.engine.kubeflow.pods"),
        ({"tracking": {"mlflow": {"uri": "http://mlflow", "secret": "mine"}}}, "spec.tracking.mlflow.secret"),
    ],
)
def test_pods_beside_everybodys_have_no_secrets_but_the_store(spec: Json, named: str) -> None:
    training = a_training(**{"engine": kubeflow(), **spec})
    found = target(training, training.spec.engine, Defaults("http://kfp"))
    assert isinstance(found, tuple)
    assert found[0] == "KubeflowNamespaceShared"
    assert named in found[1]
    where = target(training, training.spec.engine, Defaults("http://kfp", multi_user=True))
    assert isinstance(where, Target)
    assert (where.server.namespace, where.store_secret, where.server.secret_in) == ("cardio", "perennial-store", "")


def test_the_operators_credentials_do_not_go_to_an_endpoint_of_somebodys_own() -> None:
    training = a_training(engine=kubeflow(endpoint="https://mine.example.com/", namespace="other"))
    where = target(training, training.spec.engine, Defaults("http://kfp", service_account="theirs", ui="http://ui"))
    assert isinstance(where, Target)
    assert (where.server.endpoint, where.server.secret_in) == ("https://mine.example.com", "cardio")
    assert (where.service_account, where.ui) == ("", "")


def test_a_pipeline_of_ones_own_is_one_task_and_ours_measures_after_it() -> None:
    given = {"url": "s3://data/torch.yaml", "sha256": "a" * 64}
    step = submitted(a_training(engine=kubeflow(), pipeline=given), own=OWN.read_bytes())
    pipeline, platform = read(step)
    tasks = pipeline["root"]["dag"]["tasks"]
    assert "pipeline" in tasks["claim"]["dependentTasks"]
    assert tasks["pipeline"]["inputs"]["parameters"]["request"] == {"componentInputParameter": "own_request"}
    theirs = pipeline["components"]["comp-own-pipeline"]["dag"]["tasks"]
    assert {task["componentRef"]["name"] for task in theirs.values()} <= set(pipeline["components"])
    executors = pipeline["deploymentSpec"]["executors"]
    labels = {each["executorLabel"] for each in pipeline["components"].values() if "executorLabel" in each}
    assert labels == set(executors) == set(platform)
    assert executors["own-exec-train"]["container"]["image"].startswith("localhost/perennial/own-pipeline-torch")
    assert executors["exec-evaluate"]["container"]["image"] == "components:9"
    assert platform["own-exec-train"]["secretAsEnv"][0]["secretName"] == "perennial-store-cardio"
    asked = msgspec.json.decode(step.parameters["own_request"], type=RunRequest)
    assert asked.output.endswith("/heart/1/claimed")
    assert asked.tracking is None
