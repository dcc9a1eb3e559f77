"""Perennial / Models: is my model all right? One row a model."""

from hack.dashboards.figures import (
    BAD,
    DOUBT,
    GOOD,
    LINK,
    UNWATCHED,
    error_rate,
    latency,
    ratio,
    request_rate,
    verdict_names,
    verdict_number,
    verdict_numbers,
)
from hack.dashboards.grafana import Json, Panel, Query, Row, choice, dashboard, limits, shown
from perennial.contracts import names
from perennial.domain.drift.performance import ERRORS

OURS = 'deployment=~"($namespace)/.*"'
SPAN = "5m"
LABELS = 'source="Labels"'
COLUMNS = (
    "verdict", "drift", "performance", "against held-out", "error rate", "p99", "requests", "last retrain",
    "last rollback",
)  # fmt: skip
_WATCHED = f"max by (deployment, monitor, version) ({names.METRIC_VERDICT}{{{OURS}}} == 1)"
_BY_MONITOR = f"* on (deployment, version) group_right () {_WATCHED}"
_VERDICT = f"max by (deployment, monitor, version, verdict) ({names.METRIC_VERDICT}{{{OURS}}} == 1)"
_SERVED = f'max by (deployment, version) ({names.METRIC_ROLE}{{{OURS},role="stable"}})'


def made() -> Json:
    """The dashboard."""
    return dashboard(
        "perennial-models", "Perennial / Models",
        "Is my model all right? A row each, worst first. A click on a model leads to its drift.",
        [Row("Now", [*_counts(), _table()]), Row("Verdicts over time", [_timeline()])],
        [choice("namespace", "Namespace", f"label_values({names.METRIC_ROLE}, deployment)", regex="/([^/]+)\\/.*/",
                multi=True, includeAll=True, allValue=".*", current={"text": ["All"], "value": ["$__all"]})],
        [], [LINK], "7d",
    )  # fmt: skip


def _counts() -> list[Panel]:
    def count(title: str, expr: str, color: str, text: str) -> Panel:
        steps = limits((None, GOOD), (1, color)) if color != GOOD else limits((None, GOOD))
        return Panel(
            "stat", title, [Query(f"count({expr}) or vector(0)", title)], text, width=4, height=4,
            defaults={"thresholds": steps, "noValue": "0"}, options={"colorMode": "background"},
        )  # fmt: skip

    def standing(verdict: str) -> str:
        return f'max by (deployment) ({names.METRIC_VERDICT}{{{OURS},verdict="{verdict}"}} == 1)'

    asked = f'max by (deployment) (perennial_monitor_condition{{{OURS},type="HumanNeeded",status="True"}})'
    return [
        count("Models served", _SERVED, GOOD, "Deployments with a version in service."),
        count("Healthy", standing("Healthy"), GOOD, ""),
        count("Drifting", standing("Drifting"), DOUBT, "Their data differs from what they are compared with."),
        count("Performance lost", standing("PerformanceLoss"), BAD, "They answer worse than on held-out data."),
        count("A person is needed", asked, BAD, "The loop has done all that it may."),
        count("Alerts", 'ALERTS{alertname=~"Perennial.*",alertstate="firing"}', DOUBT, "All of Perennial that fire."),
    ]


def _table() -> Panel:
    rows = f'{_VERDICT} or on (deployment) label_replace({_SERVED}, "verdict", "{UNWATCHED}", "", "")'
    last = "max by (deployment, monitor) (perennial_monitor_last_action_timestamp_seconds"
    current = f"* 1000 * on (deployment, monitor) group_right () {_WATCHED}"
    queries = [
        rows,
        f"max by (deployment, monitor, version) ({ratio(OURS)})",
        f"{_figure('value', LABELS)} or {_figure('value')}",
        f"{_against_held_out(LABELS)} or {_against_held_out()}",
        f"({error_rate(OURS, SPAN)}) {_BY_MONITOR}",
        f"({latency(OURS, SPAN, 0.99)}) {_BY_MONITOR}",
        f"({request_rate(OURS, SPAN)}) {_BY_MONITOR}",
        f'{last}{{{OURS},kind="Retrain"}}) {current}',
        f'{last}{{{OURS},kind="Rollback"}}) {current}',
    ]
    letters = [f"Value #{chr(ord('A') + number)}" for number in range(len(queries))]
    renamed = dict(zip(letters[1:], COLUMNS[1:], strict=True))
    order = ["deployment", "verdict", "version", "monitor", letters[1], "metric", *letters[2:]]
    return Panel(
        "table", "Models", [Query(expr, now=True) for expr in queries],
        "drift: the index of the worst feature over what is let pass; over 1 it is large. performance is from labels, "
        "or estimated where there are none; mae and rmse are in the target's unit, and worse where they are higher. "
        "against held-out is what maxDrop bounds: the difference, of mae and rmse as a share of the held-out figure.",
        height=12, overrides=_columns(),
        transformations=[
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {
                "excludeByName": {"Time": True, letters[0]: True},
                "indexByName": {name: place for place, name in enumerate(order)}, "renameByName": renamed,
            }},
            {"id": "sortBy", "options": {"sort": [{"field": "drift", "desc": True}]}},
        ],
    )  # fmt: skip


def _figure(bound: str, *selectors: str) -> str:
    chosen = ",".join((OURS, f'bound="{bound}"', *selectors))
    return f"max by (deployment, monitor, version, metric) ({names.METRIC_PERFORMANCE}{{{chosen}}})"


def _against_held_out(*selectors: str) -> str:
    shares, errors = ((*selectors, f'metric{sign}"{"|".join(ERRORS)}"') for sign in ("!~", "=~"))
    share = f"{_figure('value', *errors)} / {_figure('reference', *errors)} - 1"
    return f"{_figure('value', *shares)} - {_figure('reference', *shares)} or {share}"


def _columns() -> list[Json]:
    painted, colored = {"type": "color-background", "mode": "basic"}, {"type": "color-text"}
    to_drift = "/d/perennial-drift/perennial-drift?var-datasource=${datasource}&var-deployment=${__value.text}"
    return [
        shown("deployment", links=[{"title": "Drift", "url": to_drift}]),
        shown("verdict", mappings=verdict_names(), custom__cellOptions=painted),
        shown("drift", decimals=2, thresholds=limits((None, GOOD), (1, DOUBT)), custom__cellOptions=colored),
        shown("performance", unit="short", decimals=3),
        shown("against held-out", decimals=3),
        shown("error rate", unit="percentunit", decimals=2),
        shown("p99", unit="s"),
        shown("requests", unit="reqps"),
        shown("last retrain", unit="dateTimeFromNow"),
        shown("last rollback", unit="dateTimeFromNow"),
    ]


def _timeline() -> Panel:
    return Panel(
        "state-timeline", "Verdicts", [Query(verdict_number(OURS), "{{deployment}} ({{monitor}})")], height=10,
        defaults={"mappings": verdict_numbers(), "custom": {"fillOpacity": 80, "lineWidth": 0}},
    )  # fmt: skip
