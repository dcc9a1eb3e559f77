"""A pipeline whose model is trained by PyTorch: all else is done by Perennial's components. ``python pipeline.py``
writes pipeline.yaml beside it (or the file that is named) and prints its SHA-256, for spec.pipeline.
"""
# ruff: noqa: INP001, PLC0415 - a component's body runs alone and imports what it needs

import hashlib
import sys
from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from perennial_components.baseline.component import baseline
from perennial_components.check.component import check
from perennial_components.evaluate.component import evaluate
from perennial_components.ingest.component import ingest
from perennial_components.register.component import register
from perennial_components.split.component import split

IMAGE = "localhost/perennial/own-pipeline-torch:0.1.0"
"""Made by hack/example-images; its tag is the release of Perennial that it is made from."""


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(
    request: str,
    rows: dsl.Input[dsl.Dataset],
    signature: dsl.Input[dsl.Artifact],
    model: dsl.Output[dsl.Model],
    served: dsl.Output[dsl.Model],
    tuned: dsl.Output[dsl.Artifact],
    parity: dsl.Output[dsl.Artifact],
    predictions: dsl.Output[dsl.Dataset],
) -> None:
    """Runs train.py, which the image has: the embedded engine executes Python components alone.

    Args:
        request: JSON of contracts.request.RunRequest.
        rows: The encoded rows from split.
        signature: The signature from split.
        model: Empty: there is no scikit-learn estimator.
        served: The model (ONNX).
        tuned: Its parameters and its score over the folds (JSON).
        parity: The largest difference between PyTorch's answers and the graph's (JSON).
        predictions: The answers to each training row by a model that had not seen it (NumPy).
    """
    import subprocess
    import sys

    files = (rows, signature, model, served, tuned, parity, predictions)
    program = [sys.executable, "/opt/example/train.py", request, *(each.path for each in files)]
    subprocess.run(program, check=True)  # noqa: S603 - no shell; it says itself why it fails


def steps(request: str, training: Any) -> tuple[Any, list[Any]]:
    """result.json as it stands in the store, and all tasks but the one of ``training``."""
    read = ingest(request=request)
    data = read.outputs["data"]
    checked = check(request=request, data=data)
    prepared = split(request=request, data=data, sides=read.outputs["sides"]).after(checked)
    rows, signature = prepared.outputs["rows"], prepared.outputs["signature"]
    trained = training(request=request, rows=rows, signature=signature)
    served = trained.outputs["served"]
    evaluated = evaluate(request=request, data=data, rows=rows, signature=signature, served=served)
    evaluation = evaluated.outputs["evaluation"]
    counted = baseline(
        request=request, data=data, rows=rows, signature=signature,
        predictions=trained.outputs["predictions"], evaluation=evaluation,
    )  # fmt: skip
    registered = register(
        request=request, ingested=read.outputs["ingested"],
        profile=prepared.outputs["profile"], signature=signature, tuned=trained.outputs["tuned"],
        model=trained.outputs["model"], served=served, parity=trained.outputs["parity"], evaluation=evaluation,
        reference=counted.outputs["reference"],
    )  # fmt: skip
    return registered.outputs["result"], [read, checked, prepared, evaluated, counted, registered]


@dsl.pipeline(name="own-pipeline-torch", description="A multilayer perceptron by PyTorch, served as ONNX")
def pipeline(request: str) -> dsl.Artifact:
    """Trains, measures and registers one model, in one pod.

    Args:
        request: JSON of contracts.request.RunRequest.

    Returns:
        result.json, as it stands in the store.
    """
    result, tasks = steps(request, train)
    # A run's pod is of one image: the components that Perennial brings are executed in it, too.
    for task in tasks:
        task.set_container_image(IMAGE)
    return result


if __name__ == "__main__":
    target = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_name("pipeline.yaml")
    compiler.Compiler().compile(pipeline, str(target))
    print(hashlib.sha256(target.read_bytes()).hexdigest())
