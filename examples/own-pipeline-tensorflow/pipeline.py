"""A pipeline whose model is trained by TensorFlow: all else is done by Perennial's components. ``python pipeline.py``
writes pipeline.yaml beside it (or the file that is named) and prints its SHA-256, for spec.pipeline.
"""
# ruff: noqa: INP001, PLC0415 - a component's body runs alone and imports what it needs

import hashlib
import sys
from pathlib import Path

from kfp import compiler, dsl

from perennial_components.baseline.component import baseline
from perennial_components.check.component import check
from perennial_components.evaluate.component import evaluate
from perennial_components.ingest.component import ingest
from perennial_components.register.component import register
from perennial_components.split.component import split

IMAGE = "localhost/perennial/own-pipeline-tensorflow:0.1.0"
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
    """Fits perceptron.py's model on the training rows, and on all but each fold of them for its score.

    Args:
        request: JSON of contracts.request.RunRequest.
        rows: The encoded rows from split.
        signature: The signature from split.
        model: Empty: there is no scikit-learn estimator.
        served: The model (ONNX).
        tuned: Its parameters and its score over the folds (JSON).
        parity: The largest difference between TensorFlow's answers and the graph's (JSON).
        predictions: The answers to each training row by a model that had not seen it (NumPy).
    """
    from perennial_components import storage
    from perennial_components.failure import RunError, reported

    with reported("train", unexpected="TrainingFailed"):
        import os
        import subprocess
        import tempfile
        from pathlib import Path

        import numpy as np
        from sklearn.utils.class_weight import compute_sample_weight

        from perennial.contracts.result import CandidateScore
        from perennial.contracts.signature import Signature
        from perennial_components.evaluate.metrics import score
        from perennial_components.inference import answers_of
        from perennial_components.records import Parity, Tuned
        from perennial_components.split.folds import folds

        asked, its = storage.read_request(request), storage.read_json(signature.path, Signature)
        if its.task != "Classification":
            raise RunError("TrainingFailed", f"this pipeline trains a Classification; spec.task is {its.task}")
        encoded = storage.read_encoded(rows.path)
        features, target = encoded.features[~encoded.held], encoded.target[~encoded.held]
        parts = [test for _, test in folds(encoded, asked)]
        fit = np.ones((len(parts) + 1, len(target)), dtype=bool)
        for chosen, test in zip(fit, parts, strict=False):
            chosen[test] = False
        balanced = compute_sample_weight("balanced" if asked.imbalance == "ClassWeight" else None, target)
        parameters = {"hidden": 16, "epochs": 60, "learning_rate": 0.01, "decay": 0.02}
        data = {
            "features": features, "target": target, "weight": balanced.astype(np.float32), "fit": fit,
            "categories": [len(item.categories) for item in its.inputs], "classes": len(its.classes),
            "seed": asked.seed,
        }  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            np.savez(f"{folder}/rows.npz", **data, **parameters)
            # An environment of its own: the one on the image's PATH is Perennial's, and has no TensorFlow.
            # tf2onnx walks sets of names: in the order of one hash seed they give one file.
            program = ["/opt/tensorflow/bin/python", "-Ps", "/opt/example/perceptron.py", f"{folder}/rows.npz", folder]
            seeded = {**os.environ, "PYTHONHASHSEED": "0"}
            done = subprocess.run(program, env=seeded, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
            if done.returncode:
                raise RunError("TrainingFailed", f"perceptron.py: {done.stderr[-1000:]}")
            graph, answers = Path(folder, "model.onnx").read_bytes(), np.load(f"{folder}/answers.npy")

        difference = float(np.abs(answers_of(its.task, graph, features) - answers[-1]).max())
        if difference > 1e-4:
            raise RunError("ExportMismatch", f"the graph's probabilities differ from TensorFlow's by {difference:.2g}")
        unseen = np.empty(answers.shape[1:])
        for fold, test in enumerate(parts):
            unseen[test] = answers[fold, test]
        scores = [score(asked.metric, target[test], unseen[test], its.positive) for test in parts]
        found = CandidateScore("KerasPerceptron", parameters, float(np.mean(scores)), float(np.std(scores)), 1)
        Path(model.path).write_bytes(b"")
        Path(served.path).write_bytes(graph)
        storage.write_json(tuned.path, Tuned((found,), 0))
        storage.write_json(parity.path, Parity(difference, len(features)))
        storage.write_arrays(predictions.path, storage.OutOfFold(target, unseen))


@dsl.pipeline(name="own-pipeline-tensorflow", description="A multilayer perceptron by TensorFlow, served as ONNX")
def pipeline(request: str) -> dsl.Artifact:
    """Trains, measures and registers one model.

    Args:
        request: JSON of contracts.request.RunRequest.

    Returns:
        result.json, as it stands in the store.
    """
    read = ingest(request=request)
    data = read.outputs["data"]
    checked = check(request=request, data=data)
    prepared = split(request=request, data=data, sides=read.outputs["sides"]).after(checked)
    rows, signature = prepared.outputs["rows"], prepared.outputs["signature"]
    trained = train(request=request, rows=rows, signature=signature)
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
    # A run's pod is of one image: the components that Perennial brings are executed in it, too.
    for task in (read, checked, prepared, evaluated, counted, registered):
        task.set_container_image(IMAGE)
    return registered.outputs["result"]


if __name__ == "__main__":
    target = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_name("pipeline.yaml")
    compiler.Compiler().compile(pipeline, str(target))
    print(hashlib.sha256(target.read_bytes()).hexdigest())
