"""Windows of counts as a monitor would gather them: from the patients of four hospitals, and from normal features.

Bins are made by the pipeline's own code, so that what is measured is what runs.
"""

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from perennial.contracts.baseline import Distribution, bin_index
from perennial.contracts.signature import category_of
from perennial.domain.drift.statistics import Finding, examine, judge_features

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "components"))

from perennial_components.baseline.bins import categorical, numeric, numeric_places  # noqa: E402

HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")
NUMERIC = ("age", "trestbps", "chol", "thalach", "oldpeak", "ca")
CATEGORICAL = ("sex", "cp", "fbs", "restecg", "exang", "slope", "thal")
ALPHA, TOLERANCE = 0.01, 0.02

Counts = npt.NDArray[np.float64]
Window = list[Counts]
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Rates:
    """Shares of windows: with any feature judged drifting, and with any merely significant."""

    alarms: float
    significant: float


def judge(reference: Sequence[Distribution], window: Window) -> list[Finding]:
    """The findings at the monitor's default alpha and tolerance."""
    tests = examine(list(zip(reference, window, strict=True)))
    return judge_features([test for test in tests if test], alpha=ALPHA, tolerance=TOLERANCE)


def rates(reference: Sequence[Distribution], windows: Iterator[Window], repeats: int) -> Rates:
    """Over the next ``repeats`` of ``windows``."""
    found = [judge(reference, next(windows)) for _ in range(repeats)]
    return Rates(
        alarms=sum(any(each.drifting for each in findings) for findings in found) / repeats,
        significant=sum(any(each.adjusted <= ALPHA for each in findings) for findings in found) / repeats,
    )


def chunked(places: npt.NDArray[np.int64], chunk: npt.NDArray[np.int64], chunks: int, bins: int) -> Counts:
    """Counts (chunks, bins) of rows by their bin and chunk, each of shape (rows,)."""
    return np.bincount(chunk * bins + places, minlength=chunks * bins).reshape(chunks, bins).astype(np.float64)


# --- patients -----------------------------------------------------------------------------------------------------


def patients(*hospitals: str) -> Rows:
    """The rows of these hospitals as text."""
    rows: Rows = []
    for hospital in hospitals:
        with (ROOT / "examples" / "data" / f"{hospital}.csv").open() as file:
            rows += csv.DictReader(file)
    return rows


def baseline(rows: Rows) -> tuple[Distribution, ...]:
    """The distributions of the features over ``rows``, as a run records them."""
    return (
        *(numeric(name, np.array([_number(row[name]) for row in rows])) for name in NUMERIC),
        *(categorical(name, np.array([_text(row[name]) for row in rows], dtype=object)) for name in CATEGORICAL),
    )


def resampled(
    reference: Sequence[Distribution], rows: Rows, size: int, chunks: int, rng: np.random.Generator
) -> Iterator[Window]:
    """Windows of ``size`` patients drawn from ``rows`` with replacement, each at any time in the window."""
    places = [
        np.array([bin_index(each, (_number if each.kind == "Numeric" else _text)(row[each.name])) for row in rows])
        for each in reference
    ]
    while True:
        drawn, chunk = rng.integers(len(rows), size=size), rng.integers(chunks, size=size)
        yield [chunked(at[drawn], chunk, chunks, len(each.bins)) for each, at in zip(reference, places, strict=True)]


def _number(text: str) -> float:
    return float(text) if text else float("nan")


def _text(text: str) -> str | None:
    return category_of(text) if text else None


# --- normal features ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Normal:
    """``features`` independent standard normal ones: ``rows`` in the reference, ``size`` in a window of ``chunks``; the
    first is shifted by ``shift`` standard deviations, each is autocorrelated from row to row by ``correlation``.
    """

    size: int
    rows: int = 10_000
    chunks: int = 24
    features: int = 20
    shift: float = 0.0
    correlation: float = 0.0

    def reference(self, rng: np.random.Generator) -> tuple[Distribution, ...]:
        """A reference of independent rows."""
        return tuple(numeric(f"x{at}", rng.standard_normal(self.rows)) for at in range(self.features))

    def windows(self, reference: Sequence[Distribution], rng: np.random.Generator) -> Iterator[Window]:
        """Windows of rows at even times."""
        chunk = np.arange(self.size) * self.chunks // self.size
        while True:
            values = self._values(rng)
            values[:, 0] += self.shift
            yield [
                chunked(numeric_places(each.edges, column), chunk, self.chunks, len(each.bins))
                for each, column in zip(reference, values.T, strict=True)
            ]

    def _values(self, rng: np.random.Generator) -> Counts:
        noise = rng.standard_normal((self.size, self.features))
        if not self.correlation:
            return noise
        # Stationary from the first row on.
        scale = np.sqrt(1 - self.correlation**2)
        values = np.empty_like(noise)
        values[0] = noise[0]
        for row in range(1, self.size):
            values[row] = self.correlation * values[row - 1] + scale * noise[row]
        return values
