"""What is asked of Prometheus for one measurement: few queries, each for all metrics that live on its answer."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from perennial.api.rollout import AnalysisMetric
from perennial.contracts.names import (
    METRIC_DURATION,
    METRIC_FEEDBACK,
    METRIC_FEEDBACK_ERROR,
    METRIC_PREDICTION_BINS,
    METRIC_REQUESTS,
    METRIC_SHADOW_ROWS,
)
from perennial.contracts.result import REGRESSION_METRICS
from perennial.domain.analysis.limits import kind_of

REQUESTS, DURATIONS, BINS, ROWS, LABELS = "requests", "durations", "bins", "rows", "labels"
LABEL_ERRORS = "label errors"
QUERY = "query "
"""Begins the source of a metric with a query of its own."""
_SOURCES = {
    "ErrorRate": REQUESTS,
    "Throughput": REQUESTS,
    "LatencyP50": DURATIONS,
    "LatencyP99": DURATIONS,
    "PredictionShift": BINS,
    "Agreement": ROWS,
    "Performance": LABELS,
}
_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z]*)\s*\}\}")


@dataclass(frozen=True)
class Subject:
    """What is measured: ``version`` in its ``revision`` against the version ``stable``, over ``interval`` (s).

    ``labels_over`` (s) is how far back labels are counted.
    """

    namespace: str
    name: str
    version: str
    revision: str
    stable: str
    interval: float
    labels_over: float

    @property
    def deployment(self) -> str:
        """As the predictors' metrics call it."""
        return f"{self.namespace}/{self.name}"


def sources(metric: AnalysisMetric) -> tuple[str, ...]:
    """Which answers the metric is read from; two metrics may share one."""
    if not metric.builtin:
        return (QUERY + metric.name,)
    found = _SOURCES[metric.builtin]
    return (found, LABEL_ERRORS) if kind_of(metric) in REGRESSION_METRICS else (found,)


def questions(metrics: Iterable[AnalysisMetric], subject: Subject) -> dict[str, str]:
    """PromQL by source: always the requests, and what the ``metrics`` need beside them."""
    builtin = _builtin(subject)
    asked = {REQUESTS: builtin[REQUESTS]}
    for metric in metrics:
        for key in sources(metric):
            asked[key] = builtin[key] if metric.query is None else fill(metric.query, subject)
    return asked


def fill(query: str, subject: Subject) -> str:
    """``query`` with its placeholders replaced, as text inside of PromQL's quotes; unknown ones stay."""
    return filled(query, _values(subject))


def filled(query: str, values: Mapping[str, str]) -> str:
    """``query`` with the placeholders that ``values`` names replaced."""
    return _PLACEHOLDER.sub(lambda match: escaped(values[match[1]]) if match[1] in values else match[0], query)


def strange_placeholders(query: str, subject: Subject) -> tuple[list[str], list[str]]:
    """(The placeholders in ``query`` that stand for nothing, those that there are.)"""
    values = _values(subject)
    strange = [match[0] for match in _PLACEHOLDER.finditer(query) if match[1] not in values]
    return strange, [f"{{{{{each}}}}}" for each in values]


def _values(subject: Subject) -> dict[str, str]:
    return {
        "deployment": subject.deployment,
        "namespace": subject.namespace,
        "name": subject.name,
        "version": subject.version,
        "revision": subject.revision,
        "stable": subject.stable,
        "interval": f"{subject.interval:.0f}s",
    }


def escaped(text: str) -> str:
    """``text`` as it is written between PromQL's quotes, double or single alike."""
    return text.replace("\\", r"\\").replace('"', r"\x22").replace("'", r"\x27").replace("\n", r"\n")


def _builtin(subject: Subject) -> Mapping[str, str]:
    both = "|".join(sorted({subject.version, subject.stable}))
    new = {"version": subject.version}
    if subject.version == subject.stable:
        new["revision"] = subject.revision  # one version in two configurations: nothing else tells them apart
    shadow = {"version": subject.stable, "shadow": subject.version}

    def counted(by: str, metric: str, chosen: Mapping[str, str]) -> str:
        pairs = {"deployment": subject.deployment, **chosen}
        selector = ",".join(f'{label}="{escaped(value)}"' for label, value in pairs.items())
        return f"sum by ({by}) (increase({metric}{{{selector}}}[{subject.interval:.0f}s]))"

    def compared(by: str, metric: str, *, over: float = subject.interval) -> str:
        selector = f'deployment="{escaped(subject.deployment)}",version=~"{escaped(both)}"'
        return f"sum by (version, {by}) (increase({metric}{{{selector}}}[{over:.0f}s]))"

    return {
        REQUESTS: compared("revision, code", METRIC_REQUESTS),
        DURATIONS: counted("le", f"{METRIC_DURATION}_bucket", new),
        BINS: compared("revision, bin", METRIC_PREDICTION_BINS),
        ROWS: counted("result", METRIC_SHADOW_ROWS, shadow),
        # Labels come late and for any pod: those of the version, whichever configuration predicted.
        LABELS: compared("predicted, actual", METRIC_FEEDBACK, over=subject.labels_over),
        LABEL_ERRORS: compared("error", METRIC_FEEDBACK_ERROR, over=subject.labels_over),
    }
