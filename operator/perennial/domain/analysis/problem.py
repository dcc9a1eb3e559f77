"""What is wrong with an analysis as it is written, so that it is said before anything is measured by it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import promql_parser

from perennial.api.common import seconds
from perennial.api.deployment import ModelDeployment
from perennial.api.rollout import AnalysisMetric
from perennial.domain.analysis.limits import LimitError, bounds
from perennial.domain.analysis.queries import Subject, fill, strange_placeholders
from perennial.domain.rollout.state import Finding

REASON = "AnalysisInvalid"
_QUERY_SHOWN = 200


@dataclass(frozen=True)
class Problem:
    """``field`` is its path in the spec, ``metric`` the metric's name.

    ``query`` is the filled-in query that our parser does not take; empty where no parser is in doubt.
    """

    metric: str
    field: str
    message: str
    query: str = ""

    def finding(self) -> Finding:
        """As it is said to people."""
        return Finding(REASON, f"metric {self.metric}: {self.field}: {self.message}")


def problem(owner: ModelDeployment) -> Finding | None:
    """The first thing that is wrong with the analysis of ``owner``, by our own parser."""
    return next((each.finding() for each in problems(owner)), None)


def problems(owner: ModelDeployment) -> Iterator[Problem]:
    """All that is wrong, in the order of the metrics."""
    subject = _example(owner)
    for place, metric in enumerate(owner.spec.rollout.analysis.metrics):
        path = f"spec.rollout.analysis.metrics[{place}]"
        try:
            bounds(metric)
        except LimitError as error:
            yield Problem(metric.name, f"{path}.{error.field}", str(error))
        if metric.query is not None:
            yield from _of_query(metric, metric.query, f"{path}.query", subject)


def _of_query(metric: AnalysisMetric, query: str, path: str, subject: Subject) -> Iterator[Problem]:
    strange, known = strange_placeholders(query, subject)
    if strange:
        yield Problem(metric.name, path, f"{strange[0]} stands for nothing; there are {', '.join(known)}")
        return
    filled = fill(query, subject)
    try:
        kind = _kind(filled)
    except ValueError as error:
        yield Problem(metric.name, path, f"no PromQL: {error}, in {filled[:_QUERY_SHOWN]}", filled)
        return
    if kind:
        yield Problem(metric.name, path, f"gives {kind}, not a value: {filled[:_QUERY_SHOWN]}")


@lru_cache(maxsize=1024)
def _kind(query: str) -> str:
    """What the query gives where that is no number; raises ValueError for what is no PromQL."""
    expression: object = promql_parser.parse(query)
    while isinstance(expression, promql_parser.ParenExpr):
        expression = expression.expr
    if isinstance(expression, promql_parser.MatrixSelector | promql_parser.SubqueryExpr):
        return "a range of values"
    return "a text" if isinstance(expression, promql_parser.StringLiteral) else ""


def _example(owner: ModelDeployment) -> Subject:
    """Stands in for the versions, which a query may be parsed without."""
    interval = seconds(owner.spec.rollout.analysis.interval)
    version = f"{owner.spec.model}-v1"
    return Subject(owner.metadata.namespace, owner.metadata.name, version, "0", version, interval, interval)
