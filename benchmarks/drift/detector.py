"""What a method is to this benchmark, and how its process answers; needs numpy alone, so that it runs everywhere."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.drift.streams import Array, Scenario, listed

Flags = npt.NDArray[np.bool_]


class Detector(Protocol):
    """A method that knows its reference."""

    def flags(self, windows: Array) -> Flags:
        """Which features alarm, (W, F), in each of ``windows`` (W, n, F)."""


Make = Callable[[Array, Scenario], Detector | None]
"""A detector from a reference (m, F); the scenario tells how many rows a window will have. None: no judgement."""


def serve(make: Make, packages: Sequence[str], finish: Callable[[Path], dict[str, Any]] | None = None) -> None:
    """Answers all scenarios of the folder named first on the command line, into the file named second.

    CPU time a window leaves out what a reference takes by itself, for that is done once. ``finish`` adds what the
    method alone can say.
    """
    folder, path = Path(sys.argv[1]), Path(sys.argv[2])
    answers: dict[str, Any] = {}
    for scenario in listed(folder):
        answer = _answer(make, folder, scenario)
        if answer:
            flags, seconds = answer
            np.save(flags_of(path, scenario), flags)
            answers[scenario.name] = {"cpu_ms": round(1000 * seconds / (flags.shape[0] * flags.shape[1]), 2)}
        print(scenario.name, flush=True)
    more = finish(folder) if finish else {}
    versions = {name: version(name) for name in packages}
    path.write_text(json.dumps({"versions": versions, "scenarios": answers, **more}))


def flags_of(answer: Path, scenario: Scenario) -> Path:
    """The file with the flags (R, W, F) of a scenario, beside its method's ``answer``."""
    return answer.with_name(f"{answer.stem}-{scenario.name}.npy")


def _answer(make: Make, folder: Path, scenario: Scenario) -> tuple[Flags, float] | None:
    """(Flags (R, W, F), CPU seconds)."""
    found, seconds = [], 0.0
    for reference, windows in scenario.read(folder):
        detector = make(reference, scenario)
        if detector is None:
            return None
        began = time.process_time()
        found.append(detector.flags(windows))
        seconds += time.process_time() - began
    return np.stack(found), seconds
