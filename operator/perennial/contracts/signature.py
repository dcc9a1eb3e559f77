"""A model's inputs and outputs: what a caller may send, and how it becomes the one tensor that the model takes."""

from typing import Literal

import msgspec

Task = Literal["Classification", "Regression"]

MISSING_CATEGORY = -1.0

_TRUTH = {"true": "1", "false": "0"}


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One feature, a column of the tensor ``features`` at its place in :attr:`Signature.inputs`.

    ``categories`` are the values seen in training, as text, sorted; a Categorical value enters the tensor as its index
    there, and as -1 when missing. A Numeric value enters as itself, and as NaN when missing. ``examples`` is one value
    for the documentation.
    """

    name: str
    kind: Literal["Numeric", "Categorical"]
    categories: tuple[str, ...] = ()
    example: float | str | None = None


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
