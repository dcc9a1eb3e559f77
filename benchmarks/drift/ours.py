"""The monitor's own judgement of a window, from rows in time order: bins, chunks and thresholds as a run makes them."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.drift.simulation import ALPHA, TOLERANCE, chunked, numeric, numeric_places
from perennial.contracts.baseline import Distribution
from perennial.domain.drift.reference import Usual
from perennial.domain.drift.statistics import examine, judge_features
from perennial_components.baseline.chunks import MOST

Array = npt.NDArray[np.float64]
WINDOW_CHUNKS = 24


class Ours:
    """A monitor with the defaults, whose reference (m, F) has a time column; a row is a second.

    ``chunk_rows`` is a window's n over its chunks; None: the window is one chunk.
    """

    def __init__(self, reference: Array, chunk_rows: int | None) -> None:
        self._rows = chunk_rows
        length = -(-len(reference) // MOST)
        chunk = np.arange(len(reference)) // length
        self._reference = [_distribution(f"x{at}", column, chunk) for at, column in enumerate(reference.T)]
        self._usual = Usual.of(self._reference, length, (chunk_rows or 1) * WINDOW_CHUNKS)

    def alarm(self, window: Array) -> Sequence[bool]:
        """Which features drift in ``window`` (n, F)."""
        chunk = np.arange(len(window)) // self._rows if self._rows else np.zeros(len(window), dtype=np.int64)
        tests = examine(
            [
                (each, chunked(numeric_places(each.edges, column), chunk, int(chunk[-1]) + 1, len(each.bins)))
                for each, column in zip(self._reference, window.T, strict=True)
            ],
            windows=self._usual.windows,
        )
        tested = [each for each in tests if each is not None]
        limits = [max(TOLERANCE, self._usual.index[each.feature]) for each in tested]
        found = {each.test.feature: each.drifting for each in judge_features(tested, alpha=ALPHA, tolerance=limits)}
        return [found.get(each.name, False) for each in self._reference]


def _distribution(name: str, column: Array, chunk: npt.NDArray[np.int64]) -> Distribution:
    made = numeric(name, column)
    table = chunked(numeric_places(made.edges, column), chunk, int(chunk[-1]) + 1, len(made.bins))
    return msgspec.structs.replace(made, chunks=tuple(tuple(int(each) for each in row) for row in table))
