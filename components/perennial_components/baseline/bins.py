"""Bins that stay readable and hold comparable shares, and their counts (see ``contracts.baseline.bin_index``)."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from perennial.contracts.baseline import ABOVE, BELOW, INVALID, MISSING, OTHER, Distribution
from perennial_components.baseline.chunks import Chunks, counted_by_chunk

REGULAR = 10
TOP_CATEGORIES = 20
_INVALID_AT = 1
_FIRST_CATEGORY = 2
_SPECIAL = frozenset({MISSING, INVALID, BELOW, ABOVE, OTHER})


def numeric(
    name: str, values: NDArray[np.float64], invalid: NDArray[np.bool_] | None = None, chunks: Chunks | None = None
) -> Distribution:
    """The distribution of ``values`` [N] (NaN: missing, infinite: invalid) in at most ``REGULAR`` quantile bins."""
    return counted(name, edges_of(values[np.isfinite(values)]), values, invalid, chunks)


def counted(
    name: str,
    edges: tuple[float, ...],
    values: NDArray[np.float64],
    invalid: NDArray[np.bool_] | None = None,
    chunks: Chunks | None = None,
    labels: Callable[[tuple[float, ...]], tuple[str, ...]] | None = None,
) -> Distribution:
    """The distribution of ``values`` in the bins of ``edges``; where ``invalid`` [N], there was a text.

    ``labels`` names the regular bins; unset: :func:`labels_of`.
    """
    bins = (MISSING, INVALID, BELOW, *(labels or labels_of)(edges), ABOVE)
    places = numeric_places(edges, values)
    if invalid is not None:
        places[invalid] = _INVALID_AT
    return _distribution(name, "Numeric", bins, places, chunks, edges)


def quantiles_of(values: NDArray[np.float64]) -> tuple[float, ...]:
    """The values at 0, 0.5, 1, … 100 % of those that are finite, all of them values that occur."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return ()
    return tuple(np.quantile(finite, np.arange(201) / 200, method="inverted_cdf").tolist())


def numeric_places(edges: tuple[float, ...], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """``bin_index`` of every value at once."""
    places = np.searchsorted(np.asarray(edges), values, side="right") + 2
    if edges:
        places[values == edges[-1]] -= 1
    else:
        places[:] = 3
    places[np.isinf(values)] = _INVALID_AT
    places[np.isnan(values)] = 0
    return places


def edges_of(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Ascending edges for the finite ``values``; every regular bin begins at one of them.

    A value with more than a tenth of the mass (an atom) shares its bin with no other, as long as ``REGULAR`` bins
    suffice; between atoms, bins hold about a tenth each.
    """
    if len(values) == 0:
        return ()
    values = np.sort(values)
    distinct, counts = np.unique(values, return_counts=True)
    heavy = sorted(zip(counts, distinct, strict=True), reverse=True)
    atoms = [float(value) for count, value in heavy if count > len(values) / REGULAR]
    starts = _starts(values, atoms)
    while len(starts) > REGULAR and atoms:
        atoms.pop()
        starts = _starts(values, atoms)
    top = float(values[-1])
    # The last bin is closed: when it holds a single value it still needs an edge after it.
    return (*starts, top if top > starts[-1] else float(np.nextafter(top, np.inf)))


def labels_of(edges: tuple[float, ...]) -> tuple[str, ...]:
    """Readable, distinct names of the regular bins, such as ``[45,52)``."""
    if not edges:
        return ()
    # A last edge just after a last value is written as that value.
    named = edges[:-1] if edges[-1] == np.nextafter(edges[-2], np.inf) else edges
    digits = next((d for d in range(3, 17) if len({_short(edge, d) for edge in named}) == len(named)), 17)
    texts = [_short(edge, digits) for edge in named]
    texts += [texts[-1]] if len(named) < len(edges) else []
    regular = [f"[{low},{high})" for low, high in pairwise(texts)]
    return (*regular[:-1], f"[{texts[-2]},{texts[-1]}]")


def categorical(
    name: str, texts: NDArray[np.object_], chunks: Chunks | None = None, invalid: NDArray[np.bool_] | None = None
) -> Distribution:
    """The distribution of category texts (None: missing): the most frequent by name, the others together; where
    ``invalid`` [N], there was something else.
    """
    # In an array of NumPy's own texts each would take the room of the longest.
    counts = Counter(text for text in texts if text is not None)
    by_count = sorted(counts, key=lambda text: (-counts[text], text))
    top = sorted([text for text in by_count if text not in _SPECIAL][:TOP_CATEGORIES])
    bins = (MISSING, INVALID, *top, OTHER)
    place_of = {None: 0, **{text: place for place, text in enumerate(top, _FIRST_CATEGORY)}}
    places = np.array([place_of.get(text, len(bins) - 1) for text in texts], dtype=np.int64)
    if invalid is not None:
        places[invalid] = _INVALID_AT
    return _distribution(name, "Categorical", bins, places, chunks)


def _distribution(
    name: str,
    kind: Literal["Numeric", "Categorical"],
    bins: tuple[str, ...],
    places: NDArray[np.int64],
    chunks: Chunks | None,
    edges: tuple[float, ...] = (),
) -> Distribution:
    counts = tuple(np.bincount(places, minlength=len(bins)).tolist())
    return Distribution(name, kind, bins, counts, edges, chunks=counted_by_chunk(places, len(bins), chunks))


def _starts(values: NDArray[np.float64], atoms: list[float]) -> list[float]:
    """Where bins begin: at each atom, and at quantiles of what lies between two atoms."""
    cuts = sorted(atoms)
    segments = [
        values[(values > low) & (values < high)] for low, high in zip([-np.inf, *cuts], [*cuts, np.inf], strict=True)
    ]
    segments = [segment for segment in segments if len(segment)]
    wanted = [max(1, round(len(segment) * REGULAR / len(values))) for segment in segments]
    while sum(wanted) + len(cuts) > REGULAR and max(wanted, default=1) > 1:
        wanted[wanted.index(max(wanted))] -= 1
    starts = set(cuts)
    for segment, bins in zip(segments, wanted, strict=True):
        starts.update(np.quantile(segment, np.arange(bins) / bins, method="higher").tolist())
    return sorted(starts)


def _short(edge: float, digits: int) -> str:
    return str(int(edge)) if edge.is_integer() and abs(edge) < 1e7 else f"{edge:.{digits}g}"
