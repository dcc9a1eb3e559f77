"""What the operator's metrics say of monitors and deployments, put into text when an object changes.

A scrape then only joins text: with 1,000 monitors that takes milliseconds, where a metrics library's objects would hold
the loop up for almost half a second. ``deployment`` is always ``<namespace>/<name>``, as the predictors write it: it
stays true where a scrape puts the operator's own namespace into the label ``namespace``.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import ValidationError

from perennial.api.common import Condition, Time, seconds
from perennial.api.deployment import ModelDeployment
from perennial.api.drift import DriftMonitor
from perennial.api.verdict import Action, MonitorStatus, PerformanceEvidence, Verdict
from perennial.contracts.names import (
    METRIC_ACTIONS,
    METRIC_PERFORMANCE,
    METRIC_PSI,
    METRIC_PSI_THRESHOLD,
    METRIC_VERDICT,
)

Json = dict[str, Any]
Lines = Mapping[str, str]
"""By metric: the lines of one object's series."""

ACTION_KINDS: tuple[str, ...] = get_args(Action.model_fields["kind"].annotation)
_MONITOR, _DEPLOYMENT = "perennial_monitor_", "perennial_deployment_"
FAMILIES: dict[str, str] = {
    METRIC_VERDICT: "1 for the verdict that stands, 0 for the others.",
    f"{_MONITOR}info": "1, with the cause of the verdict, the mode and what windows are compared with.",
    f"{_MONITOR}since_timestamp_seconds": "Since when the verdict stands.",
    f"{_MONITOR}window_end_timestamp_seconds": "End of the last window that was judged.",
    f"{_MONITOR}window_seconds": "Length of the window.",
    f"{_MONITOR}window_predictions": "Predictions in the last window.",
    METRIC_PSI: "Population stability index, bias removed, of the features that changed most.",
    METRIC_PSI_THRESHOLD: "The largest index that is let pass.",
    f"{_MONITOR}feature_drifting": "1 where the feature's change is significant and large, or a share over its limit.",
    METRIC_PERFORMANCE: "The model's figure: value, bounds of its 95 % interval, reference on held-out rows, "
    "limit of what is let pass; mae and rmse in the target's unit.",
    f"{_MONITOR}performance_loss": "1 where the drop is larger than is let pass.",
    f"{_MONITOR}signal": "A signal's value and its bounds.",
    f"{_MONITOR}signal_breached": "1 where the signal is out of bounds.",
    METRIC_ACTIONS: "Actions that were asked for.",
    f"{_MONITOR}last_action_timestamp_seconds": "When the newest action of its kind was asked for.",
    f"{_MONITOR}condition": "1 for each condition with its status.",
    f"{_DEPLOYMENT}promoted_timestamp_seconds": "When the version that serves took over.",
    f"{_DEPLOYMENT}rollout_started_timestamp_seconds": "When the rollout that is under way began.",
    f"{_DEPLOYMENT}held_timestamp_seconds": "Since when a version is wanted and not rolled out.",
    f"{_DEPLOYMENT}condition": "1 for each condition with its status.",
}


def exposition(objects: Iterable[Lines]) -> str:
    """Prometheus' text format 0.0.4: each metric once, with the lines of all ``objects``."""
    objects = tuple(objects)
    parts = []
    for name, text in FAMILIES.items():
        if lines := "".join(each.get(name, "") for each in objects):
            kind = "counter" if name.endswith("_total") else "gauge"
            parts.append(f"# HELP {name} {text}\n# TYPE {name} {kind}\n{lines}")
    return "".join(parts)


@dataclass
class AskedFor:
    """Counts a monitor's actions by kind. The status keeps only the last ones, and a counter must not fall."""

    count: Counter[str] = field(default_factory=Counter)
    known: frozenset[str] = frozenset()

    def see(self, actions: Iterable[Action]) -> None:
        """Takes in the actions that the status has now."""
        found = {each.id: each.kind for each in actions}
        self.count.update(kind for id_, kind in found.items() if id_ not in self.known)
        self.known = frozenset(found)


def of_monitor(raw: Json, asked: AskedFor) -> Lines:
    """The series of a DriftMonitor, whose actions ``asked`` counts; none where an older definition let it in."""
    try:
        monitor = DriftMonitor.parse(raw)
    except ValidationError:
        return {}
    asked.see(monitor.status.actions)
    series = _Series(
        namespace=monitor.metadata.namespace, monitor=monitor.metadata.name,
        deployment=f"{monitor.metadata.namespace}/{monitor.spec.deployment}",
    )  # fmt: skip
    _add_actions(series, monitor.status, asked)
    series = series.with_labels(version=monitor.status.version)
    _add_verdict(series, monitor)
    _add_evidence(series, monitor.status)
    return series.lines


def of_deployment(raw: Json) -> Lines:
    """The series of a ModelDeployment; none where an older definition let it in."""
    try:
        deployment = ModelDeployment.parse(raw)
    except ValidationError:
        return {}
    status = deployment.status
    series = _Series(deployment=f"{deployment.metadata.namespace}/{deployment.metadata.name}")
    if status.stable:
        series.time(f"{_DEPLOYMENT}promoted_timestamp_seconds", status.stable.since, version=status.stable.version)
    if rollout := status.rollout:
        series.time(
            f"{_DEPLOYMENT}rollout_started_timestamp_seconds", rollout.started_at,
            version=rollout.target.version, strategy=rollout.strategy,
        )  # fmt: skip
    if status.held:
        series.time(f"{_DEPLOYMENT}held_timestamp_seconds", status.held.since, version=status.held.version)
    _add_conditions(series, f"{_DEPLOYMENT}condition", status.conditions)
    return series.lines


class _Series:
    """Lines by metric, all with the labels that it was made with."""

    def __init__(self, **labels: str) -> None:
        self._labels = labels
        self.lines: dict[str, str] = {}

    def with_labels(self, **more: str) -> "_Series":
        """One with ``more`` labels that adds to the same lines."""
        series = _Series(**self._labels, **more)
        series.lines = self.lines
        return series

    def add(self, metric: str, value: float | None, /, **more: str) -> None:
        """One series; none where there is no value."""
        if value is not None:
            pairs = ",".join(f'{name}="{_escaped(text)}"' for name, text in {**self._labels, **more}.items())
            self.lines[metric] = f"{self.lines.get(metric, '')}{metric}{{{pairs}}} {float(value)!r}\n"

    def time(self, metric: str, moment: Time | None, /, **more: str) -> None:
        """A moment, in Unix seconds."""
        self.add(metric, moment.timestamp() if moment else None, **more)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _add_actions(series: _Series, status: MonitorStatus, asked: AskedFor) -> None:
    for kind in ACTION_KINDS:
        # At 0 from the start: increase() would not see the first action.
        series.add(METRIC_ACTIONS, asked.count[kind], kind=kind)
        newest = max((each for each in status.actions if each.kind == kind), key=lambda each: each.since, default=None)
        if newest:
            name = f"{_MONITOR}last_action_timestamp_seconds"
            series.time(name, newest.since, kind=kind, version=newest.version)


def _add_verdict(series: _Series, monitor: DriftMonitor) -> None:
    spec, status = monitor.spec, monitor.status
    for verdict in get_args(Verdict):
        series.add(METRIC_VERDICT, verdict == status.verdict, verdict=verdict)
    series.add(f"{_MONITOR}info", 1, cause=status.cause or "", mode=spec.mode, baseline=spec.baseline.source)
    series.time(f"{_MONITOR}since_timestamp_seconds", status.since)
    series.time(f"{_MONITOR}window_end_timestamp_seconds", status.window_end)
    series.add(f"{_MONITOR}window_seconds", seconds(spec.window.length))
    series.add(f"{_MONITOR}window_predictions", status.observations)
    _add_conditions(series, f"{_MONITOR}condition", status.conditions)


def _add_conditions(series: _Series, metric: str, conditions: Iterable[Condition]) -> None:
    for each in conditions:
        series.add(metric, 1, type=each.type, status=each.status, reason=each.reason)


def _add_evidence(series: _Series, status: MonitorStatus) -> None:
    # A series may be there once.
    for feature in {each.feature: each for each in reversed(status.features)}.values():
        series.add(METRIC_PSI, feature.psi, feature=feature.feature)
        series.add(METRIC_PSI_THRESHOLD, feature.threshold, feature=feature.feature)
        series.add(f"{_MONITOR}feature_drifting", feature.drifting, feature=feature.feature)
    for figure in _figures(status):
        about = {"metric": figure.metric, "source": figure.source}
        for bound in ("value", "low", "high", "reference", "limit"):
            series.add(METRIC_PERFORMANCE, getattr(figure, bound), **about, bound=bound)
        series.add(f"{_MONITOR}performance_loss", figure.loss, **about)
    for signal in status.signals:
        for part in ("value", "min", "max"):
            series.add(f"{_MONITOR}signal", getattr(signal, part), signal=signal.name, part=part)
        series.add(f"{_MONITOR}signal_breached", signal.breached, signal=signal.name)


def _figures(status: MonitorStatus) -> Iterator[PerformanceEvidence]:
    """What labels say and what is estimated; one of a source, for a status may have the same one twice."""
    found = {each.source: each for each in (status.estimated, status.performance) if each}
    yield from found.values()
