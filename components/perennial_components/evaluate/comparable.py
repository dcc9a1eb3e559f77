"""Whether a champion can be asked about a challenger's rows: as the challenger prepares them, do they still mean to it
what they meant when it was trained?
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import pandas as pd

from perennial.contracts.prepare import Cast, Rename, Step
from perennial.contracts.request import Target
from perennial.contracts.signature import Input, Signature, category_of
from perennial_components.split.encoding import undated
from perennial_components.table import category_texts, unreadable


class Trained(msgspec.Struct, frozen=True, rename="camel"):
    """Of what a run was asked: what the model predicts, and how its columns are made."""

    target: Target
    prepare: tuple[Step, ...] = ()


def difference(its: Trained, own: Trained, signature: Signature, rows: pd.DataFrame) -> str:
    """In what the champion, trained as ``its`` says, takes or predicts something else than the challenger's ``rows``
    hold; empty where it does not. ``signature`` is the champion's.

    Filters and duplicates leave every cell as it is, and value steps are part of each model: they make no difference.
    Nor does a cast, but for cells that the champion would not know without it.
    """
    if _words(its.target) != _words(own.target):
        return f"it predicts {_words(its.target)}, this one {_words(own.target)}"
    for name in (its.target.column, *(item.name for item in signature.inputs)):
        was, now = (_made(each.prepare, name)[0] for each in (its, own))
        if was != now:
            return f"its column {name!r} was made of {was!r}, now it is of {now!r}"
    for item in signature.inputs:
        before, after = (_made(each.prepare, item.name)[1] for each in (its, own))
        if before != after and (unknown := sorted(set(_unknown(item, rows[item.name])))[:2]):
            was, now = (f"read as {' and '.join(each)}" if each else "not cast" for each in (before, after))
            said = f"its input {item.name!r} was {was} when it was trained, now it is {now}"
            return f"{said}: it does not know {' and '.join(unknown)}"
    return ""


def untaken(signature: Signature, rows: pd.DataFrame) -> Iterator[str]:
    """The inputs of ``signature`` that have values in ``rows``, and none that they take."""
    for item in signature.inputs:
        there = int(rows[item.name].notna().sum())
        if there and len(_unknown(item, rows[item.name])) == there:
            yield f"its input {item.name!r} is {_known(item)}, and no held-out row has such a value"


def _known(item: Input) -> str:
    if item.kind == "Categorical":
        return f"one of {', '.join(item.categories[:5])}"
    return {"Datetime": "a date", "Text": "a text"}.get(item.kind, "a number")


def _unknown(item: Input, column: Any) -> list[str]:
    """The cells that the input can make nothing of."""
    if item.kind == "Numeric":
        return [str(cell) for cell in column[unreadable(column)]]
    if item.kind == "Categorical":
        texts = pd.Series(category_texts(column), dtype=object).dropna()
        return list(texts[~texts.isin(item.categories)])
    return [str(cell) for cell in column[undated(column)]] if item.kind == "Datetime" else []


def _made(steps: tuple[Step, ...], name: str) -> tuple[str, list[str]]:
    """The column that ``name`` was when it was read, and what it was cast to since."""
    casts: list[str] = []
    for step in reversed(steps):
        if isinstance(step, Rename) and step.to == name:
            name = step.source
        elif isinstance(step, Cast) and step.column == name and step.type != "Text":
            casts.insert(0, step.type)
    return name, casts


def _words(target: Target) -> str:
    if target.above is not None:
        return f"{target.column} > {target.above:g}"
    return target.column if target.equals is None else f"{target.column} = {category_of(target.equals)}"
