"""Fits perceptron.py's model on the training rows, and on all but each fold of them for its score: the program that
the component ``train`` runs. train.py REQUEST ROWS SIGNATURE MODEL SERVED TUNED PARITY PREDICTIONS: the request is
JSON, the others are files (see pipeline.py).
"""
# ruff: noqa: INP001

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight

from perennial.contracts.result import CandidateScore
from perennial.contracts.signature import Signature
from perennial_components import storage
from perennial_components.evaluate.metrics import score
from perennial_components.failure import RunError, reported
from perennial_components.inference import answers_of
from perennial_components.records import Parity, Tuned
from perennial_components.split.folds import folds

PARAMETERS: dict[str, float | int | str | bool | None] = {
    "hidden": 16, "epochs": 100, "learning_rate": 0.01, "decay": 0.1,
}  # fmt: skip


def train(request: str, rows: str, signature: str, model: str, served: str, tuned: str, parity: str, out: str) -> None:
    """Trains and writes the five files. Raises RunError."""
    asked, its = storage.read_request(request), storage.read_json(signature, Signature)
    if its.task != "Classification":
        raise RunError("TrainingFailed", f"this pipeline trains a Classification; spec.task is {its.task}")
    encoded = storage.read_encoded(rows)
    features, target = encoded.features[~encoded.held], encoded.target[~encoded.held]
    parts = [test for _, test in folds(encoded, asked)]
    fit = np.ones((len(parts) + 1, len(target)), dtype=bool)
    for chosen, test in zip(fit, parts, strict=False):
        chosen[test] = False
    balanced = compute_sample_weight("balanced" if asked.imbalance == "ClassWeight" else None, target)
    data = {
        "features": features, "target": target, "weight": balanced.astype(np.float32), "fit": fit,
        "categories": [len(item.categories) for item in its.inputs], "classes": len(its.classes), "seed": asked.seed,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        arrays: Any = {**data, **PARAMETERS}
        np.savez(f"{folder}/rows.npz", **arrays)
        # Debian's own Python: the one on the image's PATH is Perennial's, and has no PyTorch.
        program = ["/usr/bin/python3", "-I", "/opt/example/perceptron.py", f"{folder}/rows.npz", folder]
        done = subprocess.run(program, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
        if done.returncode:
            raise RunError("TrainingFailed", f"perceptron.py: {done.stderr[-1000:]}")
        graph, answers = Path(folder, "model.onnx").read_bytes(), np.load(f"{folder}/answers.npy")
    difference = float(np.abs(answers_of(its.task, graph, features) - answers[-1]).max())
    if difference > 1e-4:
        raise RunError("ExportMismatch", f"the graph's probabilities differ from PyTorch's by {difference:.2g}")
    unseen = np.empty(answers.shape[1:])
    for fold, test in enumerate(parts):
        unseen[test] = answers[fold, test]
    scores = [score(asked.metric, target[test], unseen[test], its.positive) for test in parts]
    found = CandidateScore("TorchPerceptron", PARAMETERS, float(np.mean(scores)), float(np.std(scores)), 1)
    for path, content in ((model, b""), (served, graph)):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content)
    storage.write_json(tuned, Tuned((found,), 0))
    storage.write_json(parity, Parity(difference, len(features)))
    storage.write_arrays(out, storage.OutOfFold(target, unseen))


if __name__ == "__main__":
    with reported("train", unexpected="TrainingFailed"):
        train(*sys.argv[1:])
