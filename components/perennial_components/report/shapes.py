"""Figures as places in an SVG."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from perennial.contracts.baseline import Distribution
from perennial.contracts.result import LOWER_IS_BETTER, Trial
from perennial_components.records import ColumnProfile

SIZE = 240
"""Of a square plot."""
_TRIALS = (640, 200)
_SMALL = (120.0, 28.0)
_WIDE = (520.0, 90.0)
_COLOURS = 6

Bar = tuple[float, float, float, float]
"""x, y, width, height."""


@dataclass(frozen=True)
class Trials:
    """Each finished trial's score by its number: (x, y, colour, title), the best so far, ticks (value, y)."""

    width: int
    height: int
    names: tuple[str, ...]
    points: tuple[tuple[float, float, int, str], ...]
    best: str
    ticks: tuple[tuple[float, float], ...]


def trials_of(trials: Sequence[Trial], metric: str) -> Trials | None:
    """None where fewer than two ended with a score."""
    done = [(trial, trial.score) for trial in trials if trial.state == "Complete" and trial.score is not None]
    if len(done) < 2:
        return None
    width, height = _TRIALS
    values = [score for _, score in done]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    names = tuple(dict.fromkeys(trial.algorithm for trial, _ in done))

    def place(number: int, value: float) -> tuple[float, float]:
        return round(width * (number - 0.5) / len(trials), 1), round(height * (0.95 - 0.9 * (value - low) / span), 1)

    better, best, line = (min if metric in LOWER_IS_BETTER else max), done[0][1], []
    for trial, score in done:
        best = better(best, score)
        line.append(place(trial.number, best))
    return Trials(
        width, height, names,
        tuple(
            (*place(trial.number, score), names.index(trial.algorithm) % _COLOURS, f"{trial.algorithm}: {score:.5g}")
            for trial, score in done
        ),
        " ".join(f"{x},{y}" for x, y in line),
        tuple((value, place(1, value)[1]) for value in ((low, high) if high > low else (low,))),
    )  # fmt: skip


def bars_of(column: ColumnProfile) -> list[Bar]:
    """A column's distribution, small: its histogram, or its most frequent values and all others."""
    counts = list(column.counts) or [rows for _, rows in column.top] + ([column.others] if column.others else [])
    return bars(counts, *_SMALL)


def bars(counts: Sequence[float], width: float, height: float) -> list[Bar]:
    """Side by side, the greatest as high as can be."""
    most = max(counts, default=0)
    if not most:
        return []
    step, unit = width / len(counts), height / most
    return [
        (round(step * at, 2), round(height - unit * count, 2), round(step * 0.9, 2), round(unit * count, 2))
        for at, count in enumerate(counts)
    ]


def prediction_bars(known: Distribution) -> list[tuple[float, float, float, float, str]]:
    """The bins in which predictions are counted, each with its name and rows."""
    shown = [(name, count) for name, count in zip(known.bins, known.counts, strict=True) if not name.startswith("__")]
    places = bars([count for _, count in shown], *_WIDE)
    return [(*bar, f"{name}: {count} rows") for bar, (name, count) in zip(places, shown, strict=False)]


def scatter(pairs: Iterable[tuple[float, float]]) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """(predicted, actual) as places in the plot, both on one scale, and the scale's ends."""
    points = list(pairs)
    low, high = min(map(min, points)), max(map(max, points))
    wide = (high - low) or 1.0
    return [(along((a - low) / wide), up((b - low) / wide)) for a, b in points], (low, low + wide)


def polyline(points: Iterable[tuple[float, float]]) -> str:
    """SVG points of a curve in the unit square."""
    return " ".join(f"{along(x):.1f},{up(y):.1f}" for x, y in points)


def along(share: float) -> float:
    """x of a share of the plot."""
    return SIZE * share


def up(share: float) -> float:
    """y of a share of the plot."""
    return SIZE * (1 - share)


def radius(rows: int, of: int) -> float:
    """Of a dot that stands for so many rows."""
    return 2.5 + 8 * math.sqrt(rows / max(of, 1))
