"""What a window is compared with: the training data's distributions, another version's, or what serving began with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import numpy as np

from perennial.api.common import seconds
from perennial.api.drift import MonitorSpec
from perennial.contracts.baseline import (
    ABOVE,
    BELOW,
    INVALID,
    JOINT,
    LABEL,
    MISSING,
    PREDICTION,
    Baseline,
    Distribution,
)
from perennial.domain.drift.bins import Array
from perennial.domain.drift.noise import own_windows, usual_index
from perennial.domain.drift.performance import Held
from perennial.domain.drift.window import Layout

Learnt = Mapping[str, Sequence[Sequence[int]]]
"""Counts (windows, bins) by name, learnt in service."""


@dataclass(frozen=True)
class Usual:
    """What windows of the reference itself are like: their counts (R, B), and the index that they reach, by name."""

    windows: Mapping[str, Array] = field(default_factory=dict)
    index: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, references: Sequence[Distribution], chunk_seconds: float, length: float) -> "Usual":
        """Of windows of ``length`` s."""
        windows = {each.name: own_windows(each, chunk_seconds, length) for each in references}
        return cls(windows, {each.name: usual_index(each, windows[each.name]) for each in references})


@dataclass(frozen=True)
class Reference:
    """Prepared once for a version and a spec. ``usual`` and ``usual_fast`` are of the long and of the fast window;
    ``label`` is the distribution of the true classes held out, None where it is not known.
    """

    layout: Layout
    usual: Usual = Usual()
    usual_fast: Usual = Usual()
    held: Held | None = None
    label: Distribution | None = None


def prepare(
    spec: MonitorSpec, baseline: Baseline, held: Held | None = None, *,
    pinned: Baseline | None = None, learnt: Learnt | None = None, learnt_seconds: float = 0.0,
) -> Reference:  # fmt: skip
    """From the serving version's ``baseline``, in whose bins serving counts: with the shares of ``pinned`` or
    ``learnt`` in place of its own where one is given. ``learnt`` was counted in chunks of ``learnt_seconds``.
    What ``pinned`` says nothing of, or only in other bins, is not judged.
    """
    judged = _judged(spec, baseline)
    chunk_seconds = baseline.chunk_seconds
    if pinned is not None:
        others = {each.name: each for each in _judged(spec, pinned)}
        found = [told_in(others[each.name], each) for each in judged if each.name in others and each.name != JOINT]
        judged = [each for each in found if each is not None]
        chunk_seconds = 0.0
    elif learnt is not None:
        judged = [_counted(each, learnt[each.name]) for each in judged if each.name in learnt]
        chunk_seconds = learnt_seconds
    length, fast = seconds(spec.window.length), seconds(spec.window.fast) if spec.window.fast else 0.0
    return Reference(
        # What else a distribution says of itself is not asked again, and thousands are kept.
        layout=Layout.of(msgspec.structs.replace(each, quantiles=(), chunks=()) for each in judged),
        usual=Usual.of(judged, chunk_seconds, length),
        usual_fast=Usual.of(judged, chunk_seconds, fast) if fast else Usual(),
        held=held,
        label=label_distribution(held),
    )


def _judged(spec: MonitorSpec, baseline: Baseline) -> list[Distribution]:
    excluded = set(spec.inputs.exclude)
    found = [each for each in baseline.features if each.name not in excluded]
    if spec.inputs.joint and baseline.joint is not None:
        found.append(_named(baseline.joint.distribution, JOINT))
    if spec.predictions is not None:
        found.append(_named(baseline.prediction, PREDICTION))
    return found


def _named(each: Distribution, name: str) -> Distribution:
    return Distribution(name, each.kind, each.bins, each.counts, each.edges, each.quantiles, each.chunks)


def _counted(each: Distribution, windows: Sequence[Sequence[int]]) -> Distribution:
    """``each`` with the counts of ``windows`` (K, B) in place of its own."""
    chunks = tuple(tuple(int(count) for count in window) for window in windows)
    counts = tuple(int(count) for count in np.sum(np.asarray(chunks), axis=0))
    return Distribution(each.name, each.kind, each.bins, counts, each.edges, each.quantiles, chunks)


def label_distribution(held: Held | None) -> Distribution | None:
    """Of the true classes on held-out rows."""
    if held is None or not held.confusion:
        return None
    counts = tuple(sum(row) for row in held.confusion)
    return Distribution(LABEL, "Categorical", (MISSING, INVALID, *held.classes), (0, 0, *counts))


# --- another version's data in this one's bins --------------------------------------------------------------------


def told_in(pinned: Distribution, onto: Distribution) -> Distribution | None:
    """``pinned`` in the bins of ``onto``: categories by name, what ``onto`` does not name as invalid; numbers by the
    quantiles between which they lie, which is exact to half a percent of the rows. None of numbers in other bins whose
    quantiles are not known.
    """
    if onto.kind == "Numeric" and pinned.edges != onto.edges and not pinned.quantiles and _present(pinned):
        return None
    counts = _by_quantiles(pinned, onto) if onto.kind == "Numeric" else _by_name(pinned, onto)
    return Distribution(onto.name, onto.kind, onto.bins, counts, onto.edges)


def _present(pinned: Distribution) -> int:
    """Rows that have a number."""
    own = zip(pinned.bins, pinned.counts, strict=True)
    return sum(count for name, count in own if name not in {MISSING, INVALID})


def _by_name(pinned: Distribution, onto: Distribution) -> tuple[int, ...]:
    known = dict(zip(pinned.bins, pinned.counts, strict=True))
    found = {name: known.pop(name, 0) for name in onto.bins}
    found[onto.bins[-1]] += sum(known.values())  # a category that is not named counts with the others
    return tuple(found[name] for name in onto.bins)


def _by_quantiles(pinned: Distribution, onto: Distribution) -> tuple[int, ...]:
    own = dict(zip(pinned.bins, pinned.counts, strict=True))
    present = _present(pinned)
    if pinned.edges == onto.edges:
        return pinned.counts
    below = _shares_below(np.asarray(pinned.quantiles), onto.edges)
    inside = np.diff(np.concatenate([[0.0], below, [1.0]])) * present
    regular = np.floor(inside).astype(int)
    regular[int(inside.argmax())] += present - int(regular.sum())
    named = {
        MISSING: own.get(MISSING, 0),
        INVALID: own.get(INVALID, 0),
        BELOW: int(regular[0]),
        ABOVE: int(regular[-1]),
    }
    middle = iter(regular[1:-1].tolist())
    return tuple(named[name] if name in named else next(middle) for name in onto.bins)


def _shares_below(quantiles: Array, edges: Sequence[float]) -> Array:
    """The share of values under each edge; at the last one, of those up to it. Equal quantiles are an atom: what lies
    under it begins before the first of them.
    """
    at = np.linspace(0.0, 1.0, len(quantiles))
    under = []
    for place, edge in enumerate(edges):
        side: Literal["left", "right"] = "right" if place == len(edges) - 1 else "left"
        rank = int(np.searchsorted(quantiles, edge, side=side))
        if rank == 0 or rank == len(quantiles):
            under.append(0.0 if rank == 0 else 1.0)
            continue
        low, high = quantiles[rank - 1], quantiles[rank]
        share = (edge - low) / (high - low) if high > low else 0.0
        under.append(float(at[rank - 1] + share * (at[rank] - at[rank - 1])))
    return np.asarray(under)
