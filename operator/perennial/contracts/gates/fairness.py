"""What lies between the values of a column: the greatest and the smallest figure of its slices."""

from collections.abc import Sequence

from perennial.contracts.gates.bounds import measured
from perennial.contracts.gates.judged import Judged
from perennial.contracts.gates.words import TOLERANCE, apart, short
from perennial.contracts.request import FairnessGate
from perennial.contracts.result import SliceMetrics


def between(gate: FairnessGate, slices: Sequence[SliceMetrics]) -> Judged:
    """One fairness gate; ``slices`` are the run's. Two values at least have to be comparable."""
    here = [each for each in slices if each.column == gate.by]
    judged = measured(here, gate.metric, gate.min_rows)
    if len(judged) < 2:
        why = "the run measured no slices of it"
        if here:
            why = f"it is known for {len(judged)} of its {len(here)} values with at least {gate.min_rows} held-out rows"
        message = f"{gate.metric} cannot be compared by {gate.by}: {why}; it takes two"
        return Judged(gate.metric, gate.by, _limit(gate), None, passed=False, message=message)
    (low, lowest), (high, highest) = min(judged, key=_figure), max(judged, key=_figure)
    value, passed = _held(gate, low, high)
    low_text, high_text = apart(low, high, 2)
    bound = gate.max_difference if gate.max_difference is not None else gate.min_ratio or 0.0
    shown = apart(value, bound, 2)[0]
    side = (("within", "over") if gate.min_ratio is None else ("at or above", "under"))[not passed]
    message = (
        f"{gate.metric} by {gate.by}: {low_text} for {lowest.value} ({lowest.rows} rows) and {high_text} for "
        f"{highest.value} ({highest.rows} rows): {_what(gate)} {shown} is {side} the gate's {short(bound)}"
    )
    if skipped := len(here) - len(judged):
        message += f"; {skipped} of {len(here)} values were not compared"
    return Judged(gate.metric, gate.by, _limit(gate), value, passed, message, (lowest, highest))


def _held(gate: FairnessGate, low: float, high: float) -> tuple[float, bool]:
    """What lies between, and whether it is within the bound. Figures of 0 alone are equal; a ratio needs one sign."""
    if gate.max_difference is not None:
        return high - low, high - low <= gate.max_difference + TOLERANCE
    ratio = 1.0 if low == high else low / high if low >= 0 else 0.0
    return ratio, ratio >= (gate.min_ratio or 0.0) - TOLERANCE


def _figure(pair: tuple[float, SliceMetrics]) -> float:
    return pair[0]


def _what(gate: FairnessGate) -> str:
    return "the difference of" if gate.min_ratio is None else "the ratio of"


def _limit(gate: FairnessGate) -> str:
    if gate.max_difference is not None:
        return f"difference at most {short(gate.max_difference)}"
    return f"ratio at least {short(gate.min_ratio or 0.0)}"
