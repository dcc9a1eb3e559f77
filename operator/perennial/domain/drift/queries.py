"""What a monitor asks of Prometheus: one range query gives every chunk of everything that it counts, for many monitors.

The step stands in the query's text: the value at t is the count of the chunk that ends at t. A counter's increase is
the difference of its last values in this chunk and in the one before, so that chunks add up to what was counted,
wherever a scrape is missing. ``increase()`` would extrapolate to the chunk's edges; it is left to what began anew in
the meantime. A pod that was not there before has shown a 0 first, or else is counted from what it showed first. What is
subtracted has no name any more, so each part carries a label ``family`` instead.
"""

from collections.abc import Iterable
from enum import StrEnum

from perennial.contracts import names

LONGEST_LIFE = 30 * 86400.0


class Family(StrEnum):
    """What a series of the answer is about."""

    FEATURES = "features"
    BINS = "bins"
    JOINT = "joint"
    PREDICTED = "predicted"
    CALIBRATED = "calibrated"
    FEEDBACK = "feedback"
    DELAY_SUM = "delay_sum"
    DELAY_COUNT = "delay_count"
    LOSS_SUM = "loss_sum"
    LOSS_COUNT = "loss_count"
    EXPECTED = "expected"
    ERRORS = "errors"
    REQUESTS = "requests"
    DURATIONS = "durations"


_PARTS: tuple[tuple[Family, str, tuple[str, ...]], ...] = (
    (Family.FEATURES, names.METRIC_FEATURES, ("feature", "bin")),
    (Family.BINS, names.METRIC_PREDICTION_BINS, ("bin",)),
    (Family.JOINT, names.METRIC_JOINT, ("bin",)),
    (Family.PREDICTED, names.METRIC_PREDICTED, ("predicted",)),
    (Family.CALIBRATED, names.METRIC_CALIBRATED, ("predicted",)),
    (Family.FEEDBACK, names.METRIC_FEEDBACK, ("predicted", "actual")),
    (Family.DELAY_SUM, f"{names.METRIC_FEEDBACK_DELAY}_sum", ()),
    (Family.DELAY_COUNT, f"{names.METRIC_FEEDBACK_DELAY}_count", ()),
    (Family.LOSS_SUM, f"{names.METRIC_FEEDBACK_LOSS}_sum", ()),
    (Family.LOSS_COUNT, f"{names.METRIC_FEEDBACK_LOSS}_count", ()),
    (Family.EXPECTED, names.METRIC_EXPECTED_LOSS, ("loss",)),
    (Family.ERRORS, names.METRIC_FEEDBACK_ERROR, ("error",)),
    (Family.REQUESTS, names.METRIC_REQUESTS, ("code",)),
    (Family.DURATIONS, f"{names.METRIC_DURATION}_bucket", ("le",)),
)

_FILLED = {Family.FEATURES: " > 0", Family.DURATIONS: " > 0"}
"""Most bins are empty most of the time; the others' series show that they are there at all."""

Subject = tuple[str, str]
"""(deployment as "namespace/name", version)."""


def chunk_query(subjects: Iterable[Subject], step: int, families: Iterable[Family] = tuple(Family)) -> str:
    """For all ``subjects``, at chunks of ``step`` ms; Prometheus adds up the pods. The answer has more: a version of
    one deployment for another, where two have versions of one name.
    """
    subjects, wanted = list(subjects), frozenset(families)
    deployments, versions = (sorted({each[at] for each in subjects}) for at in (0, 1))
    selector = f"{_one_of('deployment', deployments)},{_one_of('version', versions)}"
    return " or ".join(
        f"label_replace(sum by ({', '.join(('deployment', 'version', *by))}) "
        f'({_counted(f"{metric}{{{selector}}}", step)}){_FILLED.get(family, "")}, "family", "{family}", "", "")'
        for family, metric, by in _PARTS
        if family in wanted
    )


def _counted(series: str, step: int) -> str:
    span, before = f"{series}[{step}ms]", f"{series}[{step}ms] offset {step}ms"
    return (
        f"((last_over_time({span}) - (last_over_time({before}) or min_over_time({span}))) "
        f"unless (resets({series}[{2 * step}ms]) > 0)) or increase({span})"
    )


def lifetime_queries(subject: Subject, life: float) -> tuple[str, str]:
    """Instant queries for the predictions and the feedback of the version over its ``life`` (s, at most 30 days)."""
    span = int(min(max(life, 60.0), LONGEST_LIFE) * 1000)
    selector = f'deployment="{subject[0]}",version="{subject[1]}"'
    return (
        f"sum (increase({names.METRIC_PREDICTED}{{{selector}}}[{span}ms]))",
        f"sum (increase({names.METRIC_FEEDBACK}{{{selector}}}[{span}ms]))",
    )


def usage_queries(subject: Subject, step: int) -> dict[str, str]:
    """Instant queries by signal: the largest share of its limit that a pod uses, over ``step`` ms."""
    selector = f'deployment="{subject[0]}",version="{subject[1]}"'
    cpu, memory = f"rate({names.METRIC_CPU}{{{selector}}}[{step}ms])", f"{names.METRIC_MEMORY}{{{selector}}}"
    peak = f"max_over_time({memory}[{step}ms])"
    return {
        "CPU": f"max ({cpu} / {names.METRIC_CPU_LIMIT}{{{selector}}})",
        "Memory": f"max ({peak} / {names.METRIC_MEMORY_LIMIT}{{{selector}}})",
    }


def _one_of(label: str, values: list[str]) -> str:
    # Kubernetes names and our "/" have but one character that a regular expression reads otherwise.
    escaped = "|".join(value.replace(".", r"\\.") for value in values)
    return f'{label}="{values[0]}"' if len(values) == 1 else f'{label}=~"{escaped}"'
