"""What became of gates: each with the figure that decided, and the verdict on all of them."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from perennial.contracts.result import ChampionMetrics, Gain, Interval, SliceMetrics

Outcome = Literal["Better", "Worse", "Unproven", "Inconclusive"]
"""Of a meeting."""


class Measured(Protocol):
    """What a run has measured on its held-out rows: its result, or its evaluation before there is one."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Over all of them."""

    @property
    def intervals(self) -> Mapping[str, Interval]:
        """How sure ``metrics`` are, where that is known."""

    @property
    def slices(self) -> Sequence[SliceMetrics]:
        """By the columns that gates ask about."""

    @property
    def champion(self) -> ChampionMetrics | None:
        """The deployed version on the same rows."""


class Judged(msgspec.Struct, frozen=True):
    """A gate that was judged. ``value`` is the figure that decided, None where there is none; ``slices`` are those that
    it is of: the worst one, or of a fairness gate the one with the smallest figure and the one with the greatest.

    ``limit`` is the bound as text, ``message`` the verdict in a sentence.
    """

    metric: str
    by: str
    limit: str
    value: float | None
    passed: bool
    message: str
    slices: tuple[SliceMetrics, ...] = ()


class Met(msgspec.Struct, frozen=True):
    """How a challenger did against the champion, the version in service; ``message`` says it in a sentence.

    Inconclusive: the two cannot be compared. Unproven: it is better, but not with the confidence asked for.
    """

    version: str
    metric: str
    metrics: dict[str, float]
    rows: int
    verdict: Outcome
    message: str
    gain: Gain | None = None

    @property
    def kept(self) -> bool:
        """Whether the champion was found to be better, or the challenger not as surely so as it has to be."""
        return self.verdict in {"Worse", "Unproven"}


class Verdict(msgspec.Struct, frozen=True):
    """The gates in the order of the spec, fairness last, and the champion (None where none was to be met)."""

    gates: tuple[Judged, ...]
    champion: Met | None = None

    @property
    def passed(self) -> bool:
        """Whether the version is fit to serve; an inconclusive comparison keeps nobody out."""
        return not self.failures and not self.champion_kept

    @property
    def failures(self) -> tuple[Judged, ...]:
        """The gates that failed."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def champion_kept(self) -> bool:
        """See :attr:`Met.kept`."""
        return self.champion is not None and self.champion.kept

    @property
    def message(self) -> str:
        """What kept the version out, for people; empty where it passed."""
        reasons = [gate.message for gate in self.failures]
        if self.champion is not None and self.champion.kept:
            reasons.append(self.champion.message)
        return "; ".join(reasons)
