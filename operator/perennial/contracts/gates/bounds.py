"""Bounds on a figure, over all held-out rows or for every value of a column."""

import math
from collections.abc import Mapping, Sequence

from perennial.contracts.gates.judged import Judged
from perennial.contracts.gates.words import TOLERANCE, apart, short
from perennial.contracts.request import Gate
from perennial.contracts.result import SliceMetrics


def judge(gate: Gate, metrics: Mapping[str, float], slices: Sequence[SliceMetrics]) -> Judged:
    """One gate, by the figures over all held-out rows or by those of the slices."""
    return _by_slice(gate, slices) if gate.by else _overall(gate, metrics)


def _overall(gate: Gate, metrics: Mapping[str, float]) -> Judged:
    value = metrics.get(gate.metric)
    if value is None or not math.isfinite(value):
        return _judged(gate, None, passed=False, message=f"{gate.metric} could not be measured on the held-out rows")
    return _judged(gate, value, passed=_margin(gate, value) >= 0, message=f"{gate.metric} {_against(gate, value)}")


def _by_slice(gate: Gate, slices: Sequence[SliceMetrics]) -> Judged:
    here = [each for each in slices if each.column == gate.by]
    judged = measured(here, gate.metric, gate.min_rows)
    if not judged:
        why = "the run measured no slices of it"
        if here:
            why = f"none of its {len(here)} values has {gate.min_rows} held-out rows on which it can be measured"
        message = f"{gate.metric} by {gate.by} cannot be judged: {why}; lower minRows or hold out more rows"
        return _judged(gate, None, passed=False, message=message)
    value, worst = min(judged, key=lambda pair: _margin(gate, pair[0]))
    passed = _margin(gate, value) >= 0
    where = f"{gate.by}={worst.value} ({worst.rows} rows)"
    message = f"{gate.metric} by {gate.by}: {_against(gate, value, where)}"
    if skipped := len(here) - len(judged):
        message += f"; {skipped} of {len(here)} values were not judged"
    return _judged(gate, value, passed=passed, message=message, slices=(worst,))


def measured(slices: Sequence[SliceMetrics], metric: str, min_rows: int) -> list[tuple[float, SliceMetrics]]:
    """The slices with enough rows on which ``metric`` is known, each with its figure."""
    return [
        (each.metrics[metric], each)
        for each in slices
        if each.rows >= min_rows and math.isfinite(each.metrics.get(metric, math.nan))
    ]


def _judged(
    gate: Gate, value: float | None, *, passed: bool, message: str, slices: tuple[SliceMetrics, ...] = ()
) -> Judged:
    return Judged(gate.metric, gate.by, _limit(gate), value, passed, message, slices)


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
