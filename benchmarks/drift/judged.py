"""Ours as a method among others, in the operator's environment: ``python -m benchmarks.drift.judged FOLDER ANSWER``."""

import numpy as np

from benchmarks.drift.detector import Flags, serve
from benchmarks.drift.ours import WINDOW_CHUNKS, Ours
from benchmarks.drift.streams import Array, Scenario
from perennial.api.drift import Performance
from perennial.domain.drift.performance import wilson


class Judged:
    """Features by a monitor; where rows are labelled, the errors as it judges labels."""

    def __init__(self, reference: Array, scenario: Scenario) -> None:
        self._labelled = scenario.labelled
        self._error = float(reference[:, -1].mean())
        self._monitor = Ours(self._inputs(reference), scenario.size // WINDOW_CHUNKS)

    def flags(self, windows: Array) -> Flags:
        """See ``Detector``."""
        return np.array([[*self._monitor.alarm(self._inputs(each)), *self._loss(each)] for each in windows])

    def _inputs(self, rows: Array) -> Array:
        return rows[:, :-1] if self._labelled else rows

    def _loss(self, window: Array) -> list[bool]:
        if not self._labelled:
            return []
        lowest, _ = wilson(float(window[:, -1].sum()), len(window))
        return [lowest > self._error + Performance().max_drop]


if __name__ == "__main__":
    serve(Judged, ("numpy", "scipy"))
