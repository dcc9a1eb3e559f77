"""Each method in an environment and a process of its own, told where the rows are; how far it is can be watched."""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drift.detector import Flags, flags_of
from benchmarks.drift.streams import Scenario

ROOT = Path(__file__).parents[2]
METHODS = {
    "evidently": ("bench-evidently", "benchmarks.drift.peers.evidently"),
    "nannyml": ("bench-nannyml", "benchmarks.drift.peers.nannyml"),
    "alibi": ("bench-alibi", "benchmarks.drift.peers.alibi"),
    "ours": ("operator", "benchmarks.drift.judged"),
}
"""(Environment, module), the slowest first."""
DATASETS = ("bench-nannyml", "benchmarks.drift.peers.datasets")
# One core each, so that CPU time is comparable; and the packages tell nobody that they were used.
_QUIET = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1",
    "PYTHONWARNINGS": "ignore",
}  # fmt: skip


def prepare(environment: str) -> None:
    """Makes ``environment`` from its lock, unless it is there."""
    subprocess.run([ROOT / "hack" / "venv", environment], check=True, capture_output=True)


def run(program: tuple[str, str], arguments: Sequence[str | Path], progress: Callable[[], None]) -> None:
    """Runs to its end, and calls ``progress`` at each line that it prints. Raises RuntimeError where it fails."""
    environment, module = program
    python = ROOT / ".venvs" / environment / "bin" / "python"
    with tempfile.TemporaryFile("w+") as errors:
        argv = [python, "-m", module, *arguments]
        with subprocess.Popen(
            argv, cwd=ROOT, env={**os.environ, **_QUIET}, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process:
            for _ in process.stdout or ():
                progress()
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"{module} failed:\n{errors.read()[-2000:]}")


def answers(folder: Path, methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What each method answered beside its flags."""
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in methods}


def flags(folder: Path, method: str, scenario: Scenario) -> Flags | None:
    """(R, W, F), None where the method has no answer."""
    path = flags_of(folder / f"{method}.json", scenario)
    return np.load(path) if path.exists() else None
