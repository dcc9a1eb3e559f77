"""The declared checks as a pandera schema; what it says of a failing one is what a person is told."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.contracts.request import Check
from perennial.contracts.signature import category_of
from perennial_components.prepare.types import invalid
from perennial_components.table import category_texts, numbers, unreadable

if TYPE_CHECKING:
    import pandera.pandas as pa

Wrong = Callable[[Any], NDArray[np.bool_]]
"""Where the cells of a column fail."""


def schema_of(checks: tuple[Check, ...], table: pd.DataFrame) -> "pa.DataFrameSchema":
    """For a table of text: all that is declared of a column, in its order."""
    import pandera.pandas as pa  # noqa: PLC0415 - it takes a second to import, and many runs declare nothing

    columns: dict[str, dict[str, pa.Check]] = {}
    for check in checks:
        for said, wrong in _rules(check, table[check.column]):
            # One failure is kept of each: pandera would copy a million. The check's output says how many there are.
            made = pa.Check(_passes(wrong), error=said, ignore_na=False, n_failure_cases=1)
            columns.setdefault(check.column, {}).setdefault(said, made)
    return pa.DataFrameSchema(
        {name: pa.Column(None, [*made.values()], nullable=True) for name, made in columns.items()}
    )


def _passes(wrong: Wrong) -> Callable[[Any], Any]:
    return lambda column: pd.Series(~wrong(column), index=column.index)


def _rules(check: Check, column: Any) -> Iterator[tuple[str, Wrong]]:
    if check.type is not None:
        kind = check.type
        yield f"a {kind}" if kind != "Integer" else "an Integer", lambda cells: invalid(cells, kind)
    elif check.min is not None or check.max is not None:
        yield "a number", unreadable
    if (low := check.min) is not None:
        yield f"at least {low:g}", lambda cells: numbers(cells) < low
    if (high := check.max) is not None:
        yield f"at most {high:g}", lambda cells: numbers(cells) > high
    if check.max_missing is not None:
        yield from _missing(check.max_missing, column)
    if check.allowed:
        allowed = {category_of(value) for value in check.allowed}
        yield f"one of {', '.join(sorted(allowed))}", lambda cells: _outside(cells, allowed)
    if (pattern := check.pattern) is not None:
        yield f"all of it like {pattern}", lambda cells: _unlike(cells, pattern)
    if check.unique:
        yield "unique", lambda cells: np.asarray(cells.duplicated(keep=False) & cells.notna(), dtype=bool)


def _missing(most: float, column: Any) -> Iterator[tuple[str, Wrong]]:
    share = float(column.isna().mean())
    if share > most:
        yield f"at most {most:.0%} missing, {share:.1%} are", lambda cells: np.asarray(cells.isna(), dtype=bool)


def _outside(column: Any, allowed: set[str]) -> NDArray[np.bool_]:
    return np.array([text is not None and text not in allowed for text in category_texts(column)], dtype=bool)


def _unlike(column: Any, pattern: str) -> NDArray[np.bool_]:
    return np.asarray(column.notna() & ~column.str.fullmatch(pattern, na=False).astype(bool), dtype=bool)
