"""Geometry of a report's charts. Plots are stretched to their place (``preserveAspectRatio="none"``), so that the text
around them, which is HTML, stays readable at any width; x and y are in percent of the plot.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from perennial.contracts.baseline import ABOVE, BELOW, INVALID, MISSING
from perennial.domain.drift.story import FeatureStory, Point
from perennial.render.report.words import bin_label, bin_of, brief, edges_of, marked, number, share

TICKS, ROWS = 5, 9
_LETTER, _AIR = 2.2, 1.2
"""Width of a letter, and of the air between two labels, in percent of the narrowest plot."""
EDGE = 96.0
"""Percent beyond which a centred label would leave the plot."""
PAST_LIMIT = 2.5
"""How many limits a gauge shows."""


@dataclass(frozen=True)
class Bar:
    """A bin of a histogram: place and width in units, heights of baseline and window in percent."""

    x: float
    width: float
    before: float
    now: float
    moved: bool
    text: str


@dataclass(frozen=True)
class Label:
    """Text that begins (start), is centred (middle) or ends (end) at ``x`` percent."""

    x: float
    text: str
    anchor: Literal["start", "middle", "end"] = "middle"

    @property
    def span(self) -> tuple[float, float]:
        """What it takes of a narrow plot, in percent, with some air."""
        width = _LETTER * len(self.text) + _AIR
        left = {"start": 0.0, "middle": width / 2, "end": width}[self.anchor]
        return self.x - left, self.x - left + width

    def clear_of(self, others: Sequence["Label"]) -> bool:
        """Whether it overlaps none of them."""
        low, high = self.span
        return all(high <= other.span[0] or low >= other.span[1] for other in others)


@dataclass(frozen=True)
class Histogram:
    """Of a numeric feature; ``units`` is the width of the whole, ``top`` the share at full height."""

    units: float
    bars: tuple[Bar, ...]
    labels: tuple[Label, ...]
    top: str


def histogram(feature: FeatureStory) -> Histogram:
    """Bins in their order; what lies beyond training's range at the ends, the missing and refused apart, and all of
    these only where there are any.
    """
    order = [place for place, name in enumerate(feature.bins) if name not in {MISSING, INVALID}]
    apart = [place for place, name in enumerate(feature.bins) if name in {MISSING, INVALID}]
    shown = [place for place in order if feature.bins[place] not in {BELOW, ABOVE} or _occurs(feature, place)]
    apart = [place for place in apart if _occurs(feature, place)]
    marks = marked(feature)
    highest = max([*feature.before, *feature.now, 1e-9])
    # A word has to fit under it.
    apart_width = max(2.2, 0.2 * len(shown))
    bars, x = [], 0.0
    for place in [*shown, *apart]:
        wide = feature.bins[place] in {MISSING, INVALID}
        width, x = (apart_width, x + 0.6) if wide else (1.0, x)
        before, now = feature.before[place], feature.now[place]
        text = f"{bin_of(feature, place)}: {share(before)} → {share(now)}"
        bars.append(Bar(x, width, 100 * before / highest, 100 * now / highest, place in marks, text))
        x += width
    names = [feature.bins[place] for place in [*shown, *apart]]
    return Histogram(x, tuple(bars), _under(names, bars, x), share(highest))


def _under(names: Sequence[str], bars: Sequence[Bar], units: float) -> tuple[Label, ...]:
    """A word or a sign under the special bins, and as many edges of the regular ones as there is room for."""
    found: list[Label] = []
    ticks: dict[float, str] = {}
    for name, bar in zip(names, bars, strict=True):
        edges = edges_of(name)
        if edges is None:
            word = {MISSING: "missing", INVALID: "refused", BELOW: "<", ABOVE: ">"}.get(name, name)
            found.append(Label(round(100 * (bar.x + bar.width / 2) / units, 1), word))
        else:
            ticks |= {bar.x: edges[0], bar.x + bar.width: edges[1]}
    if not ticks:
        return tuple(found)
    edges_ = [Label(round(100 * x / units, 1), text) for x, text in sorted(ticks.items())]
    ends = replace(edges_[0], anchor="start"), replace(edges_[-1], anchor="end" if edges_[-1].x > EDGE else "middle")
    for label in (*ends, *edges_[:: max(1, math.ceil(len(edges_) / TICKS))]):
        if label.clear_of(found):
            found.append(label)
    return tuple(found)


@dataclass(frozen=True)
class Row:
    """A category: its shares, and their bars in percent of the widest."""

    label: str
    before: str
    now: str
    before_width: float
    now_width: float
    moved: bool


def rows(feature: FeatureStory) -> tuple[Row, ...]:
    """Categories that occur, at most ROWS: those that moved or are large by themselves, the others together."""
    marks = marked(feature)
    places = [place for place in range(len(feature.bins)) if _occurs(feature, place)]
    weight = {place: max(feature.before[place], feature.now[place]) for place in places}
    kept = sorted(places, key=lambda place: (place not in marks, -weight[place]))[
        : ROWS if len(places) <= ROWS else ROWS - 1
    ]
    rest = [place for place in places if place not in kept]
    shown = [
        (bin_label(feature.bins[place]), feature.before[place], feature.now[place], place in marks)
        for place in sorted(kept, key=lambda place: (feature.bins[place] in {MISSING, INVALID}, place))
    ]
    if rest:
        before, now = (sum(shares[place] for place in rest) for shares in (feature.before, feature.now))
        shown.append((f"{len(rest)} more", before, now, False))
    widest = max([1e-9, *(max(before, now) for _, before, now, _ in shown)])
    return tuple(
        Row(label, share(before), share(now), round(100 * before / widest, 1), round(100 * now / widest, 1), mark)
        for label, before, now, mark in shown
    )


def _occurs(feature: FeatureStory, place: int) -> bool:
    return feature.before[place] > 0 or feature.now[place] > 0


@dataclass(frozen=True)
class Gauge:
    """A value against its limit, in percent of the whole; ``beyond`` says how many limits where that is off the end."""

    fill: float
    limit: float
    beyond: str = ""


def gauge(value: float, limit: float) -> Gauge:
    """The limit stands at 40 %; the end is 2.5 limits."""
    if limit <= 0:
        return Gauge(100.0 if value > 0 else 0.0, 0.0)
    times = max(value, 0.0) / limit
    beyond = f"{times:.0f} \N{MULTIPLICATION SIGN}" if times > PAST_LIMIT else ""
    return Gauge(round(min(times / PAST_LIMIT, 1.0) * 100, 1), round(100 / PAST_LIMIT, 1), beyond)


@dataclass(frozen=True)
class Trend:
    """The index by chunk: paths and dots, y of the limit, and what stands at both ends."""

    path: str
    dots: str
    limit: float
    first: str
    last: str
    top: float


def trend(feature: FeatureStory, ends: Sequence[datetime]) -> Trend | None:
    """None where fewer than two chunks have an index."""
    known = [value for value in feature.trend if value is not None]
    if len(known) < 2 or len(ends) != len(feature.trend):
        return None
    limit = feature.evidence.threshold if feature.evidence else 0.0
    top = max([*known, 1.4 * limit, 1e-6])
    points = [
        None if value is None else (_across(at, len(ends)), 100 * (1 - max(value, 0.0) / top))
        for at, value in enumerate(feature.trend)
    ]
    path, dots = line(points)
    return Trend(path, dots, round(100 * (1 - limit / top), 1), brief(ends[0], ends), brief(ends[-1], ends), top)


def _across(at: int, of: int) -> float:
    return 50.0 if of < 2 else 100 * at / (of - 1)


def line(points: Sequence[tuple[float, float] | None]) -> tuple[str, str]:
    """(Path through neighbours that are known, dots for those that have none), as SVG path data."""
    path, dots, drawn = [], [], False
    for at, point in enumerate(points):
        if point is None:
            drawn = False
            continue
        x, y = point
        follows = at + 1 < len(points) and points[at + 1] is not None
        if not drawn and not follows:
            dots.append(f"M{x:.1f} {y:.1f}h0")
        path.append(f"{'L' if drawn else 'M'}{x:.1f} {y:.1f}")
        drawn = True
    return "".join(path), "".join(dots)


# --- performance --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Whisker:
    """A measured chunk: its place, its interval, and what it says when pointed at."""

    x: float
    y: float
    low: float
    high: float
    text: str
    lost: bool


@dataclass(frozen=True)
class Curve:
    """A series over time."""

    title: str
    path: str
    whiskers: tuple[Whisker, ...]
    look: str


@dataclass(frozen=True)
class Chart:
    """Performance over time: y in percent from the top of the reference, of the largest drop let pass, of the ticks;
    ``lost`` is the band beyond it as (top, height).
    """

    curves: tuple[Curve, ...]
    reference: float
    limit: float
    lost: tuple[float, float]
    ticks: tuple[Label, ...]
    times: tuple[Label, ...]
    higher_is_worse: bool


@dataclass(frozen=True)
class Axis:
    """From ``low`` at the bottom to ``high`` at the top."""

    low: float
    high: float

    def y(self, value: float) -> float:
        """Percent from the top."""
        return round(100 * (self.high - value) / (self.high - self.low), 2)


def chart(
    series: Sequence[tuple[str, str, Sequence[Point]]], reference: float, limit: float, *, shares: bool
) -> Chart | None:
    """Of (title, look, points) by series; None where no point has a value. ``limit`` is the worst value that is let
    pass, over the reference where higher is worse; ``shares`` are never over 1.
    """
    points = [point for _, _, each in series for point in each if point.value is not None]
    if not points:
        return None
    higher_is_worse = limit >= reference
    values = [value for point in points for value in (point.value, point.low, point.high) if value is not None]
    axis = _axis([*values, reference, limit], shares=shares)
    times = sorted({point.at for _, _, each in series for point in each})
    curves = tuple(
        _curve(title, look, each, axis, (times, limit, higher_is_worse)) for title, look, each in series if each
    )
    edge = axis.y(limit)
    return Chart(
        curves, axis.y(reference), edge, (0.0, edge) if higher_is_worse else (edge, round(100 - edge, 2)),
        tuple(Label(axis.y(value), text) for value, text in _ticks(axis)), time_labels(times), higher_is_worse,
    )  # fmt: skip


def _curve(
    title: str, look: str, points: Sequence[Point], axis: Axis, among: tuple[Sequence[datetime], float, bool]
) -> Curve:
    times, limit, higher_is_worse = among
    placed: list[tuple[float, float] | None] = []
    whiskers = []
    for point in points:
        if point.value is None:
            placed.append(None)
            continue
        x, y = position(point.at, times), axis.y(point.value)
        placed.append((x, y))
        low, high = (point.value if bound is None else bound for bound in (point.low, point.high))
        # Of one chunk's mean loss or error no interval is known: its point alone claims nothing.
        known = low < high
        lost = known and (low > limit if higher_is_worse else high < limit)
        interval = f", 95 % interval {number(low)} to {number(high)}" if known else ""
        text = f"{point.at:%d %b %H:%M} UTC: {number(point.value)}{interval}, n = {point.n}"
        whiskers.append(Whisker(x, y, axis.y(low), axis.y(high), text, lost))
    return Curve(title, line(placed)[0], tuple(whiskers), look)


def position(at: datetime, times: Sequence[datetime]) -> float:
    """Percent of the way from the first of ``times`` to the last, with half a chunk at both ends."""
    if len(times) < 2:
        return 50.0
    margin = 50 / len(times)
    whole = (times[-1] - times[0]).total_seconds() or 1.0
    return round(margin + (100 - 2 * margin) * (at - times[0]).total_seconds() / whole, 2)


def time_labels(times: Sequence[datetime]) -> tuple[Label, ...]:
    """The first, the middle and the last."""
    picked = dict.fromkeys((times[0], times[len(times) // 2], times[-1])) if times else {}
    return tuple(_at_end(Label(position(at, times), brief(at, times))) for at in picked)


def _at_end(label: Label) -> Label:
    if label.x < 100 - EDGE:
        return replace(label, anchor="start")
    return replace(label, anchor="end") if label.x > EDGE else label


def _axis(values: Sequence[float], *, shares: bool) -> Axis:
    low, high = min(values), max(values)
    margin = max(0.12 * (high - low), 0.01 if shares else 0.01 * high, 1e-9)
    low, high = max(low - margin, 0.0), high + margin
    return Axis(low, min(high, 1.0) if shares and max(values) <= 1 else high)


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    """Three to six round values."""
    rough = (axis.high - axis.low) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough)
    digits = max(0, -math.floor(math.log10(step)))
    first = math.ceil(axis.low / step - 1e-9)
    return [(at * step, f"{at * step:.{digits}f}") for at in range(first, math.floor(axis.high / step + 1e-9) + 1)]
