"""The measurements of a rollout, asked of Prometheus."""

import asyncio
from datetime import datetime

from perennial.adapters.prometheus import Prometheus, PrometheusUnavailable, QueryRejected
from perennial.api.common import seconds
from perennial.api.deployment import ModelDeployment
from perennial.domain.analysis.judge import Observed, Unavailable, next_analysis
from perennial.domain.analysis.observed import Answer, Trouble, read
from perennial.domain.analysis.problem import problems
from perennial.domain.analysis.queries import Subject, questions
from perennial.domain.rollout.state import Finding

PATIENCE = 5.0
"""Seconds that a look at an object waits for Prometheus in all: workers are few, and people wait for an answer."""

_MESSAGE_LIMIT = 500


async def measure(prometheus: Prometheus, owner: ModelDeployment, now: datetime) -> Observed | Unavailable | None:
    """The interval that ends now, when a measurement is due; that Prometheus is away is a finding, not an error."""
    analysis, rollout = owner.spec.rollout.analysis, owner.status.rollout
    subject = _subject(owner, now)
    if subject is None or rollout is None or rollout.step < 0 or now < next_analysis(rollout, analysis):
        return None
    asked = questions(analysis.metrics, subject)
    answers = await asyncio.gather(*(_ask(prometheus, query, now.timestamp()) for query in asked.values()))
    return read(subject, dict(zip(asked, answers, strict=True)))


def _subject(owner: ModelDeployment, now: datetime) -> Subject | None:
    rollout, stable = owner.status.rollout, owner.status.stable
    if rollout is None or stable is None:
        return None
    interval = seconds(owner.spec.rollout.analysis.interval)
    return Subject(
        namespace=owner.metadata.namespace,
        name=owner.metadata.name,
        version=rollout.target.version,
        revision=rollout.target.revision,
        stable=stable.version,
        interval=interval,
        labels_over=max(interval, (now - rollout.step_since).total_seconds()),
    )


async def _ask(prometheus: Prometheus, query: str, at: float) -> Answer:
    try:
        async with asyncio.timeout(PATIENCE):
            return await prometheus.query(query, at)
    except TimeoutError:
        return Trouble("Away", f"no answer within {PATIENCE:g} s")
    except QueryRejected as error:
        return Trouble("Refused", str(error)[:_MESSAGE_LIMIT])
    except PrometheusUnavailable as error:
        return Trouble("Away", str(error)[:_MESSAGE_LIMIT])


async def analysis_problem(prometheus: Prometheus, owner: ModelDeployment) -> Finding | None:
    """What is wrong with the analysis. Whether a query is PromQL, and where it is not, Prometheus itself knows best:
    it is asked about what our own parser does not take, and its word counts where it answers in time.
    """
    by = asyncio.get_running_loop().time() + PATIENCE
    for problem in problems(owner):
        if not problem.query:
            return problem.finding()
        try:
            async with asyncio.timeout_at(by):
                await prometheus.parse(problem.query)
        except QueryRejected as error:
            message = f"{error}, in {problem.query[:200]}"
            return Finding(problem.finding().reason, f"metric {problem.metric}: {problem.field}: {message}")
        except (PrometheusUnavailable, TimeoutError):
            return problem.finding()
    return None
