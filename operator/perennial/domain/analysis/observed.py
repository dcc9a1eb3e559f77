"""What Prometheus answered about a rollout, as counts of the new version and of the stable one."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from perennial.domain.analysis.queries import BINS, DURATIONS, LABEL_ERRORS, LABELS, QUERY, REQUESTS, ROWS, Subject
from perennial.domain.drift.window import Line

K = TypeVar("K")


@dataclass(frozen=True)
class Trouble:
    """Why a query has no answer. Refused: Prometheus says what is wrong with it. Away: it may answer next time."""

    kind: Literal["Refused", "Away"]
    message: str


Answer = Sequence[Line] | Trouble


@dataclass(frozen=True)
class Observed:
    """An interval that ended now; ``revision`` is the one that was measured.

    ``requests`` and ``errors`` (answers 5xx) are by version; where new and stable are one version, they are the new
    revision's alone. ``durations`` are the new version's requests by upper limit (s), cumulative. ``bins`` and
    ``stable_bins`` are predictions by bin, ``rows`` compared rows by result. ``labels`` are by (predicted, actual),
    ``label_errors`` the sums of a Regression's errors by kind (absolute, squared), NaN where one is no number; both
    also of the stable version. ``answers`` are the values of each series by metric, of metrics with a query.
    ``troubles`` are by source.
    """

    revision: str
    requests: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    durations: Mapping[float, float] = field(default_factory=dict)
    bins: Mapping[str, float] = field(default_factory=dict)
    stable_bins: Mapping[str, float] = field(default_factory=dict)
    rows: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[tuple[str, str], float] = field(default_factory=dict)
    stable_labels: Mapping[tuple[str, str], float] = field(default_factory=dict)
    label_errors: Mapping[str, float] = field(default_factory=dict)
    stable_label_errors: Mapping[str, float] = field(default_factory=dict)
    answers: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    troubles: Mapping[str, Trouble] = field(default_factory=dict)


@dataclass(frozen=True)
class Unavailable:
    """Prometheus did not answer; ``message`` says how."""

    revision: str
    message: str


def read(subject: Subject, answers: Mapping[str, Answer]) -> Observed | Unavailable:
    """What ``answers`` (by source) come to. Without knowing the requests, nothing can be said."""
    asked = answers[REQUESTS]
    if isinstance(asked, Trouble) and asked.kind == "Away":
        return Unavailable(subject.revision, asked.message)
    lines = {key: each for key, each in answers.items() if not isinstance(each, Trouble)}
    requests = [
        line
        for line in lines.get(REQUESTS, ())
        if _is_new(subject, line) or line.labels.get("version") != subject.version
    ]
    bins = lines.get(BINS, ())
    return Observed(
        revision=subject.revision,
        requests=_added(requests, lambda line: line.labels.get("version", "")),
        errors=_added(
            [line for line in requests if line.labels.get("code", "").startswith("5")],
            lambda line: line.labels.get("version", ""),
        ),
        durations=_added(lines.get(DURATIONS, ()), lambda line: float(line.labels.get("le", "inf"))),
        bins=_added([line for line in bins if _is_new(subject, line)], _bin),
        stable_bins=_added([line for line in bins if _is_stable(subject, line)], _bin),
        rows=_added(lines.get(ROWS, ()), lambda line: line.labels.get("result", "")),
        labels=_added(_of_version(subject.version, lines.get(LABELS, ())), _pair),
        stable_labels=_added(_of_version(subject.stable, lines.get(LABELS, ())), _pair),
        label_errors=_sums(_of_version(subject.version, lines.get(LABEL_ERRORS, ()))),
        stable_label_errors=_sums(_of_version(subject.stable, lines.get(LABEL_ERRORS, ()))),
        answers={
            key.removeprefix(QUERY): tuple(_newest(line) for line in found)
            for key, found in lines.items()
            if key.startswith(QUERY)
        },
        troubles={key: each for key, each in answers.items() if isinstance(each, Trouble)},
    )


def _is_new(subject: Subject, line: Line) -> bool:
    if line.labels.get("version") != subject.version:
        return False
    return subject.version != subject.stable or line.labels.get("revision") == subject.revision


def _is_stable(subject: Subject, line: Line) -> bool:
    return line.labels.get("version") == subject.stable and not _is_new(subject, line)


def _of_version(version: str, lines: Iterable[Line]) -> list[Line]:
    return [line for line in lines if line.labels.get("version") == version]


def _pair(line: Line) -> tuple[str, str]:
    return line.labels.get("predicted", ""), line.labels.get("actual", "")


def _sums(lines: Iterable[Line]) -> dict[str, float]:
    """By kind; what is no number stays so: a sum without it would be too small."""
    return {line.labels.get("error", ""): _newest(line) for line in lines}


def _bin(line: Line) -> str:
    return line.labels.get("bin", "")


def _added(lines: Iterable[Line], key: Callable[[Line], K]) -> dict[K, float]:
    """Counts by ``key``; what is no number counts nothing, what is there at 0 stays."""
    total: dict[K, float] = {}
    for line in lines:
        value = _newest(line)
        total[key(line)] = total.get(key(line), 0.0) + (max(0.0, value) if math.isfinite(value) else 0.0)
    return total


def _newest(line: Line) -> float:
    """The newest value; NaN where there is none."""
    return line.points[-1][1] if line.points else math.nan
