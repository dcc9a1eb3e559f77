"""The verdict on a window, from its evidence alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from perennial.api.drift import MonitorSpec
from perennial.api.verdict import Cause, FeatureEvidence, PerformanceEvidence, SignalEvidence, Verdict
from perennial.contracts.baseline import LABEL, PREDICTION
from perennial.domain.drift.evidence import Evidence, find, is_input, title
from perennial.domain.drift.performance import (
    ERRORS,
    judge_estimate,
    judge_labels,
    let_pass,
    metric_of,
    told,
    unrecognised,
)
from perennial.domain.drift.signals import judge_signals
from perennial.domain.drift.statistics import MIN_ROWS
from perennial.domain.drift.window import Chunk, Geometry

WORST_NAMED = 3
_CAUSES = {
    "ConceptDrift": "; inputs are as before: what they mean has changed (concept drift)",
    "PriorShift": "; how often each class is true has changed, each is recognised as before (prior shift)",
    "PredictionDrift": "; inputs are as before",
}


@dataclass(frozen=True)
class Judgement:
    """A verdict with what it rests on; ``message`` is for people, ``features`` are all that were tested, the worst
    first; ``fast``: the fast window alone shows it.
    """

    verdict: Verdict
    message: str
    observations: int = 0
    worst: str = ""
    cause: Cause | None = None
    features: tuple[FeatureEvidence, ...] = ()
    performance: PerformanceEvidence | None = None
    estimated: PerformanceEvidence | None = None
    signals: list[SignalEvidence] = field(default_factory=list)
    fast: bool = False


def judge(spec: MonitorSpec, evidence: Evidence, version: str, signals: Sequence[SignalEvidence] = ()) -> Judgement:
    """In this order: NoMetrics, InsufficientData while no window is full, NoTraffic, PerformanceLoss, Drifting,
    Healthy; what could not be tested for want of rows is never Healthy. ``signals`` are those of the chunk before.
    """
    found = judge_signals(spec, evidence.chunks, evidence.signals, signals)
    observations = round(sum(chunk.predictions for chunk in evidence.chunks))
    missing = _missing(spec, evidence, version, observations)
    if missing:
        return Judgement(missing[0], missing[1], observations, signals=found)
    labels, estimate = _performance(spec, evidence)
    features = find(spec, evidence)
    drifting = [each for each in features if each.drifting]
    verdict, message = _verdict(spec, (labels, estimate), features, observations, evidence)
    cause = _cause(spec, evidence, verdict, drifting, labels)
    return Judgement(
        verdict, message + _CAUSES.get(cause or "", ""), observations,
        worst=", ".join(each.feature for each in drifting[:WORST_NAMED])[:256],
        cause=cause,
        features=tuple(features), performance=labels, estimated=estimate, signals=found,
        fast=verdict == "Drifting" and all(each.window == "Fast" for each in drifting),
    )  # fmt: skip


def _missing(spec: MonitorSpec, evidence: Evidence, version: str, observations: int) -> tuple[Verdict, str] | None:
    """Why nothing can be judged."""
    geometry, closed = Geometry.of(spec), len(evidence.chunks)
    if closed and not any(chunk.seen for chunk in evidence.chunks):
        return "NoMetrics", f"Prometheus has no series of {version}: are its predictors' pods scraped?"
    if closed < (geometry.fast or geometry.chunks):
        parts = f"{closed} of {geometry.chunks} parts of the window have passed since {version} took over"
        return "InsufficientData", parts
    recent = evidence.chunks[closed - (geometry.fast or geometry.chunks) :]
    if not any(_came(chunk) for chunk in recent):
        length = spec.window.fast or spec.window.length
        return "NoTraffic", f"nobody asked {version} for a prediction in {length}: are its callers well?"
    if evidence.learning:
        return "InsufficientData", evidence.learning
    return None


def _came(chunk: Chunk) -> float:
    return chunk.predictions + sum(chunk.requests.values()) + chunk.labels


def _verdict(
    spec: MonitorSpec,
    performance: tuple[PerformanceEvidence | None, PerformanceEvidence | None],
    features: Sequence[FeatureEvidence], observations: int, evidence: Evidence,
) -> tuple[Verdict, str]:  # fmt: skip
    drifting = [each for each in features if each.drifting]
    decisive = _decisive(spec, performance)
    if decisive and decisive.loss:
        return "PerformanceLoss", _lost(decisive) + _also(drifting)
    if drifting:
        named = "; ".join(_described(each) for each in drifting[:WORST_NAMED])
        return "Drifting", f"{len(drifting)} of {len(features)} features: {named}"
    measured = decisive is not None and decisive.value is not None
    if not features and not measured:
        rows = max((sum(each.counts) for each in evidence.reference.layout.features), default=0)
        needed = f"{observations} predictions in the window, {rows} rows in the baseline: {MIN_ROWS} of each needed"
        return "InsufficientData", needed
    judged = f"{len(features)} features as in the baseline" if features else "no feature judged"
    known = f", {_figure(decisive)}" if decisive is not None and measured else ""
    return "Healthy", f"{judged}{known}, {observations} predictions"


def _decisive(
    spec: MonitorSpec, performance: tuple[PerformanceEvidence | None, PerformanceEvidence | None]
) -> PerformanceEvidence | None:
    """Labels where there are enough: the estimate cannot see what inputs mean."""
    labels, estimate = performance
    if labels is not None and (labels.value is not None or estimate is None):
        return labels
    return estimate


def _figure(found: PerformanceEvidence) -> str:
    return f"{'estimated ' if found.source == 'Estimated' else ''}{found.metric} {_told(found, found.value)}"


def _told(found: PerformanceEvidence, value: float | None) -> str:
    return told(found.metric, value) if value is not None else ""


def _lost(found: PerformanceEvidence) -> str:
    what = "predictions" if found.source == "Estimated" else "labels"
    said = (
        f"{_figure(found)} (95 % interval {_told(found, found.low)} to {_told(found, found.high)}, {found.labels} "
        f"{what}) against {_told(found, found.reference)} held out"
    )
    if found.metric in ERRORS:
        said += f", at most {_told(found, found.limit)} let pass"
    return said


def _also(drifting: Sequence[FeatureEvidence]) -> str:
    named = ", ".join(title(each.feature) for each in drifting if is_input(each.feature))
    return f"; inputs drift too: {named[:200]}" if named else ""


def _described(each: FeatureEvidence) -> str:
    where = ", in the fast window" if each.window else ""
    return f"{title(each.feature)} ({each.limit or each.top_bin}, PSI {each.psi:.2g}{where})"


def _performance(
    spec: MonitorSpec, evidence: Evidence
) -> tuple[PerformanceEvidence | None, PerformanceEvidence | None]:
    wanted, held = spec.performance, evidence.reference.held
    if wanted is None or held is None or held.figure is None or len(evidence.chunks) < spec.window.chunks:
        return None, None
    labels = estimate = None
    if wanted.source != "Estimated" and not evidence.labels_suspect:
        labels = judge_labels(evidence.chunks, held, wanted)
    if wanted.source != "Labels" and (held.task == "Regression" or len(held.classes) == 2):
        estimate = judge_estimate(evidence.chunks, held, wanted)
    return labels, estimate


def _cause(
    spec: MonitorSpec, evidence: Evidence, verdict: Verdict,
    drifting: Sequence[FeatureEvidence], labels: PerformanceEvidence | None,
) -> Cause | None:  # fmt: skip
    """What kind of change it is; the first that applies (docs/drift-policy.md)."""
    if verdict not in {"Drifting", "PerformanceLoss"}:
        return None
    if any(is_input(each.feature) for each in drifting):
        return "InputDrift"
    labelled = labels is not None and labels.value is not None
    if labelled and any(each.feature == LABEL for each in drifting) and not _worse_classes(spec, evidence):
        return "PriorShift"
    if labels is not None and labels.loss:
        return "ConceptDrift"
    if any(each.feature == PREDICTION for each in drifting):
        return "PredictionDrift"
    return "PriorShift" if drifting else None


def _worse_classes(spec: MonitorSpec, evidence: Evidence) -> list[str]:
    wanted, held = spec.performance, evidence.reference.held
    if wanted is None or held is None:
        return []
    feedback = [chunk.feedback for chunk in evidence.chunks]
    return unrecognised(feedback, held, let_pass(wanted, metric_of(wanted, held.task)))
