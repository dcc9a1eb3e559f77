"""Figures and their bounds as a person reads them."""

from perennial.api.evaluation import FairnessMetric
from perennial.api.version import GateRecord

MIN_ROWS = 20
"""Rows of a slice from which it is judged, where the gate says nothing."""
TOLERANCE = 1e-12
MESSAGE_LIMIT = 512


def record(
    metric: FairnessMetric, by: str, limit: str, value: float | None, *, passed: bool, message: str
) -> GateRecord:
    """The record of a gate on ``metric``, with texts of the length that it holds."""
    return GateRecord(
        metric=metric, by=by, limit=limit[:64], value=value, passed=passed, message=message[:MESSAGE_LIMIT]
    )


def short(value: float) -> str:
    """A bound as a person would write it, with two decimals at least."""
    return f"{value:.2f}" if abs(round(value, 2) - value) < TOLERANCE else f"{value:g}"


def apart(value: float, other: float, digits: int) -> tuple[str, str]:
    """Both as text with ``digits`` decimals, or with as many as it takes to tell them apart."""
    for places in range(digits, 10):
        shown, beside = f"{value:.{places}f}", f"{other:.{places}f}"
        if shown != beside or abs(value - other) < TOLERANCE:
            return shown, beside
    return repr(value), repr(other)
