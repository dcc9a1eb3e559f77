"""Figures and their bounds as a person reads them."""

TOLERANCE = 1e-12


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
