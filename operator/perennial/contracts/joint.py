"""The error of :class:`perennial.contracts.baseline.Joint`, computed alike in training and in serving."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from perennial.contracts.baseline import Joint

_DECIMALS = 6
"""Sums of the same numbers in another order differ in the last digits, and would put the same row in another bin."""

_BLOCK = 4096
"""Rows at a time: each is held three times as float64 meanwhile."""


class Substitution:
    """Rows of the tensor as numbers alone."""

    def __init__(self, shares: Sequence[Sequence[float]]) -> None:
        self._shares = [(place, np.array(of)) for place, of in enumerate(shares) if of]

    def __call__(self, matrix: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """The rows [N, F] with each category's share in its place; a missing number stays NaN."""
        values = matrix.astype(np.float32).astype(np.float64)  # what the model takes, however it was sent
        for place, shares in self._shares:
            values[:, place] = shares[values[:, place].astype(np.intp)]  # -1, a missing category, finds the last
        return values


def standardised(values: NDArray[np.float64], centre: ArrayLike, scale: ArrayLike) -> NDArray[np.float64]:
    """z [N, F] of substituted ``values``, which it overwrites."""
    values -= np.asarray(centre)
    values /= np.asarray(scale)
    values[np.isnan(values)] = 0.0
    return values


class JointError:
    """How far rows lie from where training rows lie."""

    def __init__(self, joint: Joint) -> None:
        self._substituted = Substitution(joint.shares)
        self._centre, self._scale = np.array(joint.centre), np.array(joint.scale)
        self._axes = np.array(joint.axes)

    def __call__(self, matrix: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """The error [N] of the tensor's rows [N, F]."""
        errors = np.empty(len(matrix))
        for start in range(0, len(matrix), _BLOCK):
            part = matrix[start : start + _BLOCK]
            z = standardised(self._substituted(part), self._centre, self._scale)
            z -= (z @ self._axes.T) @ self._axes
            np.sqrt(np.einsum("nf,nf->n", z, z), out=errors[start : start + len(part)])
        return errors.round(_DECIMALS)
