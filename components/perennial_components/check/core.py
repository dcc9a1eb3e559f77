"""The declared checks, and those that every task needs; all that fail are told at once."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.contracts.request import Check, RunRequest
from perennial.contracts.signature import Input
from perennial_components.check.schema import schema_of
from perennial_components.failure import RunError
from perennial_components.prepare.core import impossible, value_steps
from perennial_components.records import Checked
from perennial_components.split.encoding import target_labels, undated
from perennial_components.table import numbers, unix_seconds, unreadable
from perennial_components.tune.auto import resolved

MIN_ROWS = 20
_LARGEST = float(np.finfo(np.float32).max)
_MOST_TOLD = 30
_LONGEST = 80
"""Characters of a value, and of what is declared, that are told: the message has room for every failure."""


class Failing(msgspec.Struct, frozen=True):
    """A check that ``count`` rows fail, with up to two of their values."""

    column: str
    check: str
    count: int
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        examples = f", for example {' and '.join(map(_short, self.examples))}" if self.examples else ""
        return f"column {self.column!r}: {_short(self.check)}: {self.count} rows fail{examples}"


def check(request: RunRequest, table: pd.DataFrame) -> Checked:
    """Applies every check. Raises RunError (DataRejected) with one line for each that fails."""
    problems = [str(failing) for failing in declared(request.checks, table)] if request.checks else []
    problems += list(_unusable(request, table))
    problems += list(_times(request.time, table)) if request.time else []
    problems += list(_steps(request, table))
    classes: dict[str, int] = {}
    if request.task == "Regression":
        problems += list(_numbers_to_predict(request, table))
    else:
        labels = target_labels(request.target, table[request.target.column])
        classes = {str(k): int(n) for k, n in pd.Series(labels).dropna().value_counts().sort_index().items()}
        problems += list(_classes(request, table, labels, classes))
    if problems:
        more = len(problems) - _MOST_TOLD
        told = problems[:_MOST_TOLD] + ([f"... and {more} more"] if more > 0 else [])
        raise RunError("DataRejected", "\n".join(told))
    return Checked(rows=len(table), checks=len(request.checks), classes=classes)


def declared(checks: tuple[Check, ...], table: pd.DataFrame) -> Iterator[Failing]:
    """The declared checks that fail. A missing value fails none but ``maxMissing``; text fails ``min`` and ``max``."""
    from pandera.errors import SchemaErrors  # noqa: PLC0415 - it takes a second to import, and many runs declare nothing

    schema = schema_of(checks, table)
    try:
        schema.validate(table[list(schema.columns)], lazy=True)
    except SchemaErrors as error:
        for failed in error.schema_errors:
            name, said = str(failed.schema.name), str(failed.check.error)
            if failed.check_output is None:  # the check itself failed
                why = f"column {name!r}: {_short(said)} cannot be checked: {_short(str(failed.failure_cases))}"
                raise RunError("DataRejected", why) from error
            yield from _failing(name, said, table[name], ~failed.check_output.to_numpy(dtype=bool))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _failing(name: str, said: str, column: Any, wrong: NDArray[np.bool_]) -> Iterator[Failing]:
    if wrong.any():
        examples = tuple(str(value) for value in pd.unique(column[wrong].dropna())[:2])
        yield Failing(name, said, int(wrong.sum()), examples)


def _unusable(request: RunRequest, table: pd.DataFrame) -> Iterator[str]:
    least = request.require.min_rows or MIN_ROWS
    if len(table) < least:
        asked = " (data.require.minRows)" if request.require.min_rows else ""
        yield f"{len(table)} rows are too few to train on: at least {least} are needed{asked}"
    for name in request.numeric:
        column = table[name]
        if column.notna().any() and not np.isfinite(numbers(column)).any():
            example = column.dropna().iloc[0]
            yield f"column {name!r} is declared numeric, but none of its values is a number, for example {example}"
        beyond = np.isfinite(numbers(column)) & (np.abs(numbers(column)) > _LARGEST)
        yield from map(str, _failing(name, f"at most {_LARGEST:.4g} in size: a feature is a float32", column, beyond))
    for each in request.datetime:
        yield from _dates(each.column, table[each.column])


def _dates(name: str, column: Any) -> Iterator[str]:
    present = column.dropna()
    if len(present) and undated(present).all():
        cast = "; data.prepare's cast to Datetime makes Unix seconds of a date: leave it out"
        seconds = cast if np.isfinite(numbers(present)).any() else ""
        yield (
            f"column {name!r} is declared datetime, but none of its values is an ISO 8601 date, for example"
            f" {_short(str(present.iloc[0]))}{seconds}"
        )


def _times(name: str, table: pd.DataFrame) -> Iterator[str]:
    column = table[name]
    missing = np.asarray(column.isna(), dtype=bool)
    if missing.any():
        yield f"column {name!r} is data.time and is missing in {missing.sum()} of {len(column)} rows"
    said = "data.time: an ISO 8601 date (2026-05-31, with or without a time) or Unix seconds"
    yield from map(str, _failing(name, said, column, np.isnan(unix_seconds(column)) & ~missing))


def _steps(request: RunRequest, table: pd.DataFrame) -> Iterator[str]:
    """What keeps the value steps of ``data.prepare`` from being done: a search would tell it after minutes."""
    if not value_steps(request.prepare):
        return
    try:
        found = resolved(request, table)
    except RunError as error:
        yield error.message
        return
    inputs = [Input(name, "Numeric") for name in found.numeric]
    inputs += [Input(name, "Categorical") for name in found.categorical]
    inputs += [Input(each.column, "Datetime", parts=each.parts) for each in found.datetime]
    inputs += [Input(each.column, "Text", terms=("any",)) for each in request.text]
    yield from impossible(tuple(inputs), request.prepare)


def _numbers_to_predict(request: RunRequest, table: pd.DataFrame) -> Iterator[str]:
    name, column = request.target.column, table[request.target.column]
    if request.require.min_rows_per_class:
        yield "data.require.minRowsPerClass is for Classification: a Regression has no classes; minRows counts them all"
    missing = int(column.isna().sum())
    if missing:
        yield f"column {name!r} is the target and is missing in {missing} of {len(column)} rows"
    yield from map(str, _failing(name, "the target of a Regression is a number", column, unreadable(column)))
    values = numbers(column)
    values = values[np.isfinite(values)]
    if len(values) and np.ptp(values) == 0:
        yield f"column {name!r} is the target and is {values[0]:g} in every row: there is nothing to predict"


def _classes(request: RunRequest, table: pd.DataFrame, labels: Any, classes: dict[str, int]) -> Iterator[str]:
    name, column = request.target.column, table[request.target.column]
    missing = int(column.isna().sum())
    if missing:
        yield f"column {name!r} is the target and is missing in {missing} of {len(column)} rows"
    unread = int(sum(label is None for label in labels)) - missing
    if unread:
        yield f"column {name!r} is the target, compared with {request.target.above:g}: {unread} values are no numbers"
    counted = ", ".join(f"{label!r}: {count} rows" for label, count in list(classes.items())[:10])
    if len(classes) < 2:
        found = f"one class only ({counted})" if counted else "no class"
        yield f"column {name!r} is the target and has {found}: there is nothing to tell apart"
        return
    least = max(request.folds, request.require.min_rows_per_class)
    small = [label for label, count in classes.items() if count < least]
    if small:
        why = "one a fold" if least == request.folds else "data.require.minRowsPerClass"
        yield (
            f"column {name!r} is the target: every class needs at least {least} rows, {why}"
            f" ({', '.join(map(repr, small[:10]))} has fewer; {counted})"
        )
