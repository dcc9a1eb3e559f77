"""Writes what comes from others' packages: river's streams with a change at a known row, and NannyML's employment data.

A stream's model is trained on its first rows; those that follow are the reference, then come windows before the change
and windows after it. The last column says whether the model was wrong, so that a change of what inputs mean, which
moves no input, can be seen by every method.
"""

import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import nannyml as nml
import numpy as np
from river.datasets import synth
from river.datasets.base import SyntheticDataset
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.drift.peers.nannyml import PREDICTED, PROBABILITY, TRUTH
from benchmarks.drift.streams import BEFORE, RIVER, STREAM_SIZE, WINDOWS, Array, Scenario, save

TRAINING, REFERENCE = 5000, 10_000
ABRUPT, GRADUAL = 200, 2500
Pair = tuple[SyntheticDataset, SyntheticDataset]
STREAMS: dict[str, tuple[Callable[[int], Pair], int]] = {
    "SEA: boundary moves": (lambda seed: (synth.SEA(2, seed=seed), synth.SEA(3, seed=seed + 1)), ABRUPT),
    "Agrawal: another rule": (lambda seed: (synth.Agrawal(0, seed=seed), synth.Agrawal(2, seed=seed + 1)), ABRUPT),
    "Mixed: classes swap": (lambda seed: (synth.Mixed(0, seed=seed), synth.Mixed(1, seed=seed + 1)), ABRUPT),
    "Hyperplane: another plane": (lambda seed: (synth.Hyperplane(seed), synth.Hyperplane(seed + 1)), ABRUPT),
    "RandomRBF: inputs change": (
        lambda seed: (synth.RandomRBF(seed, seed), synth.RandomRBF(seed + 1, seed + 1)), ABRUPT,
    ),
    "RandomRBF: the same, slowly": (
        lambda seed: (synth.RandomRBF(seed, seed), synth.RandomRBF(seed + 1, seed + 1)), GRADUAL,
    ),
    "LED: seven segments swap": (lambda seed: (_led(seed, 0), _led(seed + 1, 7)), ABRUPT),
}  # fmt: skip


def write(folder: Path, seeds: int) -> None:
    """One scenario a stream, with a reference a seed; and employment.npz."""
    scenarios = []
    for at, (title, (make, width)) in enumerate(STREAMS.items()):
        parts = [split(make, width, 100 * seed) for seed in range(1, seeds + 1)]
        names = f"river{at}-m.npy", f"river{at}-n.npy"
        for name, blocks in zip(names, zip(*parts, strict=True), strict=True):
            np.save(folder / name, np.stack(blocks).astype(np.float32))
        scenarios.append(Scenario(RIVER + title, *names, REFERENCE, STREAM_SIZE, labelled=True))
    save(folder, scenarios)
    reference, analysis, truth = nml.load_us_census_ma_employment_data()
    analysis = analysis.merge(truth, on="id")
    tables = {"reference": reference, "analysis": analysis}
    columns = {"truth": TRUTH, "predicted": PREDICTED, "probability": PROBABILITY}
    np.savez(folder / "employment.npz", **{
        f"{part}_{name}": table[column].to_numpy(dtype=np.float64)
        for part, table in tables.items() for name, column in columns.items()
    })  # fmt: skip


def split(make: Callable[[int], Pair], width: int, seed: int) -> tuple[Array, Array]:
    """Reference (m, F) and windows (W, n, F) of one stream; before the change 2 % are new at most."""
    change = TRAINING + REFERENCE + BEFORE * STREAM_SIZE
    before, after = make(seed)
    stream = synth.ConceptDriftStream(before, after, position=change + width, width=width, seed=seed)
    rows = list(islice(stream, TRAINING + REFERENCE + WINDOWS * STREAM_SIZE))
    inputs = np.array([[float(value) for value in x.values()] for x, _ in rows])
    truth = np.array([int(y) for _, y in rows])
    model = HistGradientBoostingClassifier(random_state=seed).fit(inputs[:TRAINING], truth[:TRAINING])
    wrong = model.predict(inputs) != truth
    table = np.column_stack([inputs, wrong])
    end = TRAINING + REFERENCE
    return table[TRAINING:end], table[end:].reshape(WINDOWS, STREAM_SIZE, -1)


def _led(seed: int, drifting: int) -> SyntheticDataset:
    return synth.LEDDrift(seed, irrelevant_features=True, noise_percentage=0.1, n_drift_features=drifting)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
