"""Chooses the features where a ModelTraining leaves it to us (``features.auto``)."""

from typing import Any

import msgspec
import numpy as np
import pandas as pd

from perennial.contracts.prepare import Rename
from perennial.contracts.request import DatetimeFeature, RunRequest
from perennial_components.failure import RunError, nearest
from perennial_components.split.encoding import undated
from perennial_components.table import category_texts, numbers

FEW = 5
"""Up to so many distinct whole numbers are categories: codes more often than amounts."""
MOST_CATEGORIES = 100
NEARLY_ALL = 0.95
_DENSE = 10
"""Whole numbers, another in each row, are an identifier where they lie in a range of up to so many times the rows."""


class Chosen(msgspec.Struct, frozen=True):
    """The features by kind, and why other columns are none."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    datetime: tuple[DatetimeFeature, ...]
    left_out: dict[str, str]


def chosen(request: RunRequest, table: pd.DataFrame) -> Chosen:
    """What the request names, as it names it, and of the other columns of ``table`` (text, as ingest reads it) those
    that may be features. The choice depends on what the columns hold, not on the rows' order.

    Raises RunError (DataRejected) when there is no feature at all, and for an excluded column that is not there: the
    one that was meant would be trained on.
    """
    if request.auto is None:
        return Chosen(request.numeric, request.categorical, request.datetime, {})
    _require_excluded(request, request.auto.exclude, table)
    by_kind: dict[str, list[str]] = {
        "Numeric": list(request.numeric),
        "Categorical": list(request.categorical),
        "Datetime": [each.column for each in request.datetime],
    }
    named = {name for names in by_kind.values() for name in names} | {each.column for each in request.text}
    roles = _roles(request)
    left_out = {}
    for name in table.columns:
        if name in named:
            continue
        kind, why = ("", roles[name]) if name in roles else _judged(table[name])
        if kind:
            by_kind[kind].append(name)
        else:
            left_out[str(name)] = why
    if not any(by_kind.values()) and not request.text:
        told = "; ".join(f"{name!r}: {why}" for name, why in list(left_out.items())[:10])
        raise RunError("DataRejected", f"features.auto finds no column that may be a feature ({told})")
    datetime = (*request.datetime, *map(DatetimeFeature, by_kind["Datetime"][len(request.datetime) :]))
    return Chosen(tuple(by_kind["Numeric"]), tuple(by_kind["Categorical"]), datetime, left_out)


def resolved(request: RunRequest, table: pd.DataFrame) -> RunRequest:
    """``request`` with its features named; the same where it leaves no choice."""
    if request.auto is None:
        return request
    found = chosen(request, table)
    return msgspec.structs.replace(
        request, numeric=found.numeric, categorical=found.categorical, datetime=found.datetime, auto=None
    )


def _require_excluded(request: RunRequest, exclude: tuple[str, ...], table: pd.DataFrame) -> None:
    there = {str(name) for name in table.columns}
    known = sorted(there.union(step.source for step in request.prepare if isinstance(step, Rename)))
    for name in exclude:
        if name not in known:
            said = f"features.auto.exclude: column {name!r} is not in the data{nearest(name, known)}"
            raise RunError("DataRejected", said)


def _roles(request: RunRequest) -> dict[str, str]:
    """Why columns that have another role are no features, by the names before and after ``data.prepare``."""
    split, auto = request.split, request.auto
    roles = {
        **dict.fromkeys(auto.exclude if auto else (), "excluded by features.auto"),
        **dict.fromkeys(split.key, "data.split.key"),
        **({split.group: "data.split.group"} if split.group else {}),
        **({split.by_time.column: "data.split.byTime"} if split.by_time else {}),
        **({request.time: "data.time"} if request.time else {}),
        request.target.column: "the target",
    }
    for step in request.prepare:
        if isinstance(step, Rename) and step.source in roles:
            roles.setdefault(step.to, roles[step.source])
    return roles


def _judged(column: Any) -> tuple[str, str]:
    """The kind of a column, or "" and why it is no feature."""
    present = column.dropna()
    if present.empty:
        return "", "no value in any row"
    texts = pd.unique(category_texts(present))
    if len(texts) == 1:
        return "", f"{str(texts[0])[:40]!r} in every row that has a value"
    values = numbers(present)
    finite = values[np.isfinite(values)]
    if len(finite) < NEARLY_ALL * len(present):
        if np.count_nonzero(undated(present)) <= (1 - NEARLY_ALL) * len(present):
            return "Datetime", ""
        return _of_texts(len(texts), len(present))
    whole = bool(np.all(finite == np.floor(finite)))
    if whole and len(texts) == len(present) and np.ptp(finite) < _DENSE * len(present):
        return "", "another whole number in each row: an identifier"
    if whole and len(texts) <= FEW:
        return "Categorical", ""
    return "Numeric", ""


def _of_texts(distinct: int, rows: int) -> tuple[str, str]:
    if distinct == rows:
        return "", "another text in each row: an identifier"
    if distinct > MOST_CATEGORIES:
        return "", f"{distinct} different texts, more than {MOST_CATEGORIES}"
    return "Categorical", ""
