"""How the data of a run is prepared: row steps change what is trained on, value steps are part of the model."""

from typing import Literal

import msgspec

ValueType = Literal["Number", "Integer", "Text", "Boolean", "Datetime"]


class _Step(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename="camel",
    tag_field="step",
    tag=lambda name: name[0].lower() + name[1:],
):
    """One step; its JSON says which by ``step``."""


class DropDuplicates(_Step, frozen=True):
    """Keeps one of the rows that are equal in ``columns`` (in all of them where empty)."""

    columns: tuple[str, ...] = ()


class Filter(_Step, frozen=True):
    """Keeps the rows whose cell holds every condition given; a missing cell is kept unless ``missing`` says Drop."""

    column: str
    equals: str | None = None
    not_equals: str | None = None
    min: float | None = None
    max: float | None = None
    missing: Literal["Keep", "Drop"] = "Keep"


class Cast(_Step, frozen=True):
    """Reads the cells as ``type``; one that is none fails the run or becomes missing."""

    column: str
    type: ValueType
    invalid: Literal["Reject", "Missing"] = "Reject"


class Rename(_Step, frozen=True):
    """Gives the column ``source`` the name ``to``."""

    source: str = msgspec.field(name="from")
    to: str


class Clip(_Step, frozen=True):
    """Values under ``min`` become ``min``, those above ``max`` become ``max``."""

    column: str
    min: float | None = None
    max: float | None = None


class Log(_Step, frozen=True):
    """log(x + ``offset``); missing where that is not above 0."""

    column: str
    offset: float = 0.0


class Ratio(_Step, frozen=True):
    """A further input ``name``: ``numerator`` / ``denominator``; missing where that is no finite number."""

    name: str
    numerator: str
    denominator: str


class Bucket(_Step, frozen=True):
    """Makes a number a category: how many of the ascending ``edges`` it reaches, 0 to len(edges)."""

    column: str
    edges: tuple[float, ...]


RowStep = DropDuplicates | Filter | Cast | Rename
ValueStep = Clip | Log | Ratio | Bucket
Step = RowStep | ValueStep
