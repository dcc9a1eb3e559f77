"""A pipeline of somebody's own with all that Kubeflow can run, beside ours: Kubeflow's own reader takes the whole."""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp import compiler, dsl
from kfp.pipeline_spec import pipeline_spec_pb2

from perennial.contracts import pipelines
from perennial.contracts.pipeline import lint
from perennial.render.own_pipeline import composed, platform_of


@dsl.container_component
def train(request: str, model: dsl.Output[dsl.Model]) -> dsl.ContainerSpec:
    """Any program of any image."""
    return dsl.ContainerSpec(image="torch:1", command=["train"], args=[request, model.path])


@dsl.container_component
def say(what: str) -> dsl.ContainerSpec:
    """Says it."""
    return dsl.ContainerSpec(image="busybox:1", command=["echo"], args=[what])


@dsl.pipeline
def inner(request: str) -> None:
    """A graph within the graph."""
    with dsl.ParallelFor([1, 2]) as number:
        say(what=f"{number}")
    train(request=request)


@dsl.pipeline(name="theirs")
def theirs(request: str) -> None:
    """Importers, exit handlers, loops, graphs within graphs."""
    with dsl.ExitHandler(say(what="it is over")):
        dsl.importer(artifact_uri="s3://data/base.bin", artifact_class=dsl.Model)
        inner(request=request)


def compiled(pipeline: Any) -> list[Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        return list(yaml.safe_load_all(path.read_text()))


def test_theirs_and_ours_are_one_that_kubeflow_can_read() -> None:
    documents = compiled(theirs)
    assert [each for each in lint(documents, engine="Kubeflow") if each.level == "Error"] == []
    assert any("importer" in str(each) for each in lint(documents)), "the embedded engine refuses it"
    ours = yaml.safe_load(pipelines.compiled("own"))
    whole = composed(ours, documents[0])
    spec = json_format.ParseDict(whole, pipeline_spec_pb2.PipelineSpec())
    references = [task.component_ref.name for task in spec.root.dag.tasks.values()]
    for component in spec.components.values():
        references += [task.component_ref.name for task in component.dag.tasks.values()]
    assert set(references) <= set(spec.components)
    labels = {each.executor_label for each in spec.components.values() if each.executor_label}
    assert labels == set(whole["deploymentSpec"]["executors"])
    kinds = {next(iter(each)) for each in whole["deploymentSpec"]["executors"].values()}
    assert kinds == {"container", "importer"}


def test_what_it_asks_of_kubernetes_stays_with_its_own_pods() -> None:
    # As kfp-kubernetes writes it.
    asked = {"exec-train": {"nodeSelector": {"labels": {"pool": "gpu"}}}}
    platforms = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": asked}}}}
    assert platform_of([None, platforms]) == {"own-exec-train": {"nodeSelector": {"labels": {"pool": "gpu"}}}}
    assert platform_of([]) == {}
