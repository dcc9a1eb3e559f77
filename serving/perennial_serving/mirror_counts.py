"""How a shadow's answers compare with ours, and the text of it for Prometheus."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from perennial.contracts import names
from perennial_serving.exposition import labels
from perennial_serving.protocol import InferResponse

COMPARED, FAILED, DROPPED = "compared", "failed", "dropped"
AGREE, DIFFER = "agree", "differ"
CLOSE = 0.05
"""Two numbers are the same prediction when they differ by no more than so many times the predictions' spread."""
BUCKETS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0)
_HELP = {
    names.METRIC_SHADOW_REQUESTS: ("counter", "Copies of answered requests, by what became of them."),
    names.METRIC_SHADOW_ROWS: ("counter", "Rows of compared answers, by whether both versions predict the same."),
    names.METRIC_SHADOW_DIFFERENCE: ("histogram", "Absolute difference between both versions' scores of a row."),
}


class Incomparable(ValueError):
    """Two answers do not say the same kind of thing about the same rows."""


_decode = msgspec.json.Decoder(InferResponse).decode


class ShadowCounts:
    """What one shadow version was asked. ``shown``: Prometheus has read these series at 0."""

    def __init__(self) -> None:
        self.requests = dict.fromkeys((COMPARED, FAILED, DROPPED), 0)
        self.rows = dict.fromkeys((AGREE, DIFFER), 0)
        self.differences = [0] * (len(BUCKETS) + 1)
        self.difference_sum = 0.0
        self.shown = False

    def compare(self, predicted: list[str], probability: list[float], theirs: bytes) -> None:
        """Counts our prediction and ``theirs`` (v2 JSON) row by row. Raises :class:`Incomparable`, counting nothing."""
        other = _outputs(theirs)
        try:
            agreements = [mine == their for mine, their in zip(predicted, other["predicted"], strict=True)]
        except (KeyError, ValueError) as error:
            raise Incomparable(f"{type(error).__name__}: {error}") from None
        self._count(agreements, _differences(probability, other, "probability"))

    def compare_numbers(self, values: list[float], spread: float, theirs: bytes) -> None:
        """As :meth:`compare`, of a Regression: differences are in units of ``spread``."""
        differences = [each / spread for each in _differences(values, _outputs(theirs), "prediction")]
        self._count([each <= CLOSE for each in differences], differences)

    def _count(self, agreements: list[bool], differences: list[float]) -> None:
        for agreed in agreements:
            self.rows[AGREE if agreed else DIFFER] += 1
        for difference in differences:
            self.differences[bisect_left(BUCKETS, difference)] += 1
            self.difference_sum += difference


def _outputs(answer: bytes) -> dict[str, list[Any]]:
    try:
        return {output.name: output.data for output in _decode(answer).outputs}
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Incomparable(f"{type(error).__name__}: {error}") from None


def _differences(ours: list[float], theirs: dict[str, list[Any]], name: str) -> list[float]:
    try:
        return [abs(mine - their) for mine, their in zip(ours, theirs[name], strict=True)]
    except (KeyError, ValueError, TypeError) as error:
        raise Incomparable(f"{type(error).__name__}: {error}") from None


def exposition(base: dict[str, str], shadows: dict[str, ShadowCounts], *, scraper: bool) -> bytes:
    """Prometheus' text of ``shadows`` (by version) with the labels ``base``.

    ``scraper``: see :meth:`perennial_serving.counters.Counters.render`, whose custom of a first 0 this keeps.
    """
    if not shadows:
        return b""
    lines = []
    for metric, rows in _ROWS.items():
        kind, text = _HELP[metric]
        lines += [f"# HELP {metric} {text}", f"# TYPE {metric} {kind}"]
        for version, counts in shadows.items():
            zero = scraper and not counts.shown
            for suffix, own, value in rows(counts):
                lines.append(f"{metric}{suffix}{{{labels(**base, shadow=version, **own)}}} {0 if zero else value!r}")
    if scraper:
        for counts in shadows.values():
            counts.shown = True
    return ("\n".join(lines) + "\n").encode()


_Row = tuple[str, dict[str, str], float]


def _by_result(values: dict[str, int]) -> Iterator[_Row]:
    return (("", {"result": result}, count) for result, count in values.items())


def _histogram(counts: ShadowCounts) -> Iterable[_Row]:
    total = 0
    for limit, count in zip((*map(repr, BUCKETS), "+Inf"), counts.differences, strict=True):
        total += count
        yield "_bucket", {"le": limit}, total
    yield "_sum", {}, counts.difference_sum
    yield "_count", {}, total


_ROWS = {
    names.METRIC_SHADOW_REQUESTS: lambda counts: _by_result(counts.requests),
    names.METRIC_SHADOW_ROWS: lambda counts: _by_result(counts.rows),
    names.METRIC_SHADOW_DIFFERENCE: _histogram,
}
