"""What the columns of a table hold, by the cells that are there."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from perennial.contracts.result import ColumnType
from perennial_components.table import numbers, unix_seconds

_SAMPLE = 100
_TRUTH = pa.array(["true", "false"], pa.large_string())


def type_of(column: Any) -> ColumnType:
    """Of a column of text: Integer when every cell is a whole number, Number when each is a finite one, Boolean when
    each is true or false, Datetime when each is in ISO 8601, Empty when none is there; otherwise Text.
    """
    present = column.drop_null()
    if not len(present):
        return "Empty"
    # Most columns of text say so at once.
    return "Text" if _judged(present.slice(0, _SAMPLE)) == "Text" else _judged(present)


def _judged(present: Any) -> ColumnType:
    cells = pd.Series(present.to_pandas(), dtype="str")
    values = numbers(cells)
    if np.isfinite(values).all():
        return "Integer" if bool(np.all(values == np.floor(values))) else "Number"
    if pc.all(pc.is_in(pc.utf8_lower(present), value_set=_TRUTH)).as_py():
        return "Boolean"
    return "Text" if np.isnan(unix_seconds(cells)).any() else "Datetime"
