"""The measurements of a rollout, asked of Prometheus."""

import math
from datetime import datetime

from perennial.adapters.prometheus import Prometheus, PrometheusUnavailable, QueryRejected, Series
from perennial.api.common import seconds
from perennial.api.deployment import ModelDeployment
from perennial.domain.analysis import Observed, Unavailable, latency_query, next_analysis, requests_query


async def measure(prometheus: Prometheus, owner: ModelDeployment, now: datetime) -> Observed | Unavailable | None:
    """The interval that ends now, when a measurement is due; that Prometheus is away is a finding, not an error."""
    rollout, stable, analysis = owner.status.rollout, owner.status.stable, owner.spec.rollout.analysis
    if rollout is None or stable is None or rollout.step < 0 or now < next_analysis(rollout, analysis):
        return None
    deployment, interval = f"{owner.metadata.namespace}/{owner.metadata.name}", seconds(analysis.interval)
    version, at = rollout.target.version, now.timestamp()
    try:
        requests = await prometheus.query(requests_query(deployment, (version, stable.version), interval), at)
        latency = await prometheus.query(latency_query(deployment, version, interval), at)
    except (PrometheusUnavailable, QueryRejected) as error:
        return Unavailable(rollout.target.revision, str(error)[:500])
    return _observed(rollout.target.revision, requests, latency)


def _observed(revision: str, requests: list[Series], latency: list[Series]) -> Observed:
    total: dict[str, float] = {}
    errors: dict[str, float] = {}
    for series in requests:
        version, code, value = series.labels.get("version", ""), series.labels.get("code", ""), _value(series)
        total[version] = total.get(version, 0.0) + (value or 0.0)
        if code.startswith("5"):
            errors[version] = errors.get(version, 0.0) + (value or 0.0)
    return Observed(revision, total, errors, _value(latency[0]) if latency else None)


def _value(series: Series) -> float | None:
    """The newest value; None where there is none to reckon with (NaN: no requests)."""
    value = series.points[-1][1] if series.points else math.nan
    return None if math.isnan(value) else value
