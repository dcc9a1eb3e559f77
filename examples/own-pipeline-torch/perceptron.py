"""Fits a multilayer perceptron with PyTorch and exports it as ONNX: ``python3 perceptron.py ROWS.npz FOLDER``.

It runs under Debian's Python, which has PyTorch and nothing of Perennial: rows come as a NumPy file, and what leaves is
FOLDER/model.onnx and FOLDER/answers.npy.
"""
# ruff: noqa: INP001

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class Perceptron(nn.Module):
    """Takes the tensor that Perennial's models take, [N, F]: numbers with NaN where one is missing, categories as their
    index and -1. Preparing them is part of the module, so that it is part of the exported graph.
    """

    def __init__(self, features: Tensor, categories: list[int], classes: int, hidden: int) -> None:
        """``categories`` [F] says how many each feature has, 0 for a number; ``features`` give medians and spreads."""
        super().__init__()
        numeric = [place for place, count in enumerate(categories) if not count]
        known = features[:, numeric]
        middle = known.nanmedian(dim=0).values.nan_to_num()
        spread = (torch.where(known.isnan(), middle, known) - middle).square().mean(dim=0).sqrt()
        self.register_buffer("numeric", torch.tensor(numeric))
        self.register_buffer("middle", middle)
        self.register_buffer("spread", torch.where(spread > 0, spread, torch.ones_like(spread)))
        # One column for each category: a missing one equals none of them.
        pairs = [(place, value) for place, count in enumerate(categories) for value in range(count)]
        self.register_buffer("column", torch.tensor([place for place, _ in pairs], dtype=torch.long))
        self.register_buffer("category", torch.tensor([value for _, value in pairs], dtype=torch.float32))
        self.layers = nn.Sequential(nn.Linear(len(numeric) + len(pairs), hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def logits(self, features: Tensor) -> Tensor:
        """[N, K], before the softmax."""
        numbers = features[:, self.numeric]
        numbers = (torch.where(torch.isnan(numbers), self.middle, numbers) - self.middle) / self.spread
        chosen = (features[:, self.column] == self.category).to(features.dtype)
        return self.layers(torch.cat((numbers, chosen), dim=1))

    def forward(self, features: Tensor) -> Tensor:
        """Probabilities [N, K]."""
        return functional.softmax(self.logits(features), dim=1)


def fitted(rows: dict[str, np.ndarray], fit: np.ndarray) -> Perceptron:
    """The model of the rows for which ``fit`` [N] is true; the same rows and seed give the same model."""
    torch.manual_seed(int(rows["seed"]))
    features, target, weight = (torch.from_numpy(rows[name][fit]) for name in ("features", "target", "weight"))
    model = Perceptron(features, rows["categories"].tolist(), int(rows["classes"]), int(rows["hidden"]))
    steps = torch.optim.Adam(model.parameters(), lr=float(rows["learning_rate"]), weight_decay=float(rows["decay"]))
    for _ in range(int(rows["epochs"])):
        steps.zero_grad()
        losses = functional.cross_entropy(model.logits(features), target, reduction="none")
        (losses * weight).mean().backward()
        steps.step()
    return model.eval()


def main(source: str, folder: str) -> None:
    """Fits one model for each row of ``fit`` [P, N] and exports the last. The answers are [P, N, K], to all rows."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    with np.load(source) as arrays:
        rows = dict(arrays)
    models = [fitted(rows, fit) for fit in rows["fit"]]
    features = torch.from_numpy(rows["features"])
    with torch.no_grad():
        np.save(Path(folder) / "answers.npy", np.stack([model(features).numpy() for model in models]))
    torch.onnx.export(
        models[-1], features[:2], str(Path(folder) / "model.onnx"), opset_version=16,
        input_names=["features"], output_names=["probabilities"],
        dynamic_axes={"features": {0: "rows"}, "probabilities": {0: "rows"}},
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
