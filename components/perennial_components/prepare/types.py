"""Text cells read as a declared type."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.contracts.prepare import ValueType
from perennial.contracts.signature import category_of
from perennial_components.table import numbers, unix_seconds

_BOOLEANS = {"true": "1", "yes": "1", "1": "1", "1.0": "1", "false": "0", "no": "0", "0": "0", "0.0": "0"}


def invalid(column: Any, kind: ValueType) -> NDArray[np.bool_]:
    """Where a cell [N] is there and is no ``kind``: Text is what is no number."""
    there = np.asarray(column.notna(), dtype=bool)
    if kind == "Boolean":
        return np.asarray(there & ~np.asarray(column.str.lower().isin(_BOOLEANS), dtype=bool))
    if kind == "Datetime":
        return np.asarray(there & np.isnan(unix_seconds(column)))
    finite: NDArray[np.bool_] = np.isfinite(numbers(column))
    if kind == "Text":
        return np.asarray(there & finite)
    return np.asarray(there & ~(finite if kind == "Number" else finite & (numbers(column) % 1 == 0)))


def cast(column: Any, kind: ValueType) -> Any:
    """The column in one way of writing, missing where it is no ``kind``: numbers without needless digits, 1 and 0,
    Unix seconds. Text stays as it is.
    """
    if kind == "Text":
        return column
    if kind == "Boolean":
        return column.str.lower().map(_BOOLEANS).astype("str")
    values = unix_seconds(column) if kind == "Datetime" else numbers(column)
    wrong = invalid(column, kind) | ~np.isfinite(values)
    texts = [None if missing else category_of(float(value)) for value, missing in zip(values, wrong, strict=True)]
    return pd.Series(texts, index=column.index, dtype="str")
