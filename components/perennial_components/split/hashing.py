"""Which side a row falls on: a hash of its content that is the same in every run, on every machine, for good.

The hash is written out here and not a library's: a new release that hashes otherwise would mix rows that an earlier
model was trained on into those that a later one is judged by.
"""

from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial_components.table import numbers

_U64 = np.uint64


def held_out(table: pd.DataFrame, *, test: float, seed: int, key: tuple[str, ...] = ()) -> NDArray[np.bool_]:
    """True for the rows to hold out, a share of ``test`` in expectation.

    The side depends on the cells in the columns ``key`` (all columns when empty) and ``seed`` alone: rows with equal
    cells fall on the same side, and other rows or columns of missing cells change nothing.
    """
    hashes = row_hashes(table[list(key)] if key else table)
    mixed = _mix(hashes ^ _mix(np.array([seed], dtype=np.int64).view(_U64)))
    return np.asarray((mixed >> _U64(11)).astype(np.float64) / 2.0**53 < test, dtype=bool)


def row_hashes(table: pd.DataFrame) -> NDArray[np.uint64]:
    """A 64-bit hash for each row; the order of columns does not matter and a missing cell adds nothing."""
    total = np.zeros(len(table), dtype=_U64)
    for name in table.columns:
        total += _mix(_cell_hashes(table[name]) ^ _text_hash(f"column {name}")) * table[name].notna().to_numpy(_U64)
    return total


def _cell_hashes(column: Any) -> NDArray[np.uint64]:
    """Numbers hash by value ("63", "63.0" and 6.3e1 alike), all else by its text."""
    values = numbers(column) + 0.0  # -0.0 + 0.0 is 0.0
    number = np.isfinite(values)
    hashes = _mix(values.view(_U64))
    if not number.all():
        codes, uniques = pd.factorize(column[~number])
        texts = np.array([*(_text_hash(str(value)) for value in uniques), 0], dtype=_U64)
        hashes[~number] = texts[codes]
    return hashes


def _text_hash(text: str) -> np.uint64:
    return _U64(int.from_bytes(blake2b(text.encode(), digest_size=8, person=b"perennial").digest(), "little"))


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every input bit flips each output bit half of the time."""
    value = value + _U64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> _U64(27))) * _U64(0x94D049BB133111EB)
    return value ^ (value >> _U64(31))
