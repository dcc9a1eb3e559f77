"""Other figures with bounds: of the service, or any PromQL. They have no part in the verdict."""

import statistics
from collections.abc import Mapping, Sequence

from perennial.api.drift import MonitorSpec, Signal
from perennial.api.verdict import SignalEvidence
from perennial.domain.analysis.figures import quantile
from perennial.domain.drift.window import Chunk

Answers = Mapping[str, float | str]
"""By signal: the figure that Prometheus gave, or why there is none."""

_MESSAGE = 256


def judge_signals(
    spec: MonitorSpec, chunks: Sequence[Chunk], answers: Answers, before: Sequence[SignalEvidence]
) -> list[SignalEvidence]:
    """Each signal in the last of ``chunks``. ``before`` says for how many chunks in a row each has been out of bounds;
    one without a figure is neither good nor bad, and begins anew.
    """
    streaks = {each.name: each.consecutive for each in before}
    found = []
    for signal in spec.signals:
        value = _figure(signal, chunks, answers)
        number = value if isinstance(value, float) else None
        breached = number is not None and _out_of_bounds(signal, number)
        found.append(
            SignalEvidence(
                name=signal.name,
                value=None if number is None else float(f"{number:.6g}"),
                max=signal.max,
                min=signal.min,
                breached=breached,
                consecutive=streaks.get(signal.name, 0) + 1 if breached else 0,
                message=value[:_MESSAGE] if isinstance(value, str) else "",
            )
        )
    return found


def _out_of_bounds(signal: Signal, value: float) -> bool:
    return (signal.max is not None and value > signal.max) or (signal.min is not None and value < signal.min)


def _figure(signal: Signal, chunks: Sequence[Chunk], answers: Answers) -> float | str:
    if signal.name in answers:
        return answers[signal.name]
    if not chunks:
        return "no chunk has closed since the version took over"
    last = chunks[-1]
    requests = sum(last.requests.values())
    if signal.builtin == "RequestRate":
        return _rate(chunks)
    if requests <= 0:
        return "no requests"
    if signal.builtin == "ErrorRate":
        return sum(count for code, count in last.requests.items() if code.startswith("5")) / requests
    found = quantile(0.5 if signal.builtin == "LatencyP50" else 0.99, last.durations)
    return found.value if found is not None else "no requests"


def _rate(chunks: Sequence[Chunk]) -> float | str:
    """Requests of the last chunk over the median of the chunks before it."""
    usual = statistics.median(sum(each.requests.values()) for each in chunks[:-1]) if len(chunks) > 1 else 0.0
    return sum(chunks[-1].requests.values()) / usual if usual > 0 else "no requests before"
