"""What the spec says of preparing and splitting the data, in the contract's terms."""

from collections.abc import Sequence

import msgspec

from perennial.api.data import DataSpec
from perennial.api.prepare import PrepareStep
from perennial.contracts.prepare import Rename, Step
from perennial.contracts.request import ByTime, Require, Split


def steps(given: Sequence[PrepareStep]) -> tuple[Step, ...]:
    """The steps; a step's key in YAML is its tag in the contract, and its fields have the same names."""
    return tuple(_step(each) for each in given)


def _step(given: PrepareStep) -> Step:
    [(name, fields)] = given.wire().items()
    step: Step = msgspec.convert({"step": name, **fields}, type=Step)
    return step


def as_read(column: str, prepare: Sequence[Step]) -> str:
    """The name that ``column`` has in the data, before the renames of ``prepare``."""
    for step in reversed(prepare):
        if isinstance(step, Rename) and step.to == column:
            column = step.source
    return column


def require(data: DataSpec) -> Require:
    """How many rows the spec asks for."""
    given = data.require
    if given is None:
        return Require()
    return Require(min_rows=given.min_rows or 0, min_rows_per_class=given.min_rows_per_class or 0)


def split(data: DataSpec) -> Split:
    """How the spec holds rows out."""
    given, prepare = data.split, steps(data.prepare)
    by_time = given.by_time
    return Split(
        test=given.test,
        seed=given.seed,
        key=tuple(as_read(column, prepare) for column in given.key),
        group=as_read(given.group, prepare) if given.group else "",
        by_time=ByTime(as_read(by_time.column or data.time or "", prepare), by_time.from_) if by_time else None,
    )
