"""The folds of cross-validation: what belongs together is never on both sides of one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from perennial.contracts.request import RunRequest
from perennial_components.failure import RunError
from perennial_components.storage import Encoded

Places = NDArray[np.int64]

_STRATIFIED_GROUPS = 5_000
"""Up to as many groups are stratified: scikit-learn weighs each by itself. More of them are alike by chance."""


def folds(encoded: Encoded, request: RunRequest) -> list[tuple[Places, Places]]:
    """``request.folds`` pairs (fit, test) of places among the training rows, ``features[~held]``; every training row is
    in one test part.

    Rows are drawn by ``request.seed``, of a Classification class by class. With ``split.group`` all rows of a group are
    in one part. With ``split.byTime`` a part is a stretch of time, predicted by models of the others: what is near in
    time and alike does not stand on both sides (blocked cross-validation, Roberts et al., Ecography 40, 2017).

    Raises RunError (DataRejected) when there are fewer groups or times than folds, or a class is left out of a fit.
    """
    target = encoded.target[~encoded.held]
    if encoded.groups is None:
        kind = KFold if request.task == "Regression" else StratifiedKFold
        return list(kind(request.folds, shuffle=True, random_state=request.seed).split(target, target))
    groups = encoded.groups[~encoded.held]
    found = _blocks(groups, request.folds) if request.split.by_time else _of_groups(groups, target, request)
    if request.task != "Regression":
        _require_classes(found, target, request)
    return found


def _of_groups(groups: Places, target: NDArray[Any], request: RunRequest) -> list[tuple[Places, Places]]:
    count = len(np.unique(groups))
    if count < request.folds:
        _refuse(request, f"there are {count} groups to train on, and {request.folds} folds need one each")
    if request.task == "Regression" or count > _STRATIFIED_GROUPS:
        return list(GroupKFold(request.folds).split(target, target, groups))
    kind = StratifiedGroupKFold(request.folds, shuffle=True, random_state=request.seed)
    return list(kind.split(target, target, groups))


def _blocks(order: Places, count: int) -> list[tuple[Places, Places]]:
    """Stretches of time of about as many rows; rows of one time are in one."""
    _, moments, sizes = np.unique(order, return_inverse=True, return_counts=True)
    middles = (np.cumsum(sizes) - sizes / 2) / len(order)
    block = np.minimum((middles * count).astype(np.int64), count - 1)[moments]
    parts = [np.flatnonzero(block == each) for each in range(count)]
    if min(map(len, parts)) == 0:
        raise RunError(
            "DataRejected", f"too many rows have one time: the training rows cannot be cut into {count} stretches of it"
        )
    return [(np.flatnonzero(block != each), part) for each, part in enumerate(parts)]


def _require_classes(found: list[tuple[Places, Places]], target: NDArray[Any], request: RunRequest) -> None:
    classes = len(np.unique(target))
    if any(len(np.unique(target[fit])) < classes for fit, _ in found):
        _refuse(request, "all training rows of a class fall into one fold, so that a model without it would be fitted")


def _refuse(request: RunRequest, why: str) -> None:
    split = request.split
    by = f"split.byTime of {split.by_time.column!r}" if split.by_time else f"split.group {split.group!r}"
    raise RunError("DataRejected", f"{by}: {why}: more data, or fewer tuning.folds")
