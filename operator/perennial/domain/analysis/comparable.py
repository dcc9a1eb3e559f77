"""Two versions' predictions in the bins that both can be told in.

A classification's versions count in the same bins. A regression's count between multiples of a power of two that fits
their own predictions: bins of two versions of like scale have edges in common, and between two common edges bins may be
added up without an estimate.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from perennial.contracts.baseline import ABOVE, BELOW, INVALID, MISSING

LEAST_EDGES = 5
"""With fewer in common a small shift may only be one that cannot be seen."""
MOST_OUTSIDE = 0.5
"""Share of either version's predictions beyond the outermost edges: of more, too little is seen."""

Counts = Mapping[str, float]


class Edge(NamedTuple):
    """``closed``: what is exactly there counts under it, as at the last edge, not above it."""

    at: float
    closed: bool


@dataclass(frozen=True)
class Comparable:
    """Both versions by bins of the same names; ``doubt`` says why a shift may be larger than they show, or is empty."""

    new: dict[str, float]
    stable: dict[str, float]
    doubt: str


def comparable(new: Counts, stable: Counts) -> Comparable | None:
    """``new`` and ``stable`` in common bins; None where they have not one edge in common."""
    if new.keys() == stable.keys():
        return _compared(dict(new), dict(stable), "")
    common = sorted(set(_edges(new)) & set(_edges(stable)))
    if not common:
        return None
    few = f"only {len(common)} of the edges of their bins are the same in both versions, {LEAST_EDGES} are needed"
    return _compared(_told(new, common), _told(stable, common), few if len(common) < LEAST_EDGES else "")


def _compared(new: dict[str, float], stable: dict[str, float], doubt: str) -> Comparable:
    if not doubt and max(_outside(new), _outside(stable)) > MOST_OUTSIDE:
        doubt = "most predictions lie beyond the bins that training made, where a shift does not show"
    return Comparable(new, stable, doubt)


def _outside(counts: Counts) -> float:
    return (counts.get(BELOW, 0.0) + counts.get(ABOVE, 0.0)) / max(1.0, sum(counts.values()))


def lower(name: str) -> float | None:
    """Where the regular bin ``name``, such as ``[0.1,0.2)``, begins; None of what is no such bin."""
    try:
        return float(name.strip("[)]").split(",")[0])
    except ValueError:
        return None


def _edges(names: Iterable[str]) -> tuple[Edge, ...]:
    """Those of the regular bins, ascending; none where the names are no gapless row of bins."""
    bins = []
    for name in names:
        if name in {MISSING, INVALID, BELOW, ABOVE}:
            continue
        try:
            low, high = map(float, name.strip("[)]").split(","))
        except ValueError:  # a baseline that somebody else wrote
            return ()
        bins.append((low, high, name.endswith("]")))
    bins.sort()
    if (
        not bins
        or any(one[1] != next_[0] for one, next_ in pairwise(bins))
        or any(low >= high for low, high, _ in bins)
    ):
        return ()
    return *(Edge(low, closed=False) for low, _, _ in bins), Edge(bins[-1][1], closed=bins[-1][2])


def _told(counts: Counts, common: list[Edge]) -> dict[str, float]:
    """Added up between ``common`` edges, which are all edges of ``counts``."""
    starts = [edge.at for edge in common]
    names = [BELOW, *(f"[{low},{high})" for low, high in pairwise(starts)), ABOVE]
    told = {MISSING: 0.0, INVALID: 0.0, **dict.fromkeys(names, 0.0)}
    for name, count in counts.items():
        low = lower(name)
        told[name if low is None else names[bisect_right(starts, low)]] += count
    return told
