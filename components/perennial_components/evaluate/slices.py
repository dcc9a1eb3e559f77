"""The held-out rows by the values of a column."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.contracts.result import SliceMetrics
from perennial.contracts.signature import Signature
from perennial_components.baseline.bins import edges_of, labels_of, numeric_places
from perennial_components.evaluate.bootstrap import intervals
from perennial_components.evaluate.held import Held
from perennial_components.evaluate.metrics import figures, rates
from perennial_components.table import category_texts, numbers

SLICES = 20
MISSING_SLICE = "(missing)"


def by_slice(name: str, held: Held, signature: Signature, seed: int) -> Iterator[SliceMetrics]:
    """Metrics for each value of the column ``name``; a numeric one with many values is cut at its quantiles."""
    texts = slice_texts(held.rows[name])
    for value in largest(texts):
        rows = texts == value
        mine, its = held.target[rows], held.answers[rows]
        groups = None if held.groups is None else held.groups[rows]
        measured = figures(signature, mine, its) | rates(signature, mine, its)
        between = intervals(signature, mine, its, seed, groups, part=True)
        yield SliceMetrics(name, value, len(mine), measured, between)


def largest(texts: NDArray[np.object_]) -> list[str]:
    """The ``SLICES`` most frequent of ``texts`` [N], sorted."""
    # In an array of NumPy's own texts each would take the room of the longest.
    counts = Counter(texts.tolist())
    return sorted(sorted(counts, key=lambda text: (-counts[text], text))[:SLICES])


def slice_texts(column: Any) -> NDArray[np.object_]:
    """The slice of each row, ``MISSING_SLICE`` where the cell is missing."""
    texts = category_texts(column)
    values = numbers(column)
    distinct = {text for text in texts if text is not None}
    if len(distinct) > SLICES and np.isfinite(values).any():
        edges = edges_of(values[np.isfinite(values)])[::3]
        top = float(np.nanmax(values[np.isfinite(values)]))
        edges = edges if edges[-1] >= top else (*edges, top)
        names = np.array([MISSING_SLICE, "(not a number)", "(below)", *labels_of(edges), "(above)"], dtype=object)
        return np.asarray(names[numeric_places(edges, values)], dtype=object)
    return np.array([MISSING_SLICE if text is None else text for text in texts], dtype=object)
