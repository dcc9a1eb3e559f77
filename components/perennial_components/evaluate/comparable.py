"""Whether a champion can be asked about a challenger's rows: as the challenger prepares them, do they still mean to it
what they meant when it was trained?
"""

from collections.abc import Iterator

import msgspec
import numpy as np
import pandas as pd

from perennial.contracts.prepare import Cast, Rename, Step
from perennial.contracts.request import Target
from perennial.contracts.signature import Input, Signature, category_of
from perennial_components.table import category_texts, numbers


class Trained(msgspec.Struct, frozen=True, rename="camel"):
    """Of what a run was asked: what the model predicts, and how its columns are made."""

    target: Target
    prepare: tuple[Step, ...] = ()


def difference(its: Trained, own: Trained, signature: Signature) -> str:
    """In what the champion, trained as ``its`` says, takes or predicts something else than the challenger's rows hold;
    empty where it does not. ``signature`` is the champion's.

    Filters and duplicates leave every cell as it is, and value steps are part of each model: they make no difference.
    """
    if _words(its.target) != _words(own.target):
        return f"it predicts {_words(its.target)}, this one {_words(own.target)}"
    kind = "Numeric" if signature.task == "Regression" or its.target.above is not None else "Categorical"
    columns = [(item.name, item.kind, "input") for item in signature.inputs]
    for name, kind_of, what in [*columns, (its.target.column, kind, "target")]:
        (source, casts), (source_now, casts_now) = (_made(each.prepare, name, kind_of) for each in (its, own))
        if source != source_now:
            return f"its {what} {name!r} was made of column {source!r}, now it is of {source_now!r}"
        if casts != casts_now:
            was, now = (f"read as {' and '.join(each)}" if each else "left as it is" for each in (casts, casts_now))
            return f"its {what} {name!r} was {was} by data.prepare when it was trained, now it is {now}"
    return ""


def untaken(signature: Signature, rows: pd.DataFrame) -> Iterator[str]:
    """The inputs of ``signature`` that have values in ``rows``, and none that they take."""
    for item in signature.inputs:
        if rows[item.name].notna().any() and not _taken(item, rows[item.name]):
            known = f"one of {', '.join(item.categories[:5])}" if item.kind == "Categorical" else "a number"
            yield f"its input {item.name!r} is {known}, and no held-out row has such a value"


def _taken(item: Input, column: pd.Series) -> bool:
    if item.kind == "Numeric":
        return bool(np.isfinite(numbers(column)).any())
    if item.kind == "Categorical" and item.categories:
        return bool(set(category_texts(column)) & set(item.categories))
    return True


def _made(steps: tuple[Step, ...], name: str, kind: str) -> tuple[str, list[str]]:
    """The column that ``name`` was when it was read, and the casts since that change what a cell of it means."""
    casts: list[str] = []
    for step in reversed(steps):
        if isinstance(step, Rename) and step.to == name:
            name = step.source
        elif isinstance(step, Cast) and step.column == name and (cast := _effect(step, kind)):
            casts.insert(0, cast)
    return name, casts


def _effect(step: Cast, kind: str) -> str:
    """What the cast makes of a cell that an input of this ``kind`` would read as something else without it."""
    if step.type in {"Text", kind}:
        return ""
    if step.type in {"Boolean", "Datetime"} or (step.type == "Integer" and step.invalid == "Missing"):
        return step.type
    return "" if kind == "Numeric" else "Number"


def _words(target: Target) -> str:
    if target.above is not None:
        return f"{target.column} > {target.above:g}"
    return target.column if target.equals is None else f"{target.column} = {category_of(target.equals)}"
