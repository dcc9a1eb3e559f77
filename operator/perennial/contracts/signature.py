"""A model's inputs and outputs: what a caller may send, and how it becomes the one tensor that the model takes."""

from collections.abc import Iterable
from itertools import accumulate
from typing import Literal

import msgspec

from perennial.contracts.datetimes import DatetimePart

Task = Literal["Classification", "Regression"]

MISSING_CATEGORY = -1.0

_TRUTH = {"true": "1", "false": "0"}


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """One feature; its columns in the tensor ``features`` stand behind those of the inputs before it.

    ``categories`` are the values seen in training, as text, sorted; a Categorical value enters the tensor as its index
    there, and as -1 when missing. A Numeric value enters as itself, and as NaN when missing. A Datetime enters as its
    ``parts``, a column each (see ``datetimes.parts_of``), all NaN when missing; a Text as how often each of its
    ``terms`` is in it (see ``texts.TermCounts``), alike. ``example`` is one value for the documentation. What is at its
    default is left out of the JSON.
    """

    name: str
    kind: Literal["Numeric", "Categorical", "Datetime", "Text"]
    categories: tuple[str, ...] = ()
    example: float | str | None = None
    parts: tuple[DatetimePart, ...] = ()
    terms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.kind == "Datetime") != bool(self.parts):
            raise ValueError(f"input {self.name!r}: a Datetime has parts, and nothing else has")
        if (self.kind == "Text") != bool(self.terms):
            raise ValueError(f"input {self.name!r}: a Text has terms, and nothing else has")

    @property
    def width(self) -> int:
        """How many columns of the tensor it is."""
        return max(len(self.parts), len(self.terms), 1)

    @property
    def wide(self) -> bool:
        """Whether it has columns of its own making, and no number that callers could send in their place."""
        return self.kind in {"Datetime", "Text"}


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Inputs in tensor order and the target's classes in the order of the model's probabilities.

    ``positive`` is the index in ``classes`` whose probability is reported and binned (binary: the positive class);
    ``threshold`` is the probability from which it is predicted. A Regression's target is a number: ``classes`` are
    empty, ``positive`` is 0, and neither means anything.
    """

    task: Task
    inputs: tuple[Input, ...]
    target: str
    classes: tuple[str, ...]
    positive: int = 1
    threshold: float = 0.5


def starts(inputs: Iterable[Input]) -> list[int]:
    """The first column of each input in the tensor, and behind the last one how many columns there are."""
    return [0, *accumulate(item.width for item in inputs)]


def apart(inputs: tuple[Input, ...]) -> list[int]:
    """The columns of the tensor that take no part in the joint distribution: parts of dates, counts of terms."""
    found = zip(inputs, starts(inputs), strict=False)
    return [place for item, start in found if item.wide for place in range(start, start + item.width)]


def by_column(inputs: Iterable[Input]) -> tuple[Input, ...]:
    """The inputs as the tensor has them, one a column: each part of a Datetime is a Numeric one, each term of a Text a
    Text of the same name.
    """
    return tuple(each for item in inputs for each in _columns(item))


def _columns(item: Input) -> list[Input]:
    if item.kind == "Datetime":
        return [Input(f"{item.name} {part}", "Numeric") for part in item.parts]
    if item.kind == "Text":
        return [Input(item.name, "Text", terms=(term,)) for term in item.terms]
    return [item]


def category_of(value: object) -> str:
    """The text under which a categorical value is compared: whole floats lose their ``.0`` and truth is a number, so 1,
    1.0, true, "1" and "True" agree.
    """
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    if text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    return text[:-2] if text.endswith(".0") and text[:-2].lstrip("-").isdigit() else text
