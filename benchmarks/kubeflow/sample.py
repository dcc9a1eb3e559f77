"""What the operator and Kubeflow's server have counted, and what came of it between two times."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.api.process import Operator

Json = dict[str, Any]
_KUBERNETES, _LOOKS, _ERRORS = (
    f"perennial_operator_{name}"
    for name in ("api_requests_total", "reconcile_duration_seconds_count", "reconcile_errors_total")
)


@dataclass(frozen=True)
class Sample:
    """Counts since the process began, by kind; ``overdue`` seconds of the key that waits for a worker longest."""

    cpu: float
    mib: float
    overdue: float
    kubernetes: Counter[str]
    looks: Counter[str]
    errors: Counter[str]


async def sample(operator: Operator) -> Sample:
    """What the operator says of itself."""
    found: dict[str, float] = {}
    counted: dict[str, Counter[str]] = {name: Counter() for name in (_KUBERNETES, _LOOKS, _ERRORS)}
    for family in text_string_to_metric_families((await operator.get("/metrics"))[1]):
        for each in family.samples:
            if each.name in counted:
                words = (each.labels.get(label, "") for label in ("verb", "kind", "reason"))
                counted[each.name][" ".join(filter(None, words))] += int(each.value)
            elif not each.labels:
                found[each.name] = each.value
    return Sample(
        cpu=found["process_cpu_seconds_total"],
        mib=found["process_resident_memory_bytes"] / 2**20,
        overdue=found["perennial_operator_queue_overdue_seconds"],
        kubernetes=counted[_KUBERNETES],
        looks=counted[_LOOKS],
        errors=counted[_ERRORS],
    )


def kubeflow_calls(told: Json) -> Counter[str]:
    """The calls that Kubeflow's server had, lists by what they ask for."""
    calls: Counter[str] = Counter(told["calls"])
    filtered: Counter[str] = Counter(told["filtered"])
    for kind in ("runs", "experiments", "pipelines"):
        for name, count in filtered.items():
            if name.startswith(f"{kind} by "):
                calls[f"GET /{kind}"] -= count
                calls[f"GET /{name}"] = count
    return +calls


def per_minute(before: Mapping[str, int], after: Mapping[str, int], minutes: float) -> dict[str, float]:
    """How often each happened, the most frequent first; without what did not."""
    counts = Counter({name: count - before.get(name, 0) for name, count in after.items()})
    return {name: round(count / minutes, 1) for name, count in counts.most_common() if count}


def spread(values: list[float]) -> dict[str, float]:
    """Number, median, 95th percentile and maximum of at least two values."""
    cuts = quantiles(values, n=100, method="inclusive")
    return {
        "count": len(values),
        "median": round(cuts[49], 2),
        "p95": round(cuts[94], 2),
        "max": round(max(values), 2),
    }
