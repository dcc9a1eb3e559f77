"""The pipeline of pipeline.py for Kubeflow Pipelines: each component in a pod, PyTorch's as a container component, and
an exit handler. ``python kubeflow.py`` writes kubeflow.yaml beside it (or the file that is named) and prints its
SHA-256.
"""
# ruff: noqa: INP001

import hashlib
import sys
from pathlib import Path

from kfp import compiler, dsl
from pipeline import IMAGE, steps


@dsl.container_component
def train_in_a_container(
    request: str,
    rows: dsl.Input[dsl.Dataset],
    signature: dsl.Input[dsl.Artifact],
    model: dsl.Output[dsl.Model],
    served: dsl.Output[dsl.Model],
    tuned: dsl.Output[dsl.Artifact],
    parity: dsl.Output[dsl.Artifact],
    predictions: dsl.Output[dsl.Dataset],
) -> dsl.ContainerSpec:
    """The same program, as Kubeflow runs any program of any image."""
    files = (rows, signature, model, served, tuned, parity, predictions)
    return dsl.ContainerSpec(
        image=IMAGE, command=["python", "/opt/example/train.py"], args=[request, *(each.path for each in files)]
    )


@dsl.container_component
def say(what: str) -> dsl.ContainerSpec:
    """Says it in the log."""
    return dsl.ContainerSpec(image=IMAGE, command=["echo"], args=[what])


@dsl.pipeline(name="own-pipeline-torch", description="A multilayer perceptron by PyTorch, served as ONNX")
def kubeflow(request: str) -> None:
    """The same in Kubeflow: each component in a pod, PyTorch's as a container component; the end is told in any case.

    Args:
        request: JSON of contracts.request.RunRequest.
    """
    with dsl.ExitHandler(say(what="the training is over").set_caching_options(enable_caching=False)):
        _, tasks = steps(request, train_in_a_container)
        # Perennial's components are in this image, too; their own would do as well.
        for task in tasks:
            task.set_container_image(IMAGE)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_name("kubeflow.yaml")
    compiler.Compiler().compile(kubeflow, str(target))
    print(hashlib.sha256(target.read_bytes()).hexdigest())
