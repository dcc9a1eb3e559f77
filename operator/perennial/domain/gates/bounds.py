"""Bounds on a figure, over all held-out rows or for every value of a column."""

import math
from collections.abc import Sequence

from perennial.api.evaluation import Gate
from perennial.api.version import GateRecord
from perennial.contracts.result import RunResult, SliceMetrics
from perennial.domain.gates.words import MIN_ROWS, TOLERANCE, apart, record, short


def judge(gate: Gate, result: RunResult) -> GateRecord:
    """The record of one gate, over all held-out rows or by slice."""
    return _by_slice(gate, gate.by, result.slices) if gate.by else _overall(gate, result)


def _overall(gate: Gate, result: RunResult) -> GateRecord:
    value = result.metrics.get(gate.metric)
    if value is None or not math.isfinite(value):
        return _record(gate, None, passed=False, message=f"{gate.metric} could not be measured on the held-out rows")
    return _record(gate, value, passed=_margin(gate, value) >= 0, message=f"{gate.metric} {_against(gate, value)}")


def _by_slice(gate: Gate, column: str, slices: Sequence[SliceMetrics]) -> GateRecord:
    here = [each for each in slices if each.column == column]
    judged = measured(here, gate.metric, gate.min_rows)
    if not judged:
        least = gate.min_rows or MIN_ROWS
        why = f"none of its {len(here)} values has {least} held-out rows on which it can be measured" if here else (
            "the run measured no slices of it"
        )  # fmt: skip
        message = f"{gate.metric} by {column} cannot be judged: {why}; lower minRows or hold out more rows"
        return _record(gate, None, passed=False, message=message)
    value, worst = min(judged, key=lambda pair: _margin(gate, pair[0]))
    passed = _margin(gate, value) >= 0
    where = f"{column}={worst.value} ({worst.rows} rows)"
    message = f"{gate.metric} by {column}: {_against(gate, value, where)}"
    if skipped := len(here) - len(judged):
        message += f"; {skipped} of {len(here)} values were not judged"
    return _record(gate, value, passed=passed, message=message)


def measured(slices: Sequence[SliceMetrics], metric: str, min_rows: int | None) -> list[tuple[float, SliceMetrics]]:
    """The slices with enough rows on which ``metric`` is known, each with its figure."""
    return [
        (each.metrics[metric], each)
        for each in slices
        if each.rows >= (min_rows or MIN_ROWS) and math.isfinite(each.metrics.get(metric, math.nan))
    ]


def _record(gate: Gate, value: float | None, *, passed: bool, message: str) -> GateRecord:
    return record(gate.metric, gate.by or "", _limit(gate), value, passed=passed, message=message)


def _limit(gate: Gate) -> str:
    parts = [f"at least {short(gate.min)}" if gate.min is not None else ""]
    parts.append(f"at most {short(gate.max)}" if gate.max is not None else "")
    return " and ".join(filter(None, parts))


def _margin(gate: Gate, value: float) -> float:
    """How far ``value`` is inside the gate's bounds; negative outside."""
    under = value - gate.min if gate.min is not None else math.inf
    over = gate.max - value if gate.max is not None else math.inf
    margin = min(under, over)
    return 0.0 if abs(margin) < TOLERANCE else margin


def _against(gate: Gate, value: float, where: str = "") -> str:
    """``value`` beside the bound that it breaks, or beside the nearer one; ``where`` names a slice."""
    low = gate.min is not None and (gate.max is None or value - gate.min <= gate.max - value)
    bound = gate.min if low else gate.max
    assert bound is not None  # noqa: S101 - the schema asks for min or max
    shown, limit = apart(value, bound, 2)[0], short(bound)
    inside = f"at or above the gate's {limit}" if low else f"at or under the gate's {limit}"
    outside = f"under the gate's {limit}" if low else f"over the gate's {limit}"
    words = inside if _margin(gate, value) >= 0 else outside
    return f"{shown} for {where} is {words}" if where else f"{shown} is {words}"
