"""Which bin a value falls into, precomputed from the contract's definition so that counting costs next to nothing.

``perennial.contracts.baseline.bin_index`` is the definition; tests hold these against it.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from perennial.contracts.baseline import Distribution, bin_index

_BELOW_AT = 2


class NumericBins:
    """Counts numbers: ``edges`` ascending, values as float64 with NaN for missing; no infinities."""

    def __init__(self, distribution: Distribution) -> None:
        edges = list(distribution.edges)
        if edges:
            # The last bin is closed above: moving its edge by the least step makes one bisection enough.
            edges[-1] = math.nextafter(edges[-1], math.inf)
        else:
            edges = [-math.inf]  # nothing was there in training: every number is above
        self._edges = edges
        self._array = np.array(edges)
        self.counts = [0] * len(distribution.bins)

    def place(self, value: float) -> int:
        """The bin of one value."""
        return _BELOW_AT + bisect_right(self._edges, value) if value == value else 0  # noqa: PLR0124 - NaN alone differs

    def add(self, values: Sequence[float]) -> None:
        """Counts a few values."""
        counts, edges = self.counts, self._edges
        for value in values:
            counts[_BELOW_AT + bisect_right(edges, value) if value == value else 0] += 1  # noqa: PLR0124

    def add_many(self, values: NDArray[np.float64]) -> None:
        """Counts an array [n] at once: faster than :meth:`add` from about four values."""
        places = np.searchsorted(self._array, values, side="right") + _BELOW_AT
        places[np.isnan(values)] = 0
        _increase(self.counts, places)


class CategoryBins:
    """Counts categories, given as their index in the signature's ``categories`` (-1 for missing)."""

    def __init__(self, distribution: Distribution, categories: Sequence[str]) -> None:
        table = [bin_index(distribution, category, categories) for category in categories]
        self._table = [*table, 0]  # -1 finds the last place
        self._array = np.array(self._table)
        self.counts = [0] * len(distribution.bins)

    def place(self, index: int) -> int:
        """The bin of one category."""
        return self._table[index]

    def add(self, indices: Sequence[int]) -> None:
        """Counts a few categories."""
        counts, table = self.counts, self._table
        for index in indices:
            counts[table[index]] += 1

    def add_many(self, indices: NDArray[np.int64]) -> None:
        """Counts an array [n] at once."""
        _increase(self.counts, self._array[indices])


def _increase(counts: list[int], places: NDArray[np.intp]) -> None:
    for place, seen in enumerate(np.bincount(places).tolist()):
        if seen:
            counts[place] += seen
