"""Value steps of ``data.prepare`` on the tensor of features; :mod:`.graph` has the same as a graph.

``Encoded.features`` stays the tensor as it is served. Models are fitted on ``values(request, signature, features)``,
whose columns ``prepared(signature, request)`` describes, and the exported graph makes the one from the other.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from perennial.contracts.prepare import Bucket, Clip, Log, Ratio, Step, ValueStep
from perennial.contracts.request import RunRequest
from perennial.contracts.signature import MISSING_CATEGORY, Input, Signature, starts
from perennial_components.failure import RunError, nearest


def value_steps(steps: tuple[Step, ...]) -> tuple[ValueStep, ...]:
    """The steps that are part of the model, in their order."""
    return tuple(step for step in steps if isinstance(step, ValueStep))


def prepared(signature: Signature, request: RunRequest) -> Signature:
    """``signature`` with its ``inputs`` as they are after the value steps: a ``bucket`` made its column Categorical
    (-1 when missing, as every category), a ``ratio`` stands as a Numeric one at the end.

    Raises RunError (DataRejected) with a line for each step on what is no numeric feature, and for each ratio's name
    that is taken.
    """
    inputs, wrong = _walked(signature.inputs, request.prepare)
    if wrong:
        raise RunError("DataRejected", "\n".join(wrong))
    return msgspec.structs.replace(signature, inputs=inputs)


def impossible(inputs: tuple[Input, ...], steps: tuple[Step, ...]) -> tuple[str, ...]:
    """What keeps the value steps among ``steps`` from being done on ``inputs``: a line each, with the step's place."""
    return _walked(inputs, steps)[1]


def _walked(given: tuple[Input, ...], steps: tuple[Step, ...]) -> tuple[tuple[Input, ...], tuple[str, ...]]:
    """The inputs after the value steps, and what is wrong with these."""
    inputs = {item.name: item for item in given}
    wrong: list[str] = []
    for place, step in enumerate(steps):
        if not isinstance(step, ValueStep):
            continue
        where = f"data.prepare[{place}].{step.__struct_config__.tag}"
        wrong += [f"{where}: {why}" for name in _read(step) if (why := _no_number(name, inputs))]
        if isinstance(step, Ratio):
            if step.name in inputs:
                wrong.append(f"{where}: there is an input {step.name!r} already")
            inputs.setdefault(step.name, Input(step.name, "Numeric"))
        elif isinstance(step, Bucket) and step.column in inputs:
            categories = tuple(map(str, range(len(step.edges) + 1)))
            inputs[step.column] = Input(step.column, "Categorical", categories)
    return tuple(inputs.values()), tuple(wrong)


def values(request: RunRequest, signature: Signature, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """``features`` [N, F] in the order of ``signature`` as the model takes them, float32 [N, F'] in the order of
    ``prepared(signature, request)``; the same array where there are no value steps.

    A missing value (NaN) stays missing, and so becomes what is no finite number after a ``log`` or ``ratio``. Raises as
    :func:`prepared` does.
    """
    steps = value_steps(request.prepare)
    if not steps:
        return features
    inputs = prepared(signature, request).inputs
    *columns, width = starts(inputs)
    places = {item.name: place for item, place in zip(inputs, columns, strict=True)}
    found = np.empty((len(features), width), dtype=np.float32)
    found[:, : features.shape[1]] = features
    for step in steps:
        if isinstance(step, Ratio):
            found[:, places[step.name]] = _ratio(found[:, places[step.numerator]], found[:, places[step.denominator]])
        else:
            found[:, places[step.column]] = _changed(step, found[:, places[step.column]])
    return found


def _changed(step: Clip | Log | Bucket, column: NDArray[np.float32]) -> NDArray[np.float32]:
    if isinstance(step, Clip):
        low = column if step.min is None else np.where(column < np.float32(step.min), np.float32(step.min), column)
        return low if step.max is None else np.where(low > np.float32(step.max), np.float32(step.max), low)
    if isinstance(step, Log):
        # In double precision and rounded: log of float32 differs in its last bit from one library to the next.
        shifted = column.astype(np.float64) + step.offset
        with np.errstate(divide="ignore", invalid="ignore"):
            return _finite(np.log(np.where(shifted > 0, shifted, np.nan)))
    reached = np.searchsorted(np.array(step.edges, dtype=np.float32), column, side="right")
    return np.where(np.isnan(column), np.float32(MISSING_CATEGORY), reached.astype(np.float32))


def _ratio(numerator: NDArray[np.float32], denominator: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _finite(numerator.astype(np.float64) / denominator.astype(np.float64))


def _finite(column: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        short = column.astype(np.float32)
    return np.where(np.isfinite(short), short, np.float32(np.nan))


def _read(step: ValueStep) -> tuple[str, ...]:
    return (step.numerator, step.denominator) if isinstance(step, Ratio) else (step.column,)


def _no_number(name: str, inputs: dict[str, Input]) -> str:
    """Why the input ``name`` cannot be computed with; empty where it can."""
    if name not in inputs:
        known = [item.name for item in inputs.values() if item.kind == "Numeric"]
        return f"{name!r} is no feature{nearest(name, known)}"
    return "" if inputs[name].kind == "Numeric" else f"{name!r} is {inputs[name].kind} and not Numeric"
