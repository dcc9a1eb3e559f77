"""The verdict on a window, from its evidence alone, and for how many windows in a row it has stood."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from perennial.api.drift import MonitorSpec
from perennial.api.verdict import FeatureEvidence, MonitorStatus, PerformanceEvidence, Verdict
from perennial.domain.drift.performance import judge_labels
from perennial.domain.drift.statistics import MIN_ROWS, Finding, examine, judge_features
from perennial.domain.drift.window import Chunk, Layout

FEATURES_SHOWN = 10
WORST_NAMED = 3


@dataclass(frozen=True)
class Evidence:
    """What was gathered about a window: its closed chunks since the version took over, oldest first.

    ``series`` is False when Prometheus knows none of this version's; ``reference`` is the held-out figure, None when
    the record has none; ``labels_suspect``: more feedback than predictions in the version's life.
    """

    layout: Layout
    chunks: tuple[Chunk, ...]
    series: bool
    reference: float | None = None
    labels_suspect: bool = False


@dataclass(frozen=True)
class Judgement:
    """A verdict with what it rests on; ``message`` is for people."""

    verdict: Verdict
    message: str
    observations: int = 0
    worst: str = ""
    features: list[FeatureEvidence] = field(default_factory=list)
    performance: PerformanceEvidence | None = None


def judge(spec: MonitorSpec, evidence: Evidence, version: str) -> Judgement:
    """In this order: NoMetrics, InsufficientData while the window is not full, PerformanceLoss, Drifting, Healthy;
    what could not be tested for want of rows is never Healthy.
    """
    closed, wanted = len(evidence.chunks), spec.window.chunks
    observations = round(sum(chunk.predictions for chunk in evidence.chunks))
    if closed and not evidence.series:
        return Judgement("NoMetrics", f"Prometheus has no series of {version}: are its predictors' pods scraped?")
    if closed < wanted:
        parts = f"{closed} of {wanted} parts of the window have passed since {version} took over"
        return Judgement("InsufficientData", parts, observations)
    performance = _performance(spec, evidence)
    findings = _findings(spec, evidence)
    shown = [_shown(finding, spec.inputs.tolerance) for finding in findings[:FEATURES_SHOWN]]
    drifting = [finding for finding in findings if finding.drifting]
    rows = max((sum(feature.counts) for feature in evidence.layout.features), default=0)
    verdict, message = _verdict(performance, findings, observations, rows)
    worst = ", ".join(finding.test.feature for finding in drifting[:WORST_NAMED])
    return Judgement(verdict, message, observations, worst[:256], shown, performance)


def _verdict(
    performance: PerformanceEvidence | None, findings: list[Finding], observations: int, reference_rows: int
) -> tuple[Verdict, str]:
    drifting = [finding for finding in findings if finding.drifting]
    if performance and performance.loss:
        return "PerformanceLoss", (
            f"{performance.metric} {performance.value} (95 % interval {performance.low} to {performance.high}, "
            f"{performance.labels} labels) against {performance.reference} held out{_also(drifting)}"
        )
    if drifting:
        named = "; ".join(_described(finding) for finding in drifting[:WORST_NAMED])
        return "Drifting", f"{len(drifting)} of {len(findings)} features: {named}"
    if not findings and (performance is None or performance.value is None):
        return "InsufficientData", (
            f"{observations} predictions in the window, {reference_rows} rows in training: {MIN_ROWS} of each needed"
        )
    judged = f"{len(findings)} features as in training" if findings else "no feature judged"
    labelled = f", {performance.metric} {performance.value}" if performance and performance.value is not None else ""
    return "Healthy", f"{judged}{labelled}, {observations} predictions"


def _also(drifting: list[Finding]) -> str:
    named = ", ".join(finding.test.feature for finding in drifting[:WORST_NAMED])
    return f"; inputs drift too: {named}" if named else ""


def _performance(spec: MonitorSpec, evidence: Evidence) -> PerformanceEvidence | None:
    if spec.performance is None or evidence.reference is None or evidence.labels_suspect:
        return None
    return judge_labels((chunk.feedback for chunk in evidence.chunks), evidence.reference, spec.performance)


def _findings(spec: MonitorSpec, evidence: Evidence) -> list[Finding]:
    """The features that could be tested, those that drift first, the larger change first."""
    tests = [examine(feature, counts) for feature, counts in evidence.layout.counts(evidence.chunks)]
    tested = [test for test in tests if test is not None]
    findings = judge_features(tested, alpha=spec.inputs.alpha, tolerance=spec.inputs.tolerance)
    return sorted(findings, key=lambda finding: (not finding.drifting, -finding.test.psi, finding.test.feature))


def _shown(finding: Finding, tolerance: float) -> FeatureEvidence:
    test = finding.test
    return FeatureEvidence(
        feature=test.feature[:128],
        psi=_round(test.psi),
        threshold=tolerance,
        p_value=_round(finding.adjusted),
        drifting=finding.drifting,
        top_bin=_moved(finding)[:128],
    )


def _described(finding: Finding) -> str:
    return f"{finding.test.feature} ({_moved(finding)}, PSI {finding.test.psi:.2g})"


def _moved(finding: Finding) -> str:
    test = finding.test
    return f"{test.top_bin} {test.share_before:.0%} → {test.share_now:.0%}"


def _round(value: float) -> float:
    return float(f"{value:.4g}")


def follow(
    before: MonitorStatus, judgement: Judgement, version: str, *, end: datetime, length: timedelta, now: datetime
) -> MonitorStatus:
    """``before`` with the judgement of the window that ends at ``end``.

    ``consecutive`` counts windows that share no time: windows slide by a chunk, and one that overlaps the last counted
    one is no second opinion. Another verdict, or another version, begins to count again.
    """
    streak = {"since": before.since, "consecutive": before.consecutive, "counted_until": before.counted_until}
    if before.verdict != judgement.verdict or before.version != version or before.counted_until is None:
        streak = {"since": now, "consecutive": 1, "counted_until": end}
    elif end >= before.counted_until + length:
        streak = {"since": before.since, "consecutive": before.consecutive + 1, "counted_until": end}
    found = {
        "verdict": judgement.verdict,
        "version": version,
        "window_end": end,
        "observations": judgement.observations,
        "worst": judgement.worst,
        "features": judgement.features,
        "performance": judgement.performance,
    }
    return before.model_copy(update={**streak, **found})


def rebase(before: MonitorStatus, version: str, now: datetime) -> MonitorStatus:
    """``before`` as it is once ``version`` serves: what was found about another version says nothing about it.

    The actions stay: cooldown and budget are the monitor's, not a version's.
    """
    if before.version == version:
        return before
    return MonitorStatus(
        observed_generation=before.observed_generation,
        conditions=before.conditions,
        verdict="InsufficientData",
        since=now,
        version=version,
        actions=before.actions,
        last_action=before.last_action,
    )
