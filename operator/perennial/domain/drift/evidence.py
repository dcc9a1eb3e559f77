"""What was gathered about a window, and what each judged distribution shows of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from perennial.api.drift import FeatureOverride, MonitorSpec
from perennial.api.verdict import FeatureEvidence
from perennial.contracts.baseline import ABOVE, BELOW, INVALID, JOINT, LABEL, MISSING, PREDICTION, Distribution
from perennial.domain.drift.bins import Array
from perennial.domain.drift.performance import wilson
from perennial.domain.drift.reference import Reference, Usual
from perennial.domain.drift.signals import Answers
from perennial.domain.drift.statistics import Finding, examine, judge_features
from perennial.domain.drift.window import Chunk, Geometry

_LIMITS = (
    ("max_missing", "missing", frozenset({MISSING})),
    ("max_invalid", "invalid", frozenset({INVALID})),
    ("max_out_of_range", "out of range", frozenset({BELOW, ABOVE})),
)


@dataclass(frozen=True)
class Evidence:
    """The window's closed ``chunks`` since the version took over, oldest first, and what they are compared with.

    ``labels_suspect``: more feedback than predictions in the version's life; ``signals``: figures that no chunk has;
    ``learning``: what the baseline still waits for.
    """

    reference: Reference
    chunks: tuple[Chunk, ...]
    labels_suspect: bool = False
    signals: Answers = field(default_factory=dict)
    learning: str = ""


def distributions(spec: MonitorSpec, evidence: Evidence, chunks: Sequence[Chunk]) -> list[tuple[Distribution, Array]]:
    """Each judged distribution with its counts (K, B): features, how they hang together, predictions, labels."""
    found = evidence.reference.layout.counts(chunks)
    label = evidence.reference.label
    if (
        label is not None
        and spec.performance
        and spec.performance.source != "Estimated"
        and not evidence.labels_suspect
    ):
        counts = [[_labelled(chunk, name) for name in label.bins] for chunk in chunks]
        found.append((label, np.asarray(counts, dtype=np.float64)))
    return found


def _labelled(chunk: Chunk, actual: str) -> float:
    return sum(count for pair, count in chunk.feedback.items() if pair[1] == actual)


def find(spec: MonitorSpec, evidence: Evidence) -> list[FeatureEvidence]:
    """What could be tested, in the window and in the fast one: those that drift first, the larger change first.

    Where both are judged the false discovery rate is halved for each.
    """
    geometry, chunks = Geometry.of(spec), evidence.chunks
    found: dict[str, FeatureEvidence] = {}
    if len(chunks) >= geometry.chunks:
        found = _window(spec, evidence, chunks, evidence.reference.usual, geometry, "")
    if geometry.fast and len(chunks) >= geometry.fast:
        recent = chunks[len(chunks) - geometry.fast :]
        for name, each in _window(spec, evidence, recent, evidence.reference.usual_fast, geometry, "Fast").items():
            if name not in found or (each.drifting and not found[name].drifting):
                found[name] = each
    return sorted(found.values(), key=lambda each: (not each.drifting, -each.psi, each.feature))


def _window(
    spec: MonitorSpec, evidence: Evidence, chunks: Sequence[Chunk],
    usual: Usual, geometry: Geometry, which: Literal["", "Fast"],
) -> dict[str, FeatureEvidence]:  # fmt: skip
    features = distributions(spec, evidence, chunks)
    # A season is seen where it is there twice.
    season = geometry.season if geometry.season and len(chunks) >= 2 * geometry.season else 0
    tests = examine(features, season=season, windows=usual.windows)
    tested = [(test, data) for test, data in zip(tests, features, strict=True) if test is not None]
    share = 0.5 if geometry.fast else 1.0
    findings = judge_features(
        [test for test, _ in tested],
        alpha=[share * _alpha(spec, test.feature) for test, _ in tested],
        tolerance=[max(_tolerance(spec, test.feature), usual.index.get(test.feature, 0.0)) for test, _ in tested],
    )
    return {
        finding.test.feature: _shown(finding, over_limit(override(spec, finding.test.feature), *data), which)
        for finding, (_, data) in zip(findings, tested, strict=True)
    }


def override(spec: MonitorSpec, feature: str) -> FeatureOverride | None:
    """What the spec says of ``feature`` alone."""
    return next((each for each in spec.inputs.features if each.name == feature), None)


def _alpha(spec: MonitorSpec, feature: str) -> float:
    own = spec.predictions if feature == PREDICTION else override(spec, feature)
    return own.alpha if own is not None and own.alpha is not None else spec.inputs.alpha


def _tolerance(spec: MonitorSpec, feature: str) -> float:
    own = spec.predictions if feature == PREDICTION else override(spec, feature)
    return own.tolerance if own is not None and own.tolerance is not None else spec.inputs.tolerance


def over_limit(own: FeatureOverride | None, known: Distribution, counts: Array) -> str:
    """The share that is surely over its limit, in words; empty where none is."""
    if own is None:
        return ""
    total, rows = counts.sum(axis=0), float(counts.sum())
    for field_, words, bins in _LIMITS:
        limit = getattr(own, field_)
        share = float(sum(total[place] for place, name in enumerate(known.bins) if name in bins))
        if limit is not None and rows and wilson(share, rows)[0] > limit:
            return f"{words} {share / rows:.1%}, at most {limit:.1%} allowed"
    return ""


def is_input(feature: str) -> bool:
    """Whether it is something that comes in: a feature, or how they hang together."""
    return feature not in {PREDICTION, LABEL}


def title(feature: str) -> str:
    """What people call it."""
    return _TITLES.get(feature, feature)


_TITLES = {JOINT: "the features together", PREDICTION: "the predictions", LABEL: "the true classes"}


def _shown(finding: Finding, limit: str, which: Literal["", "Fast"]) -> FeatureEvidence:
    test = finding.test
    return FeatureEvidence(
        feature=test.feature[:128],
        psi=_round(test.psi),
        threshold=_round(finding.threshold),
        p_value=_round(finding.adjusted),
        drifting=finding.drifting or bool(limit),
        rows=round(test.rows),
        top_bin=f"{test.top_bin} {test.share_before:.0%} → {test.share_now:.0%}"[:128],
        limit=limit,
        window=which,
    )


def _round(value: float) -> float:
    return float(f"{value:.4g}")
