"""How far do windows of the reference itself lie from the whole of it? What they do by themselves is no drift.

A season that is longer than a window makes each window differ from the year, significantly and by much. So the index
that is let pass is, where the reference is known by chunks of time, the mean of its own windows' indices and three
standard deviations (the thresholds of statistical process control, Shewhart 1931, as NannyML's are).
"""

import numpy as np

from perennial.contracts.baseline import Distribution
from perennial.domain.drift.bins import Array, group
from perennial.domain.drift.statistics import MIN_ROWS, stability_index

FEWEST = 3
"""Windows of the reference from which their spread is told."""
DEVIATIONS = 3.0


def own_windows(reference: Distribution, chunk_seconds: float, length: float) -> Array:
    """The reference's counts in windows of ``length`` s, (R, B), R 0 where it is not known by chunks of time.

    Windows with too few rows are joined with the next; a rest is left out.
    """
    nothing = np.zeros((0, len(reference.bins)))
    if not reference.chunks or chunk_seconds <= 0:
        return nothing
    joined = max(1, round(length / chunk_seconds))
    found: list[Array] = []
    last, parts = np.zeros(len(reference.bins)), 0
    for chunk in np.asarray(reference.chunks, dtype=np.float64):
        last, parts = last + chunk, parts + 1
        if parts >= joined and last.sum() >= MIN_ROWS:
            found.append(last)
            last, parts = np.zeros(len(reference.bins)), 0
    return np.stack(found) if found else nothing


def usual_index(reference: Distribution, windows: Array) -> float:
    """Mean plus three standard deviations of the population stability index, its bias removed, of the reference's own
    ``windows`` (R, B); 0 where they are too few.

    Of the spread, what rows drawn by chance have, 2(B-1)/n_e^2 (Yurdakul & Naranjo 2020), is taken off: the test allows
    for that.
    """
    if len(windows) < FEWEST:
        return 0.0
    groups = group(reference, windows.mean(axis=0))
    before, cells = groups.total(np.asarray(reference.counts, dtype=np.float64)), groups.total(windows)
    rows, freedom = cells.sum(axis=1), len(before) - 1
    worth = rows * before.sum() / (rows + before.sum())
    index = stability_index(before, cells) - freedom / worth
    spread = max(0.0, float(index.var(ddof=1)) - float((2 * freedom / worth**2).mean()))
    return max(0.0, float(index.mean())) + DEVIATIONS * float(np.sqrt(spread))
