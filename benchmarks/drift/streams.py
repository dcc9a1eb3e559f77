"""The rows that every method sees, made once: references in time order, and the windows that follow them.

A scenario lies in two files: references (R, m, F) and windows (R, W, n, F), float32; the W windows of a reference are
judged against it alone, so a reference that is unlike its source by chance cannot decide a figure. A shift moves the
first feature by that many standard deviations; the files of the unshifted rows serve for it too.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

FEATURES = 20
SIZES, SHIFTS = (200, 1000, 10_000), (0.1, 0.25, 0.5)
FRESH = 20
"""Windows judged against one reference before another is drawn."""
CORRELATION = 0.9
LONG, SHORT = 10_000, 246
"""Rows of a season that ten windows go through, and of one that fits into a window four times (six chunks)."""
RIVER = "river: "
"""Begins the names of the scenarios with a change at a known row."""
STREAM_SIZE, BEFORE, WINDOWS = 1000, 10, 20
"""Their rows a window; windows before the change; windows."""


@dataclass(frozen=True)
class Scenario:
    """``rows`` is m, ``size`` n; ``labelled``: the last column says whether the model was wrong."""

    name: str
    references: str
    windows: str
    rows: int
    size: int
    shift: float = 0.0
    labelled: bool = False

    def read(self, folder: Path) -> Iterator[tuple[Array, Array]]:
        """(reference (m, F), its windows (W, n, F)) one after the other, shifted."""
        references = np.load(folder / self.references, mmap_mode="r")
        windows = np.load(folder / self.windows, mmap_mode="r")
        for reference, following in zip(references, windows, strict=True):
            rows = following.astype(np.float64)
            rows[:, :, 0] += self.shift
            yield reference.astype(np.float64), rows


def listed(folder: Path) -> list[Scenario]:
    """The scenarios that were written to ``folder``."""
    return [Scenario(**each) for each in json.loads((folder / "scenarios.json").read_text())]


def save(folder: Path, scenarios: Sequence[Scenario]) -> None:
    """Adds ``scenarios`` to those listed in ``folder``."""
    path = folder / "scenarios.json"
    known = json.loads(path.read_text()) if path.exists() else []
    path.write_text(json.dumps([*known, *(asdict(each) for each in scenarios)]))


def write(folder: Path, windows: int) -> None:
    """All made-up scenarios, each with ``windows`` windows (rounded up to whole references)."""
    fresh = min(FRESH, windows)
    repeats = -(-windows // fresh)
    save(folder, [*_normal(folder, repeats, fresh), *_dependent(folder, repeats, fresh)])


def _normal(folder: Path, repeats: int, fresh: int) -> Iterator[Scenario]:
    """Independent rows. References of both lengths share the windows."""
    rng = np.random.default_rng(11)
    for rows in (1000, 10_000):
        _write(folder / f"normal-m{rows}.npy", (rng.standard_normal((rows, FEATURES)) for _ in range(repeats)))
    for size in SIZES:
        drawn = (rng.standard_normal((fresh, size, FEATURES)) for _ in range(repeats))
        _write(folder / f"normal-n{size}.npy", drawn)
        for rows in (1000, 10_000):
            for shift in (0.0, *SHIFTS):
                name = f"normal-m{rows}-n{size}-{shift:g}"
                yield Scenario(name, f"normal-m{rows}.npy", f"normal-n{size}.npy", rows, size, shift)


def _dependent(folder: Path, repeats: int, fresh: int) -> Iterator[Scenario]:
    """Rows that depend on their time: windows of 1,000 follow the reference without a gap."""
    rng = np.random.default_rng(12)
    size = 1000
    for name, rows, period in (("ar1", 10_000, 0), ("season-long", 5 * LONG, LONG), ("season-short", 10_000, SHORT)):
        length = rows + fresh * size
        streams = [seasonal(length, period, rng) if period else autoregressive(length, rng) for _ in range(repeats)]
        _write(folder / f"{name}-m.npy", (stream[:rows] for stream in streams))
        _write(folder / f"{name}-n.npy", (stream[rows:].reshape(fresh, size, FEATURES) for stream in streams))
        for shift in (0.0, SHIFTS[-1]):
            yield Scenario(f"{name}-{shift:g}", f"{name}-m.npy", f"{name}-n.npy", rows, size, shift)


def autoregressive(length: int, rng: np.random.Generator) -> Array:
    """(length, F): each feature a stationary process of first order with variance 1."""
    values = rng.standard_normal((length, FEATURES))
    # What follows the first row adds only what keeps the variance.
    values[1:] *= np.sqrt(1 - CORRELATION**2)
    for row in range(1, length):
        values[row] += CORRELATION * values[row - 1]
    return values


def seasonal(length: int, period: int, rng: np.random.Generator) -> Array:
    """(length, F): noise of one standard deviation on a sine of that amplitude, each feature at a phase of its own."""
    angle = 2 * np.pi * np.arange(length)[:, None] / period + rng.uniform(0, 2 * np.pi, FEATURES)
    values: Array = np.sin(angle) + rng.standard_normal((length, FEATURES))
    return values


def _write(path: Path, blocks: Iterator[Array]) -> None:
    np.save(path, np.stack([block.astype(np.float32) for block in blocks]))
