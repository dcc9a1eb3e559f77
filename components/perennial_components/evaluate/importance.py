"""Permutation importance of what a model is given, by its own served answers on held-out rows (Breiman 2001)."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.contracts.result import LOWER_IS_BETTER
from perennial.contracts.signature import Signature, starts
from perennial_components.evaluate.metrics import score
from perennial_components.inference import answers_of
from perennial_components.records import Importance

ROWS, FEWEST_ROWS, REPEATS = 2000, 200, 5
_CELLS = 400_000_000
"""A bound on the cells that the model reads in all: with many features fewer rows are asked about."""


def importance(
    signature: Signature, model: bytes, features: NDArray[np.float32], target: NDArray[Any], metric: str, seed: int
) -> tuple[Importance, ...]:
    """How much worse ``metric`` gets where one input's columns of ``features`` [N, F] are permuted, together, the
    greatest first.

    Measured on a seeded choice of at most ``ROWS`` rows. Empty where the metric is undefined on them.
    """
    random = np.random.default_rng((seed, 2))
    width = max(features.shape[1], 1)
    rows = min(len(target), ROWS, max(_CELLS // (REPEATS * width * width), FEWEST_ROWS))
    kept = np.sort(random.choice(len(target), rows, replace=False))
    features, target = features[kept], target[kept]
    usual = _score(signature, target, answers_of(signature.task, model, features), metric)
    found = []
    for item, place in zip(signature.inputs, starts(signature.inputs), strict=False):
        own = slice(place, place + item.width)
        changed = np.tile(features, (REPEATS, 1))
        changed[:, own] = np.concatenate([random.permutation(features[:, own]) for _ in range(REPEATS)])
        answers = np.split(answers_of(signature.task, model, changed), REPEATS)
        drops = np.array([usual - _score(signature, target, each, metric) for each in answers])
        found.append(Importance(item.name, float(drops.mean()), float(drops.std())))
    known = (each for each in found if math.isfinite(each.mean))
    return tuple(sorted(known, key=lambda each: (-each.mean, each.feature)))


def _score(signature: Signature, target: NDArray[Any], answers: NDArray[np.float32], metric: str) -> float:
    value = score(metric, target, answers, signature.positive)
    return -value if metric in LOWER_IS_BETTER else value
