"""Figures as a person reads them in a terminal."""

from datetime import UTC, datetime

from perennial.api.deployment import Measurement
from perennial.api.rollout import AnalysisMetric

_SHARES = frozenset({"ErrorRate", "Agreement", "Performance"})
_TIMES = frozenset({"LatencyP50", "LatencyP99"})


def span(seconds: float) -> str:
    """A length of time in its two largest units: 42s, 3m10s, 5h, 2d4h."""
    left, parts = max(0, round(seconds)), []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
        elif parts:
            break
    return "".join(parts[:2]) or "0s"


def ago(moment: datetime | None, now: datetime) -> str:
    """How long ago ``moment`` was; empty where it is not known."""
    return span((now - moment.astimezone(UTC)).total_seconds()) if moment else ""


def percent(value: float) -> str:
    """Percent from percent: 33.3 %."""
    return f"{value:.1f}".removesuffix(".0") + " %"


def short_image(image: str) -> str:
    """The last part of an image's name, with its tag or the beginning of its digest."""
    name, _, digest = image.rpartition("/")[2].partition("@sha256:")
    return f"{name}@{digest[:12]}" if digest else name


def figure(value: float | None, metric: AnalysisMetric | None) -> str:
    """A measured value, or a bound, in the unit of its metric."""
    if value is None:
        return "no data"
    kind = metric.builtin if metric else None
    if kind in _SHARES and not (metric and metric.metric not in {None, "accuracy"}):
        return f"{100 * value:.3g} %"
    if kind in _TIMES:
        return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s"
    return f"{value:.4g}/s" if kind == "Throughput" else f"{value:.4g}"


def bounds(measurement: Measurement, metric: AnalysisMetric | None) -> str:
    """What the value may be at best and at worst: ≤ 1 %, ≥ 0.9."""
    limits = (("≥", measurement.min), ("≤", measurement.max))
    return ", ".join(f"{sign} {figure(limit, metric)}" for sign, limit in limits if limit is not None)
