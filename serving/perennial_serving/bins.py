"""Which bin a value falls into, precomputed from the contract's definition so that counting costs next to nothing.

``perennial.contracts.baseline.bin_index`` is the definition; tests hold these against it.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from perennial.contracts.baseline import VALID, Distribution, bin_index

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
        self._edges = np.array(edges)
        self.counts = [0] * len(distribution.bins)

    def add(self, values: NDArray[np.float64]) -> None:
        """Counts an array [n]."""
        places = np.searchsorted(self._edges, values, side="right") + _BELOW_AT
        places[np.isnan(values)] = 0
        _increase(self.counts, places)


class CategoryBins:
    """Counts categories, given as their index in the signature's ``categories`` (-1 for missing)."""

    def __init__(self, distribution: Distribution, categories: Sequence[str]) -> None:
        table = [bin_index(distribution, category, categories) for category in categories]
        self._table = np.array([*table, 0])  # -1 finds the last place
        self.counts = [0] * len(distribution.bins)

    def add(self, indices: NDArray[np.float64]) -> None:
        """Counts an array [n]."""
        _increase(self.counts, self._table[indices.astype(np.intp)])


class ValidBins(CategoryBins):
    """Counts dates and texts, given as the first of their columns, NaN where missing."""

    def __init__(self, distribution: Distribution) -> None:
        super().__init__(distribution, (VALID,))

    def add(self, indices: NDArray[np.float64]) -> None:
        """Counts an array [n]."""
        super().add(np.where(np.isnan(indices), -1.0, 0.0))


def _increase(counts: list[int], places: NDArray[np.intp]) -> None:
    for place, seen in enumerate(np.bincount(places).tolist()):
        if seen:
            counts[place] += seen
