"""What a candidate's parameters are: checked against the catalog before anything is fitted."""

import math
from typing import cast

from perennial.contracts.request import Algorithm, Candidate, Replay, Scalar, SearchRange
from perennial.contracts.signature import Task
from perennial_components.failure import RunError, nearest
from perennial_components.tune.catalog import CATALOG, Parameter

Value = float | int | str | bool | None


def require_known(candidate: Candidate, task: Task) -> None:
    """Raises RunError (TrainingFailed) for an algorithm of another task, and for a parameter that it does not have or
    that is out of its range.
    """
    estimator = CATALOG[candidate.algorithm]
    if not estimator.knows(task):
        other = "Classification" if task == "Regression" else "Regression"
        raise RunError("TrainingFailed", f"{candidate.algorithm} is for {other}, not for {task}")
    known = estimator.parameters
    for name in (*candidate.parameters, *candidate.search):
        if name not in known:
            has = f"it has: {', '.join(known)}" if known else "it has none"
            said = f"{candidate.algorithm} has no parameter {name!r}{nearest(name, known)}; {has}"
            raise RunError("TrainingFailed", said)
    for name in candidate.parameters.keys() & candidate.search.keys():
        raise RunError("TrainingFailed", f"{candidate.algorithm}: {name!r} is both fixed and searched")
    fixed_of(candidate)
    for name, space in candidate.search.items():
        _require_range(candidate.algorithm, name, space)


def fixed_of(candidate: Candidate) -> dict[str, Value]:
    """The fixed parameters in their types. Raises RunError (TrainingFailed)."""
    return {name: value_of(candidate.algorithm, name, value) for name, value in sorted(candidate.parameters.items())}


def space_of(candidate: Candidate) -> dict[str, SearchRange]:
    """What is searched, by parameter in a fixed order."""
    found = dict(candidate.search)
    if candidate.space == "Builtin":
        for name, parameter in CATALOG[candidate.algorithm].parameters.items():
            if parameter.space and name not in candidate.parameters:
                found.setdefault(name, parameter.space)
    return dict(sorted(found.items()))


def value_of(algorithm: str, name: str, value: Scalar) -> Value:
    """``value`` in the type that the parameter takes: whole numbers are rounded. Raises RunError (TrainingFailed)."""
    parameter = CATALOG[algorithm].parameters[name]
    if parameter.kind == "Truth" and isinstance(value, bool):
        return value
    if isinstance(value, str) and value in parameter.words:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and _in_range(parameter, value):
        return round(value) if parameter.kind == "Whole" else float(value)
    raise RunError("TrainingFailed", f"{algorithm}: {name!r} cannot be {value!r}: it is {parameter.meaning}")


def recorded(replay: Replay) -> Candidate:
    """The recorded winner as a candidate, its parameters from their text. Raises RunError (TrainingFailed) when it is
    none of ours.
    """
    if replay.algorithm not in CATALOG:
        raise RunError("TrainingFailed", f"{replay.version} is a {replay.algorithm}, which is not among the candidates")
    known, algorithm = CATALOG[replay.algorithm].parameters, cast("Algorithm", replay.algorithm)
    return Candidate(algorithm, {name: _read(known.get(name), text) for name, text in replay.parameters.items()})


def _read(parameter: Parameter | None, text: str) -> Scalar:
    if parameter and parameter.kind == "Truth" and text in {"true", "false"}:
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _in_range(parameter: Parameter, value: float) -> bool:
    if parameter.kind not in {"Number", "Whole"} or not math.isfinite(value):
        return False
    return (parameter.low < value if parameter.above else parameter.low <= value) and value <= parameter.high


def _require_range(algorithm: str, name: str, space: SearchRange) -> None:
    parameter = CATALOG[algorithm].parameters[name]
    if bool(space.choices) == (space.low < space.high):
        raise RunError("TrainingFailed", f"{algorithm}: search of {name!r}: give low and high, or choices")
    if space.choices:
        for choice in space.choices:
            value_of(algorithm, name, choice)
        return
    if parameter.kind not in {"Number", "Whole"}:
        raise RunError("TrainingFailed", f"{algorithm}: {name!r} is {parameter.meaning}: search it by choices")
    if space.scale == "Log" and space.low <= 0:
        raise RunError("TrainingFailed", f"a range on a Log scale must start above 0, not at {space.low:g}")
    for end in (space.low, space.high):
        value_of(algorithm, name, end)
