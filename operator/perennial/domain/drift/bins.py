"""Bins with too little in them are joined before they are tested: chi-square needs about five expected in each.

What is joined depends on the pooled counts of reference and window alone, so that, where nothing has changed, the
choice says nothing about the difference that is tested afterwards.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perennial.contracts.baseline import INVALID, MISSING, OTHER, Distribution

Array = npt.NDArray[np.float64]
MIN_EXPECTED = 5.0
NAMED = 3
_ABSENT = frozenset({MISSING, INVALID})


@dataclass(frozen=True)
class Groups:
    """``members`` are the places in ``Distribution.bins`` that are counted together; the first ``ordered`` groups are
    neighbours in the order of the feature's values (0 for a categorical feature).
    """

    members: tuple[tuple[int, ...], ...]
    ordered: int

    def total(self, counts: Array) -> Array:
        """``counts`` (…, bins) added up by group: (…, groups)."""
        order = list(itertools.chain.from_iterable(self.members))
        starts = list(itertools.accumulate(map(len, self.members[:-1]), initial=0))
        added: Array = np.add.reduceat(counts[..., order], starts, axis=-1)
        return added

    def name(self, group: int, bins: tuple[str, ...], counts: Array) -> str:
        """What people call the group: those of its bins that occur in ``counts`` (B,), the largest first."""
        found = sorted((place for place in self.members[group] if counts[place] > 0), key=lambda place: -counts[place])
        more = f"+{len(found) - NAMED} more" if len(found) > NAMED else ""
        return "+".join(bins[place] for place in found[:NAMED]) + more


def group(distribution: Distribution, window: Array) -> Groups:
    """Groups in which both the reference and the window (counts by bin, shape (B,)) expect at least five.

    Ordered bins are joined with a neighbour, categories with each other and ``__other__``, the missing with the
    invalid; what is still too small then goes to the smallest group there is. A bin that never occurred in the
    reference and fills up in the window has a large pooled count and stays by itself.
    """
    reference = np.asarray(distribution.counts, dtype=np.float64)
    n, m = window.sum(), reference.sum()
    expected = ((window + reference) * (min(n, m) / max(n + m, 1.0))).tolist()
    special = [place for place, name in enumerate(distribution.bins) if name in _ABSENT]
    regular = [place for place, name in enumerate(distribution.bins) if name not in _ABSENT]
    if distribution.kind == "Numeric":
        ordered = _join_neighbours(regular, expected)
        loose = _join_rare(special, expected)
    else:
        other = [place for place in regular if distribution.bins[place] == OTHER]
        named = [place for place in regular if place not in other]
        ordered, loose = [], [*_join_rare([*named, *other], expected), *_join_rare(special, expected)]
    return _absorb(ordered, loose, expected)


def _join_neighbours(places: list[int], expected: list[float]) -> list[tuple[int, ...]]:
    """The smallest group joins its smaller neighbour until none is under the limit."""
    groups: list[tuple[int, ...]] = [(place,) for place in places]
    sizes = [expected[place] for place in places]
    while len(groups) > 1 and (smallest := min(sizes)) < MIN_EXPECTED:
        least = sizes.index(smallest)
        left = least > 0 and (least == len(groups) - 1 or sizes[least - 1] <= sizes[least + 1])
        start = least - 1 if left else least
        groups[start : start + 2] = [groups[start] + groups[start + 1]]
        sizes[start : start + 2] = [sizes[start] + sizes[start + 1]]
    return groups


def _join_rare(places: list[int], expected: list[float]) -> list[tuple[int, ...]]:
    """Each place with enough by itself, the others in one group."""
    rare = tuple(place for place in places if expected[place] < MIN_EXPECTED)
    kept: list[tuple[int, ...]] = [(place,) for place in places if expected[place] >= MIN_EXPECTED]
    return [*kept, rare] if rare else kept


def _absorb(ordered: list[tuple[int, ...]], loose: list[tuple[int, ...]], expected: list[float]) -> Groups:
    """Groups that are still too small go, the smallest first, to the smallest other one."""
    groups, places = [*ordered, *loose], len(ordered)
    sizes = [_size(each, expected) for each in groups]
    while len(groups) > 1 and min(sizes) < MIN_EXPECTED:
        least = sizes.index(min(sizes))
        taker = min((at for at in range(len(groups)) if at != least), key=sizes.__getitem__)
        # An ordered group keeps its place among its neighbours when a loose one joins it.
        if least < places:
            taker, least = (least, taker) if taker >= places else (taker, least)
        groups[taker] += groups[least]
        sizes[taker] += sizes[least]
        del groups[least], sizes[least]
        places -= least < places
    return Groups(tuple(groups), places)


def _size(places: tuple[int, ...], expected: list[float]) -> float:
    # Most groups are one bin.
    return expected[places[0]] if len(places) == 1 else sum([expected[place] for place in places])
