"""How the features hang together: the principal components of a run's rows, and how far its rows lie from them.

A change of correlation alone leaves each feature's distribution as it was, and moves that of this error.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from perennial.contracts.baseline import JOINT, Distribution, Joint
from perennial.contracts.joint import JointError, Substitution, standardised
from perennial.contracts.signature import Signature, apart, by_column
from perennial_components.baseline.bins import numeric
from perennial_components.baseline.chunks import Chunks
from perennial_components.threads import threads_for

VARIANCE = 0.65
_DECIMALS = 9
"""Of an axis: a factorisation by more threads differs beyond them."""


def joint_of(signature: Signature, features: NDArray[np.float32], chunks: Chunks | None = None) -> Joint | None:
    """The joint distribution of the tensor's rows [N, F]; None where fewer than two columns vary. The parts of dates
    and the counts of terms are left out, as missing: those change with time by themselves, these are mostly 0.
    """
    if others := apart(signature.inputs):
        features = features.copy()
        features[:, others] = np.nan
    shares = tuple(
        _shares(features[:, place], len(item.categories)) if item.kind == "Categorical" else ()
        for place, item in enumerate(by_column(signature.inputs))
    )
    with threads_for(len(features)):
        values = Substitution(shares)(features)
        centre, scale = _centre_and_scale(values)
        axes = _axes(standardised(values, centre, scale))
        if not axes:
            return None
        error = JointError(Joint(centre, scale, shares, axes, Distribution(JOINT, "Numeric", (), ())))
        errors = error(features)
    return Joint(centre, scale, shares, axes, numeric(JOINT, errors, chunks=chunks))


def _shares(indices: NDArray[np.float32], categories: int) -> tuple[float, ...]:
    """Each category's share of the rows, last the missing one's."""
    counts = np.bincount(indices.astype(np.int64) % (categories + 1), minlength=categories + 1)
    return tuple((counts / len(indices)).tolist())


def _centre_and_scale(values: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each column's known values; 0 and 1 of a column that has none, and a scale of 1
    for one that does not vary."""
    known = values.copy()
    known[0, np.isnan(values).all(axis=0)] = 0.0
    fitted = StandardScaler().fit(known)
    return tuple(fitted.mean_.tolist()), tuple(fitted.scale_.tolist())


def _axes(z: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    """The components, each with its largest part positive; none where there are fewer than two columns that vary.

    One that varies is always left out: without it every error would be 0.
    """
    varying = int(np.count_nonzero(np.ptp(z, axis=0)))
    if varying < 2:
        return ()
    axes = PCA(n_components=VARIANCE).fit(z).components_[: varying - 1].round(_DECIMALS) + 0.0
    axes *= np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)] < 0, -1.0, 1.0)[:, np.newaxis]
    return tuple(map(tuple, axes.tolist()))
