"""What both dashboards show of a monitor: its verdict as a number with a name and a colour, and queries."""

from hack.dashboards.grafana import Json, texts
from perennial.contracts import names

GOOD, DOUBT, BAD, QUIET = "green", "orange", "red", "#8e8e8e"
VERDICTS = {
    "Healthy": GOOD, "InsufficientData": "blue", "NoTraffic": QUIET, "NoMetrics": "purple", "Drifting": DOUBT,
    "PerformanceLoss": BAD,
}  # fmt: skip
"""From what is good to what is bad: of two monitors the greater one counts."""
UNWATCHED = "Unwatched"
LINK: Json = {
    "title": "Models", "type": "dashboards", "tags": ["perennial"], "asDropdown": False, "includeVars": False,
    "keepTime": True, "icon": "external link", "tooltip": "", "targetBlank": False,
}  # fmt: skip


def verdict_numbers() -> list[Json]:
    """Text and colour by the number that :func:`verdict_number` gives."""
    return texts({number: (name, color) for number, (name, color) in enumerate(VERDICTS.items(), 1)})


def verdict_names() -> list[Json]:
    """The same by name."""
    return texts({name: (name, color) for name, color in {**VERDICTS, UNWATCHED: QUIET}.items()})


def verdict_number(selector: str) -> str:
    """The place of the verdict that stands in :data:`VERDICTS`, from 1 on, by deployment and monitor."""
    parts = (
        f'({names.METRIC_VERDICT}{{{selector},verdict="{name}"}} == 1) * {number}'
        for number, name in enumerate(VERDICTS, 1)
    )
    return f"max by (deployment, monitor) ({' or '.join(parts)})"


def ratio(selector: str) -> str:
    """Each feature's index over what is let pass."""
    by = "deployment, monitor, version, feature"
    psi = f"max by ({by}) ({names.METRIC_PSI}{{{selector}}})"
    return f"{psi} / max by ({by}) ({names.METRIC_PSI_THRESHOLD}{{{selector}}})"


def error_rate(selector: str, span: str) -> str:
    """Share of answers that are the server's errors, by deployment and version."""
    counted = f"sum by (deployment, version) (rate({names.METRIC_REQUESTS}"
    return f'{counted}{{{selector},code=~"5.."}}[{span}])) / ({counted}{{{selector}}}[{span}])) > 0)'


def latency(selector: str, span: str, share: float) -> str:
    """Seconds in which ``share`` of requests are answered, by deployment and version."""
    buckets = f"sum by (deployment, version, le) (rate({names.METRIC_DURATION}_bucket{{{selector}}}[{span}]))"
    return f"histogram_quantile({share}, {buckets})"


def request_rate(selector: str, span: str) -> str:
    """Requests a second, by deployment and version."""
    return f"sum by (deployment, version) (rate({names.METRIC_REQUESTS}{{{selector}}}[{span}]))"
