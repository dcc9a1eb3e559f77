"""Edges for a regression's predictions that another version of like scale has too, so that the two can be compared."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_ACROSS = 16
"""About so many bins lie between the 1st and the 99th percentile."""
_IN_QUARTILES = 4
"""So many at least between the quartiles: a few values far away do not make bins coarse."""
_AROUND = 32
"""So many bins at most to either side of the median; what lies beyond is below or above."""

Floats = NDArray[np.float64]


def grid_edges(values: Floats) -> tuple[float, ...]:
    """Ascending edges for the finite ``values`` [N], neighbouring multiples of one power of two; none without values.

    The power depends on how far the values spread, not on where they lie. Where two versions have different ones, every
    edge of the wider bins is one of the narrower bins, too, as far as both reach.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return ()
    low, median, high = np.quantile(finite, [0.01, 0.5, 0.99])
    unit = _unit(finite)
    middle = np.floor(median / unit)
    first = max(np.floor(low / unit), middle - _AROUND)
    last = max(min(np.ceil(high / unit), middle + _AROUND), first + 1)
    return tuple((np.arange(first, last + 1) * unit).tolist())


def grid_labels(edges: tuple[float, ...]) -> tuple[str, ...]:
    """Names of the regular bins in which every edge stands exactly, such as ``[128,144)``: versions are compared by
    them.
    """
    texts = [str(int(edge)) if edge.is_integer() and abs(edge) < 1e16 else repr(edge) for edge in edges]
    regular = [f"[{low},{high})" for low, high in pairwise(texts)]
    return (*regular[:-1], regular[-1][:-1] + "]") if regular else ()


def _unit(values: Floats) -> float:
    low, first, third, high = np.quantile(values, [0.01, 0.25, 0.75, 0.99])
    largest = float(np.abs(values).max())
    widths = [(third - first) / _IN_QUARTILES, (high - low) / _ACROSS]
    spread = [width for width in widths if width > 0] or [np.ptp(values) / _ACROSS or largest / _ACROSS or 1.0]
    # Where values hardly differ their multiples would be one and the same number.
    return max(float(2.0 ** np.round(np.log2(min(spread)))), 2 * float(np.spacing(largest)))
