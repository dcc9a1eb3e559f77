"""What a report says in words, for somebody who has never heard of a population stability index."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from perennial.api.drift import MonitorSpec, Performance
from perennial.api.verdict import MonitorStatus, PerformanceEvidence, Verdict
from perennial.contracts.baseline import ABOVE, BELOW, INVALID, JOINT, MISSING, OTHER, PREDICTION
from perennial.contracts.result import LOWER_IS_BETTER
from perennial.domain.drift.evidence import is_input, title
from perennial.domain.drift.performance import ERRORS, let_pass, worst
from perennial.domain.drift.story import FeatureStory, Story

NAMED = 3
_SPECIAL = {
    MISSING: "missing",
    INVALID: "refused",
    OTHER: "other",
    BELOW: "below all of training",
    ABOVE: "above all of training",
}


@dataclass(frozen=True)
class State:
    """How a verdict looks: its colour's class, its mark (never colour alone), and its name in words."""

    look: str
    mark: str
    name: str


STATES: dict[Verdict | None, State] = {
    "Healthy": State("good", "✓", "Healthy"),
    "Drifting": State("change", "▲", "Drifting"),
    "PerformanceLoss": State("bad", "✕", "Performance lost"),
    "InsufficientData": State("unknown", "…", "Not enough data"),
    "NoTraffic": State("unknown", "∅", "No traffic"),
    "NoMetrics": State("unknown", "?", "No metrics"),
    None: State("unknown", "?", "Not judged yet"),
}
CAUSES = {
    "InputDrift": "Input drift: what comes in differs from what it is compared with.",
    "PredictionDrift": "Prediction drift: what comes in is as before, what is predicted is not.",
    "PriorShift": "Prior shift: the true classes come in other shares, and each is recognised as before.",
    "ConceptDrift": "Concept drift: what comes in is as before, and what it means has changed.",
}
METRICS = {
    "accuracy": "accuracy", "precision": "precision", "recall": "recall (sensitivity)", "f1": "F1",
    "log_loss": "log loss", "mae": "mean absolute error", "rmse": "root mean square error",
}  # fmt: skip


def headline(story: Story) -> str:
    """The verdict in one sentence."""
    status, version = story.status, story.status.version or "the model"
    match status.verdict:
        case "Healthy":
            return _healthy(story, version)
        case "Drifting":
            return _drifting(story, version)
        case "PerformanceLoss":
            return _lost(status, version)
        case "InsufficientData":
            return f"There is not enough data yet to judge {version}."
        case "NoTraffic":
            return f"Nobody asks {version} for predictions."
        case "NoMetrics":
            return f"Nothing can be said: Prometheus has no figures of {version}."
    return "Nothing has been judged yet."


def compared_with(story: Story) -> str:
    """What the window is compared with, as the end of a sentence."""
    status = story.status
    source = status.baseline.source if status.baseline else story.spec.baseline.source
    named = (status.baseline.version if status.baseline else "") or status.version or "the model"
    if source == "Serving":
        return f"the first time that {named} served"
    return f"the data that {named} was trained on"


def decisive(status: MonitorStatus) -> PerformanceEvidence | None:
    """The measured performance, or else the estimated one."""
    for found in (status.performance, status.estimated):
        if found is not None and found.value is not None:
            return found
    return None


def _healthy(story: Story, version: str) -> str:
    judged = [each for each in story.features if each.evidence]
    found = decisive(story.status)
    good = ""
    if found is not None:
        seen = "is by its own estimate" if found.source == "Estimated" else "is"
        good = f"{version} {seen} as good as when it was tested"
    if not judged:
        return f"All is well: {good}." if good else f"Nothing stands against {version}."
    like = f"What comes in is like {compared_with(story)}"
    return f"{like}, and {good}." if good else f"{like}."


def _drifting(story: Story, version: str) -> str:
    status = story.status
    if status.cause == "PriorShift":
        return f"The true classes come in other shares than before; {version} recognises each as well as it did."
    if status.cause == "PredictionDrift":
        return f"{version} predicts something else than it used to, though what comes in has not changed."
    names = drifting_inputs(story)
    if names == [JOINT]:
        return f"Each value that comes in is as before, but they hang together in another way than in {_data(story)}."
    said = several([title(each) for each in names if each != JOINT])
    verb = "differs" if len([each for each in names if each != JOINT]) == 1 else "differ"
    return f"What comes in has changed: {said or 'it'} {verb} from {compared_with(story)}."


def _data(story: Story) -> str:
    return compared_with(story).removeprefix("the data that ") if "data" in compared_with(story) else "the baseline"


def _lost(status: MonitorStatus, version: str) -> str:
    found = next((each for each in (status.performance, status.estimated) if each and each.loss), decisive(status))
    if found is None or found.value is None:
        return f"{version} has become worse than it was when it was tested."
    seen = "seems to be" if found.source == "Estimated" else "is"
    name = METRICS.get(found.metric, found.metric)
    tail = {
        "InputDrift": ", and what comes in has changed",
        "ConceptDrift": ", though what comes in has not changed",
        "PriorShift": ", and the true classes come in other shares",
    }.get(status.cause or "", "")
    figures = f"{_measured(found, found.value)}, not {_measured(found, found.reference)}"
    return f"{version} {seen} worse than when it was tested: {name} {figures}{tail}."


def _measured(found: PerformanceEvidence, value: float) -> str:
    return number(value) if found.metric in ERRORS else f"{value:.2f}"


def allowed(wanted: Performance, found: PerformanceEvidence) -> str:
    """How much worse than the held-out figure it may be, such as: a drop of 0.05."""
    drop = let_pass(wanted, found.metric)
    if found.metric in ERRORS:
        top = f"{share(drop)} over the upper 95 % bound of the held-out figure"
        return f"a rise to {number(worst(wanted, found))} ({top})"
    return f"a {'rise' if found.metric in LOWER_IS_BETTER else 'drop'} of {number(drop)}"


def drifting_inputs(story: Story) -> list[str]:
    """Names of the inputs that drift, the worst first."""
    told = [each.evidence for each in story.features if each.evidence] or list(story.status.features)
    return [each.feature for each in told if each.drifting and is_input(each.feature)]


def several(names: Sequence[str]) -> str:
    """age, sex and chol; age, sex, chol and 4 more."""
    if len(names) <= 1:
        return "".join(names)
    if len(names) <= NAMED:
        return f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"


# --- a feature ----------------------------------------------------------------------------------------------------


def bin_label(name: str) -> str:
    """``[45,52)`` as 45 to 52, ``[0,0)`` as 0, ``__missing__`` as missing; a category as it is."""
    edges = edges_of(name)
    if edges is None:
        return _SPECIAL.get(name, name)
    return edges[0] if edges[0] == edges[1] else f"{edges[0]} \N{EN DASH} {edges[1]}"


def bin_of(feature: FeatureStory, place: int) -> str:
    """The label of its bin; predictions' bins need not reach to training's ends, so the outer ones have an edge."""
    name = feature.bins[place]
    known = [edges for each in feature.bins if (edges := edges_of(each))]
    if feature.name != PREDICTION or name not in {BELOW, ABOVE} or not known:
        return bin_label(name)
    return f"under {known[0][0]}" if name == BELOW else f"over {known[-1][1]}"


def edges_of(name: str) -> tuple[str, str] | None:
    """The texts of a numeric bin's edges; None of another bin."""
    if not name.startswith("[") or not name.endswith((")", "]")):
        return None
    low, comma, high = name[1:-1].partition(",")
    return (low, high) if comma else None


def marked(feature: FeatureStory) -> frozenset[int]:
    """What is worth a mark: nothing of a feature that is as before."""
    return moved(feature) if feature.evidence and feature.evidence.drifting else frozenset()


def moved(feature: FeatureStory) -> frozenset[int]:
    """Places of the bins that moved most: the evidence's group, otherwise the one with the largest difference."""
    if not feature.bins or not any(feature.now) or not any(feature.before):
        return frozenset()
    named = feature.evidence.top_bin.rsplit(" ", 3)[0] if feature.evidence else ""
    parts = {named, *named.split("+")}
    found = frozenset(place for place, name in enumerate(feature.bins) if name in parts)
    if found:
        return found
    differences = [abs(now - before) for now, before in zip(feature.now, feature.before, strict=True)]
    largest = max(range(len(differences)), key=differences.__getitem__)
    return frozenset({largest}) if differences[largest] > 0 else frozenset()


def change(feature: FeatureStory) -> str:
    """The change of the bins that moved most, such as 60 to 80: 30 % → 60 %."""
    places = sorted(moved(feature))
    if not places:
        return ""
    before, now = (sum(shares[place] for place in places) for shares in (feature.before, feature.now))
    return f"{_joined(feature, places)}: {share(before)} → {share(now)}"


def _joined(feature: FeatureStory, places: Sequence[int]) -> str:
    """Neighbouring numeric bins as one stretch, others by name."""
    names = [feature.bins[place] for place in places]
    edges = [edges_of(name) for name in names]
    known = [each for each in edges if each is not None]
    if len(known) == len(names) and all(known[at][1] == known[at + 1][0] for at in range(len(known) - 1)):
        return bin_label(f"[{known[0][0]},{known[-1][1]})")
    return several([bin_of(feature, place) for place in places])


def share(value: float) -> str:
    """A share in percent."""
    percent = 100 * value
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.1f} %" if percent < 9.95 and round(percent, 1) % 1 else f"{percent:.0f} %"


def chance(p: float) -> str:
    """A p-value."""
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}" if p < 0.995 else "1"


def number(value: float) -> str:
    """Three digits that say something; whole where there are more."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


# --- time ---------------------------------------------------------------------------------------------------------


def moment(at: datetime) -> str:
    """2 March 2026, 12:00 UTC."""
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def brief(at: datetime, ends: Sequence[datetime]) -> str:
    """As exact as the chart that goes over ``ends`` needs: 2 Mar, 12:00 or 12:00:20."""
    if len(ends) > 1 and (ends[-1] - ends[0]).total_seconds() > 36 * 3600:
        return f"{at.day} {at:%b}"
    return f"{at:%H:%M:%S}" if any(each.second for each in ends) else f"{at:%H:%M}"


def lasted(seconds: float) -> str:
    """A length of time in words: 3 h 20 min."""
    left, parts = max(0, round(seconds)), []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def wanted_by(spec: MonitorSpec, status: MonitorStatus) -> str:
    """The policy's word for what the verdict found; empty where the verdict calls for nothing."""
    policy = spec.policy
    if status.verdict == "PerformanceLoss":
        return f"policy.onPerformanceLoss: {policy.on_performance_loss}"
    if status.verdict == "Drifting" and status.cause == "PredictionDrift":
        return f"policy.onPredictionDrift: {policy.on_prediction_drift}"
    return f"policy.onInputDrift: {policy.on_input_drift}" if status.verdict == "Drifting" else ""
