"""Each method in an environment and a process of its own, told where the rows are; how far it is can be watched."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import environments
from benchmarks.drift.detector import Flags, flags_of
from benchmarks.drift.streams import Scenario

METHODS = {
    "evidently": ("bench-evidently", "benchmarks.drift.peers.evidently"),
    "nannyml": ("bench-nannyml", "benchmarks.drift.peers.nannyml"),
    "alibi": ("bench-alibi", "benchmarks.drift.peers.alibi"),
    "ours": ("operator", "benchmarks.drift.judged"),
}
"""(Environment, module), the slowest first."""
DATASETS = ("bench-nannyml", "benchmarks.drift.peers.datasets")
_ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Each method has one, so that CPU time is comparable."""


def run(program: tuple[str, str], arguments: Sequence[str | Path], progress: Callable[[], None]) -> None:
    """See :func:`benchmarks.environments.run`."""
    environments.run(program, arguments, progress, _ONE_CORE)


def answers(folder: Path, methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What each method answered beside its flags."""
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in methods}


def flags(folder: Path, method: str, scenario: Scenario) -> Flags | None:
    """(R, W, F), None where the method has no answer."""
    path = flags_of(folder / f"{method}.json", scenario)
    return np.load(path) if path.exists() else None
