"""Grafana's dashboard JSON (schema 38, Grafana 10 and later), as far as ours need it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
_LEGEND: Json = {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []}
_TOOLTIP: Json = {"mode": "multi", "sort": "desc"}
_OPTIONS: dict[str, Json] = {
    "stat": {
        "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto", "textMode": "auto",
        "wideLayout": True, "showPercentChange": False, "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    },
    "table": {"showHeader": True, "frameIndex": 0, "footer": {"show": False, "reducer": []}},
    "timeseries": {"legend": _LEGEND, "tooltip": _TOOLTIP},
    "state-timeline": {
        "mergeValues": True, "showValue": "auto", "rowHeight": 0.8, "legend": {**_LEGEND, "showLegend": False},
        "tooltip": {"mode": "single", "sort": "none"},
    },
    "barchart": {
        "orientation": "auto", "barWidth": 0.9, "groupWidth": 0.8, "stacking": "none", "showValue": "never",
        "xTickLabelRotation": -45, "xTickLabelMaxLength": 0, "fullHighlight": False, "legend": _LEGEND,
        "tooltip": _TOOLTIP,
    },
}  # fmt: skip
"""What Grafana's schema asks of each kind of panel; a panel says only where it differs."""


@dataclass(frozen=True)
class Query:
    """A PromQL query of a panel; ``now`` asks for the present alone, as a table."""

    expr: str
    legend: str = ""
    now: bool = False
    interval: str = ""


@dataclass
class Panel:
    """``kind`` is Grafana's; ``height`` and ``width`` are in its grid of 24 columns."""

    kind: str
    title: str
    queries: Sequence[Query]
    text: str = ""
    width: int = WIDTH
    height: int = 8
    defaults: Json = field(default_factory=dict)
    overrides: Sequence[Json] = ()
    options: Json = field(default_factory=dict)
    transformations: Sequence[Json] = ()
    repeat: str = ""


@dataclass
class Row:
    """A heading with panels; ``repeat`` makes one for each value of that variable."""

    title: str
    panels: Sequence[Panel]
    repeat: str = ""


def shown(name: str, **properties: Any) -> Json:
    """An override of the field ``name``; ``__`` in a property stands for a dot."""
    return _override({"id": "byName", "options": name}, properties)


def shown_like(pattern: str, **properties: Any) -> Json:
    """The same for all fields whose name matches ``pattern``."""
    return _override({"id": "byRegexp", "options": pattern}, properties)


def _override(matcher: Json, properties: Json) -> Json:
    made = [{"id": name.replace("__", "."), "value": value} for name, value in properties.items()]
    return {"matcher": matcher, "properties": made}


def texts(by_value: dict[Any, tuple[str, str]]) -> list[Json]:
    """Value mappings: (text, colour) by value."""
    options = {
        str(value): {"text": text, "color": color, "index": index}
        for index, (value, (text, color)) in enumerate(by_value.items())
    }
    return [{"type": "value", "options": options}]


def limits(*steps: tuple[float | None, str]) -> Json:
    """Colours from a value on; None: from the beginning."""
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}


def choice(name: str, label: str, query: str, **more: Any) -> Json:
    """A variable whose values Prometheus has."""
    return {
        "type": "query", "name": name, "label": label, "datasource": SOURCE, "refresh": 2, "sort": 7,
        "definition": query, "query": {"query": query, "refId": name}, "current": {"text": "", "value": ""},
        "options": [], **more,
    }  # fmt: skip


def spans(name: str, label: str, values: Sequence[str], chosen: str) -> Json:
    """A variable with a list of durations."""
    options = [{"text": each, "value": each, "selected": each == chosen} for each in values]
    return {
        "type": "custom", "name": name, "label": label, "query": ",".join(values), "options": options,
        "current": {"text": chosen, "value": chosen, "selected": True},
    }  # fmt: skip


def moments(name: str, expr: str, color: str, title: str) -> Json:
    """Annotations at the times that are the query's values (Unix ms)."""
    return {
        "name": name, "datasource": SOURCE, "enable": True, "iconColor": color, "expr": expr, "titleFormat": title,
        "textFormat": "", "tagKeys": "", "useValueForTime": True, "step": "60s",
        "target": {"expr": expr, "refId": "Anno", "interval": "60s"},
    }  # fmt: skip


def dashboard(
    uid: str, title: str, text: str, rows: Sequence[Row], variables: Sequence[Json], annotations: Sequence[Json],
    links: Sequence[Json], span: str,
) -> Json:  # fmt: skip
    """The whole, laid out from left to right and top to bottom."""
    return {
        "uid": uid, "title": title, "description": text, "tags": ["perennial"], "schemaVersion": 38, "version": 1,
        "editable": True, "graphTooltip": 1, "refresh": "1m", "timezone": "",
        "time": {"from": f"now-{span}", "to": "now"},
        "annotations": {"list": list(annotations)}, "links": list(links),
        "templating": {"list": [_datasource(), *variables]}, "panels": _layout(rows),
    }  # fmt: skip


def _datasource() -> Json:
    return {
        "type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus", "refresh": 1,
        "current": {"text": "", "value": ""}, "options": [],
    }  # fmt: skip


def _layout(rows: Sequence[Row]) -> list[Json]:
    made: list[Json] = []
    y = 0
    for row in rows:
        heading: Json = {"type": "row", "title": row.title, "collapsed": False, "panels": [], "id": len(made) + 1}
        if row.repeat:
            heading["repeat"] = row.repeat
        made.append({**heading, "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}})
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            made.append(_panel(panel, len(made) + 1, {"x": x, "y": y, "w": panel.width, "h": panel.height}))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return made


def _panel(panel: Panel, number: int, place: Json) -> Json:
    made: Json = {
        "id": number, "type": panel.kind, "title": panel.title, "description": panel.text, "datasource": SOURCE,
        "gridPos": place, "targets": [_target(query, number) for number, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": panel.defaults, "overrides": list(panel.overrides)},
        "options": {**_OPTIONS[panel.kind], **panel.options},
        "transformations": list(panel.transformations),
    }  # fmt: skip
    if panel.repeat:
        made |= {"repeat": panel.repeat, "repeatDirection": "h", "maxPerRow": WIDTH // panel.width}
    return made


def _target(query: Query, number: int) -> Json:
    made: Json = {
        "refId": chr(ord("A") + number), "datasource": SOURCE, "editorMode": "code", "expr": query.expr,
        "legendFormat": query.legend or "__auto", "instant": query.now, "range": not query.now,
        "format": "table" if query.now else "time_series",
    }  # fmt: skip
    return {**made, "interval": query.interval} if query.interval else made
