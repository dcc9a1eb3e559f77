"""Perennial / Drift: what one monitor finds, and on what grounds."""

from collections.abc import Sequence

from hack.dashboards.figures import DOUBT, GOOD, LINK, ratio, verdict_number, verdict_numbers
from hack.dashboards.grafana import (
    Json,
    Panel,
    Query,
    Row,
    choice,
    dashboard,
    limits,
    moments,
    shown,
    shown_like,
    spans,
)
from perennial.contracts import names
from perennial.contracts.baseline import JOINT, PREDICTION

MINE = 'deployment="$deployment",monitor="$monitor"'
VERSION = 'deployment="$deployment",version="$version"'
_EDGE = r'"edge", "$1", "bin", "\\[([^,]+),.*"'
"""Adds the lower edge of a bin that has one: bins are in the order of their edges, not of their names."""


def made() -> Json:
    """The dashboard."""
    rows = [
        Row("$monitor of $deployment", [*_now(), _timeline()]),
        Row("Evidence", [_statistics(), _performance()]),
        Row("Signals", [_signal()]),
        Row("What is predicted ($version)", _distribution(names.METRIC_PREDICTION_BINS, "", PREDICTION)),
        Row("How the features hang together ($version)", _distribution(names.METRIC_JOINT, "", JOINT)),
        Row("$feature ($version)", _distribution(names.METRIC_FEATURES, ',feature="$feature"', "$feature"), "feature"),
    ]
    return dashboard(
        "perennial-drift", "Perennial / Drift", "What one DriftMonitor finds, and on what grounds.", rows, _variables(),
        _annotations(), [LINK], "2d",
    )  # fmt: skip


def _variables() -> list[Json]:
    verdict, counted = names.METRIC_VERDICT, names.METRIC_FEATURES
    seen = f"max_over_time(timestamp({verdict}{{{MINE}}})[$__range:5m])"
    return [
        choice("namespace", "Namespace", f"label_values({verdict}, deployment)", regex="/([^/]+)\\/.*/"),
        choice("deployment", "Deployment", f'label_values({verdict}{{deployment=~"$namespace/.*"}}, deployment)'),
        choice("monitor", "Monitor", f'label_values({verdict}{{deployment="$deployment"}}, monitor)'),
        # The one that the monitor is about comes first, then those before it.
        choice("version", "Version", f"query_result(sort_desc(max by (version) ({seen})))", sort=0,
               regex='/version="([^"]+)"/'),
        choice("feature", "Features", f"label_values({counted}{{{VERSION}}}, feature)", multi=True, includeAll=True,
               current={"text": ["All"], "value": ["$__all"]}),
        choice("signal", "Signals", f"label_values(perennial_monitor_signal{{{MINE}}}, signal)", multi=True,
               includeAll=True, hide=2, current={"text": ["All"], "value": ["$__all"]}),
        spans("window", "Now is the last", ("1h", "6h", "12h", "24h", "3d", "7d"), "24h"),
        spans("chunk", "Shares by", ("5m", "15m", "1h", "6h", "1d"), "1h"),
    ]  # fmt: skip


def _annotations() -> list[Json]:
    asked = f"max by (version) (perennial_monitor_last_action_timestamp_seconds{{{MINE}"
    here = 'deployment="$deployment"'
    begun = "perennial_deployment_rollout_started_timestamp_seconds"
    promoted = "perennial_deployment_promoted_timestamp_seconds"
    return [
        moments("Retrain", f'{asked},kind="Retrain"}}) * 1000', "orange", "Retrain asked for, because of {{version}}"),
        moments("Rollback", f'{asked},kind="Rollback"}}) * 1000', "red", "Rollback of {{version}} asked for"),
        moments("Rollout", f"max by (version, strategy) ({begun}{{{here}}}) * 1000", "blue",
                "Rollout of {{version}} ({{strategy}})"),
        moments("Promotion", f"max by (version) ({promoted}{{{here}}}) * 1000", "green", "{{version}} took over"),
    ]  # fmt: skip


def _now() -> list[Panel]:
    def stat(title: str, expr: str, width: int = 3, legend: str = "", **defaults: object) -> Panel:
        return Panel(
            "stat", title, [Query(expr, legend)], width=width, height=4, defaults={"decimals": 0, **defaults},
            options={
                "colorMode": "background" if "mappings" in defaults else "value",
                "textMode": "value_and_name" if legend else "value",
            },
        )  # fmt: skip

    asked = f"max (perennial_monitor_last_action_timestamp_seconds{{{MINE}"
    figure = f'max by (metric, source) ({names.METRIC_PERFORMANCE}{{{MINE},bound="value"'
    return [
        stat("Verdict", verdict_number(MINE), 4, mappings=verdict_numbers()),
        stat("Since", f"max (perennial_monitor_since_timestamp_seconds{{{MINE}}}) * 1000", unit="dateTimeFromNow"),
        stat("Worst feature, index / limit", f"topk(1, max by (feature) ({ratio(MINE)}))", 5, "{{feature}}", decimals=2,
             thresholds=limits((None, GOOD), (1, DOUBT))),
        stat("Predictions in window", f"max (perennial_monitor_window_predictions{{{MINE}}})"),
        stat("Performance", f'{figure},source="Labels"}}) or on () {figure}}})', 3, "{{metric}} ({{source}})",
             decimals=3, unit="short"),
        stat("Last retrain", f'{asked},kind="Retrain"}}) * 1000', unit="dateTimeFromNow", noValue="never"),
        stat("Last rollback", f'{asked},kind="Rollback"}}) * 1000', unit="dateTimeFromNow", noValue="never"),
    ]  # fmt: skip


def _timeline() -> Panel:
    served = f'max by (version, role) ({names.METRIC_ROLE}{{deployment="$deployment",role=~"stable|canary"}})'
    return Panel(
        "state-timeline", "Verdict, and what serves",
        [Query(verdict_number(MINE), "verdict"), Query(f"{served} * 10", "{{version}} {{role}}")], height=7,
        defaults={
            "mappings": [*verdict_numbers(), {"type": "value", "options": {"10": {"text": "in use", "color": "blue"}}}],
            "custom": {"fillOpacity": 80, "lineWidth": 0},
        },
    )  # fmt: skip


def _statistics() -> Panel:
    return Panel(
        "timeseries", "Statistic / threshold", [Query(f"max by (feature) ({ratio(MINE)})", "{{feature}}")],
        "The stability index of each feature over what is let pass, for the ten worst. Over 1 the change is large; it "
        "is drift where it is significant, too.",
        width=12, height=9,
        defaults={
            "min": 0, "decimals": 2, "thresholds": limits((None, "transparent"), (1, "red")),
            "custom": {"drawStyle": "line", "lineInterpolation": "stepAfter", "thresholdsStyle": {"mode": "line"}},
        },
    )  # fmt: skip


def _performance() -> Panel:
    expr = f"max by (source, bound) ({names.METRIC_PERFORMANCE}{{{MINE}}})"
    bands = [
        shown(f"{source} high", custom__fillBelowTo=f"{source} low", custom__fillOpacity=15, custom__lineWidth=0)
        for source in ("Labels", "Estimated")
    ]
    return Panel(
        "timeseries", "Performance", [Query(expr, "{{source}} {{bound}}")],
        "The window's figure with its 95 % interval, the version's own on held-out rows (reference), and the worst "
        "that is let pass (limit). mae and rmse are in the target's unit, and worse where they are higher.",
        width=12, height=9,
        defaults={
            "unit": "short", "decimals": 3, "custom": {"drawStyle": "line", "lineInterpolation": "stepAfter"},
        },
        overrides=[
            *bands,
            shown_like(".* low", custom__lineWidth=0),
            shown_like(".* limit", custom__lineStyle={"fill": "dash", "dash": [6, 4]},
                       color={"mode": "fixed", "fixedColor": "red"}),
            shown_like(".* reference", custom__lineStyle={"fill": "dash", "dash": [4, 4]},
                       color={"mode": "fixed", "fixedColor": "#8e8e8e"}),
        ],
    )  # fmt: skip


def _signal() -> Panel:
    expr = f'max by (part) (perennial_monitor_signal{{{MINE},signal="$signal"}})'
    return Panel(
        "timeseries", "$signal", [Query(expr, "{{part}}")], "A signal with its bounds.", width=8, height=7,
        defaults={"custom": {"drawStyle": "line", "lineInterpolation": "stepAfter"}},
        overrides=[
            shown_like("min|max", custom__lineStyle={"fill": "dash", "dash": [6, 4]},
                       color={"mode": "fixed", "fixedColor": "red"})
        ],
        repeat="signal",
    )  # fmt: skip


def _distribution(metric: str, selector: str, baseline: str) -> Sequence[Panel]:
    """Baseline beside now, and how the shares went, of what ``metric`` counts."""
    return [_beside(metric, selector, baseline), _over_time(metric, selector)]


def _beside(metric: str, selector: str, baseline: str) -> Panel:
    counted = f"increase({metric}{{{VERSION}{selector}}}[$window])"
    shares = f'last_over_time({names.METRIC_BASELINE}{{{VERSION},feature="{baseline}"}}[$window])'
    was = f"max by (bin, edge) (label_replace({shares}, {_EDGE}))"
    return Panel(
        "barchart", "Baseline and now",
        [Query(was, now=True), Query(f"sum by (bin) ({counted}) / scalar(sum({counted}) > 0)", now=True)],
        "Shares by bin: of the rows that the version was trained on (whatever baseline.from says), and of the last "
        "$window.",
        width=12, height=9, defaults={"unit": "percentunit", "min": 0, "custom": {"fillOpacity": 80}},
        overrides=[shown("baseline", color={"mode": "fixed", "fixedColor": "#8e8e8e"}),
                   shown("now", color={"mode": "fixed", "fixedColor": "blue"})],
        options={"xField": "bin"},
        transformations=[
            {"id": "joinByField", "options": {"byField": "bin", "mode": "outer"}},
            {"id": "convertFieldType", "options": {
                "conversions": [{"targetField": "edge", "destinationType": "number"}], "fields": {},
            }},
            {"id": "sortBy", "options": {"sort": [{"field": "edge"}]}},
            {"id": "organize", "options": {
                "excludeByName": {"Time": True, "Time 1": True, "Time 2": True, "edge": True},
                "renameByName": {"Value #A": "baseline", "Value #B": "now"},
            }},
        ],
    )  # fmt: skip


def _over_time(metric: str, selector: str) -> Panel:
    counted = f"increase({metric}{{{VERSION}{selector}}}[$chunk])"
    return Panel(
        "timeseries", "Share by bin",
        [Query(f"sum by (bin) ({counted}) / scalar(sum({counted}) > 0)", "{{bin}}", interval="$chunk")],
        "Shares of each $chunk.", width=12, height=9,
        defaults={
            "unit": "percentunit", "min": 0, "max": 1,
            "custom": {"drawStyle": "line", "lineInterpolation": "stepBefore", "lineWidth": 0, "fillOpacity": 70,
                       "stacking": {"mode": "normal", "group": "A"}},
        },
    )  # fmt: skip
