"""Files that components hand to each other, and the store outside."""

import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from perennial.contracts.request import RunRequest
from perennial_components.failure import RunError

T = TypeVar("T")


class Encoded(msgspec.Struct, frozen=True):
    """All rows of a run: ``features`` float32 [N, F] in signature order, ``target`` [N] (int64 class indices, or
    a Regression's float64 numbers) and
    ``held`` bool [N], true for the rows that no model is fitted on. Rows of one number in ``groups`` int64 [N] stay
    together in cross-validation; with ``split.byTime`` the numbers are in the order of time.
    """

    features: NDArray[np.float32]
    target: NDArray[Any]
    held: NDArray[np.bool_]
    groups: NDArray[np.int64] | None = None


class Sides(msgspec.Struct, frozen=True):
    """Of all rows of a run: ``held`` bool [N] and ``groups`` as in :class:`Encoded`."""

    held: NDArray[np.bool_]
    groups: NDArray[np.int64] | None = None


class OutOfFold(msgspec.Struct, frozen=True):
    """The winner's predictions for each training row by a model that had not seen it: ``answers`` [N, K] are
    probabilities, [N, 1] the predictions of a Regression.

    ``rows`` bool says which of the run's rows they are where it is not the training rows: a pipeline of somebody else
    has no folds, and its model is asked for the rows held out.
    """

    target: NDArray[Any]
    answers: NDArray[np.float64]
    rows: NDArray[np.bool_] | None = None


def read_request(text: str) -> RunRequest:
    """The pipeline's parameter. Raises RunError when it is not a request."""
    try:
        return msgspec.json.decode(text, type=RunRequest)
    except msgspec.DecodeError as error:
        raise RunError("InternalError", f"the run request cannot be read: {error}") from error


def write_json(path: str, value: Any) -> None:
    """Writes a msgspec struct, keys in a fixed order."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(msgspec.json.encode(value, order="deterministic"))


def read_json(path: str, kind: type[T]) -> T:
    """Reads what :func:`write_json` wrote."""
    return msgspec.json.decode(Path(path).read_bytes(), type=kind)


def write_arrays(path: str, value: Encoded | OutOfFold | Sides) -> None:
    """Writes a struct of arrays."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        np.savez(file, **{name: array for name, array in msgspec.structs.asdict(value).items() if array is not None})


def read_encoded(path: str) -> Encoded:
    """Reads the rows that split wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return Encoded(**{name: arrays[name] for name in arrays.files})


def read_sides(path: str) -> Sides:
    """Reads the sides that ingest wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return Sides(**{name: arrays[name] for name in arrays.files})


def read_out_of_fold(path: str) -> OutOfFold:
    """Reads the predictions that tune wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return OutOfFold(**{name: arrays[name] for name in arrays.files})


def credentials() -> dict[str, str]:
    """The store's credentials: the environment, in the names that ``contracts.objects`` knows."""
    return dict(os.environ)


def store_message(error: Exception) -> str:
    """What the store said, short: its clients append their whole configuration and every attempt."""
    text = " ".join(str(error).split("\n\nDebug source")[0].split())
    return text if len(text) <= 400 else text[:397] + "..."
