"""Prometheus' text format 0.0.4: what each metric is, and the lines of its series."""

from collections.abc import Iterable, Iterator, Sequence

from perennial.contracts import names

_HELP = {
    names.METRIC_REQUESTS: ("counter", "Infer requests by status code."),
    names.METRIC_DURATION: (
        "histogram",
        "Seconds from an infer request's first byte to its answer, answered or failed by us.",
    ),
    names.METRIC_FEATURES: ("counter", "Feature values by the baseline's bins."),
    names.METRIC_PREDICTION_BINS: (
        "counter",
        "Probabilities of the positive class, or numbers, by the baseline's bins.",
    ),
    names.METRIC_JOINT: ("counter", "Rows by how far they lie from where training rows lie, in the baseline's bins."),
    names.METRIC_PREDICTED: ("counter", "Predictions by predicted class."),
    names.METRIC_CALIBRATED: ("counter", "Sum of calibrated probabilities of the positive class by predicted class."),
    names.METRIC_EXPECTED_LOSS: ("counter", "Sum of the errors that are expected of predicted numbers."),
    names.METRIC_FEEDBACK: ("counter", "True classes that came back, by what was predicted."),
    names.METRIC_FEEDBACK_DELAY: ("summary", "Seconds from a prediction to its true class."),
    names.METRIC_FEEDBACK_LOSS: ("summary", "Log loss of the predictions whose true class came back."),
    names.METRIC_FEEDBACK_ERROR: ("counter", "Sum of the errors of predicted numbers whose true ones came back."),
    names.METRIC_FEEDBACK_REJECTED: ("counter", "Feedback that was refused."),
    names.METRIC_BASELINE: ("gauge", "Shares in training by feature and bin."),
    names.METRIC_CPU: ("counter", "CPU seconds that the process has used."),
    names.METRIC_CPU_LIMIT: ("gauge", "CPU cores that the container may use."),
    names.METRIC_MEMORY: ("gauge", "Bytes of memory that the process has resident."),
    names.METRIC_MEMORY_LIMIT: ("gauge", "Bytes of memory that the container may use."),
}


def labels(**values: str) -> str:
    """Label pairs, escaped."""
    return ",".join(
        '{}="{}"'.format(name, value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\""))
        for name, value in values.items()
    )


def series(name: str, /, **pairs: str) -> str:
    """A series' line up to its value."""
    return f"{name}{{{labels(**pairs)}}} "


def header(name: str) -> Iterator[str]:
    """The lines before a metric's series."""
    kind, text = _HELP[name]
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def rows(prefixes: Sequence[str], values: Iterable[float], *, zero: bool) -> Iterator[str]:
    """The lines of :func:`series` with their values, or with ``zero``."""
    if zero:
        return (prefix + "0" for prefix in prefixes)
    return (prefix + repr(value) for prefix, value in zip(prefixes, values, strict=True))


def family(name: str, prefixes: Sequence[str], values: Iterable[float], *, zero: bool) -> Iterator[str]:
    """A metric with its series."""
    yield from header(name)
    yield from rows(prefixes, values, zero=zero)
