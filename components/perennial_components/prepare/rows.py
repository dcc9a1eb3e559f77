"""Row steps of ``data.prepare``: what is trained on, and by which names."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.contracts.prepare import Cast, DropDuplicates, Filter, Rename, RowStep, Step
from perennial.contracts.signature import category_of
from perennial_components.failure import RunError, nearest
from perennial_components.prepare.types import cast, invalid
from perennial_components.table import category_texts, numbers

Places = NDArray[np.int64]


def prepare_rows(steps: tuple[Step, ...], table: pd.DataFrame) -> tuple[pd.DataFrame, Places]:
    """``table`` (text, as ingest reads it) after the row steps, and the places of the rows that are left.

    Raises RunError (DataRejected) for a column that is not there, a cast that its values refuse, and where no row is
    left.
    """
    places = np.arange(len(table))
    for place, step in enumerate(steps):
        if not isinstance(step, RowStep):
            continue
        where = f"data.prepare[{place}]"
        _require(where, step, table)
        if isinstance(step, Rename):
            table = table.rename(columns={step.source: step.to})
        elif isinstance(step, Cast):
            table = table.assign(**{step.column: _cast(where, step, table[step.column])})
        else:
            kept = _duplicates(step, table) if isinstance(step, DropDuplicates) else _filtered(step, table[step.column])
            table, places = table[kept], places[kept]
            if table.empty:
                raise RunError("DataRejected", f"{where} leaves no row of {len(kept)}")
    return table.reset_index(drop=True), places


def _require(where: str, step: RowStep, table: pd.DataFrame) -> None:
    if isinstance(step, Rename):
        wanted: tuple[str, ...] = (step.source,)
        if step.to in table.columns:
            raise RunError("DataRejected", f"{where}.rename.to: there is a column {step.to!r} already")
    else:
        wanted = step.columns if isinstance(step, DropDuplicates) else (step.column,)
    for name in wanted:
        if name not in table.columns:
            known = nearest(name, map(str, table.columns))
            raise RunError("DataRejected", f"{where}: column {name!r} is not in the data{known}")


def _duplicates(step: DropDuplicates, table: pd.DataFrame) -> NDArray[np.bool_]:
    """The first of those that are equal is kept; the rows' order follows from what they hold."""
    return ~np.asarray(table.duplicated(list(step.columns) or None), dtype=bool)


def _filtered(step: Filter, column: Any) -> NDArray[np.bool_]:
    missing = np.asarray(column.isna(), dtype=bool)
    good = np.ones(len(column), dtype=bool)
    if step.equals is not None:
        good &= category_texts(column) == category_of(step.equals)
    if step.not_equals is not None:
        good &= category_texts(column) != category_of(step.not_equals)
    if step.min is not None:
        good &= numbers(column) >= step.min
    if step.max is not None:
        good &= numbers(column) <= step.max
    return np.where(missing, step.missing == "Keep", good)


def _cast(where: str, step: Cast, column: Any) -> Any:
    wrong = invalid(column, step.type)
    if step.type != "Text" and wrong.any() and step.invalid == "Reject":
        examples = " and ".join(map(str, pd.unique(column[wrong])[:2]))
        raise RunError(
            "DataRejected",
            f"{where}.cast: column {step.column!r}: {int(wrong.sum())} values are no {step.type}, for example"
            f" {examples}; invalid: Missing lets them be missing",
        )
    return cast(column, step.type)
