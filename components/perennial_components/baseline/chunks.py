"""Chunks of equal time, in which the rows of a run are counted: how much they vary by themselves is read from them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST = 60
_UNITS = (86400, 3600, 60, 1)
"""Chunks are whole days (of UTC), hours, minutes or seconds long."""


class Chunks(NamedTuple):
    """``of`` [N] is each row's chunk, from 0; all are ``seconds`` long."""

    of: NDArray[np.int64]
    seconds: float

    def of_rows(self, rows: NDArray[np.bool_]) -> "Chunks":
        """The same for ``rows`` alone."""
        return Chunks(self.of[rows], self.seconds)


def chunks_of(times: NDArray[np.float64]) -> Chunks | None:
    """At most :data:`MOST` chunks for rows of ``times`` [N] (Unix s); None when all are of one time.

    A chunk of daily data holds whole days, however few they are.
    """
    first, last = float(times.min()), float(times.max())
    if first == last:
        return None
    kept = next((unit for unit in _UNITS if not np.any(times % unit)), 1)
    unit = max(kept, next((unit for unit in _UNITS if unit * MOST <= last - first), 1))
    begin = first - first % unit
    seconds = unit * (int((last - begin) / unit / MOST) + 1)
    return Chunks(((times - begin) // seconds).astype(np.int64), float(seconds))


def counted_by_chunk(places: NDArray[np.int64], bins: int, chunks: Chunks | None) -> tuple[tuple[int, ...], ...]:
    """How many of ``places`` [N] are in each of ``bins``, for every chunk in which there is one, oldest first."""
    if chunks is None or not len(places):
        return ()
    number = int(chunks.of.max()) + 1
    table = np.bincount(chunks.of * bins + places, minlength=number * bins).reshape(number, bins)
    return tuple(tuple(row) for row in table[table.any(axis=1)].tolist())
