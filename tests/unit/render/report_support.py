"""A monitor's story as the demo has it, short to change: other hospitals' patients come, and labels show a loss."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from perennial.api.common import Condition
from perennial.api.drift import MonitorSpec
from perennial.api.verdict import (
    Action,
    BaselineStatus,
    Chapter,
    FeatureEvidence,
    MonitorStatus,
    PerformanceEvidence,
    SignalEvidence,
)
from perennial.contracts.baseline import ABOVE, BELOW, INVALID, JOINT, LABEL, MISSING, OTHER, PREDICTION
from perennial.domain.drift.story import FeatureStory, Point, Story

NOW = datetime(2026, 3, 2, 12, 0, 32, tzinfo=UTC)
END = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
CHUNKS = tuple(END - timedelta(hours=hours) for hours in reversed(range(24)))
AGES = ("[29,42)", "[42,47)", "[47,52)", "[52,55)", "[55,58)", "[58,60)", "[60,64)", "[64,77]")


def shares(weights: Sequence[float]) -> tuple[float, ...]:
    """``weights`` that sum to 1."""
    return tuple(each / sum(weights) for each in weights)


def evidence(name: str, psi: float, *, top: str = "", **more: Any) -> FeatureEvidence:
    """Of a change of ``psi``; a large one drifts."""
    drifting = psi > 0.02
    chance = 1.3e-9 if drifting else 0.41
    found = {"p_value": chance, "drifting": drifting, "rows": 4812, "threshold": 0.02, "top_bin": top, **more}
    return FeatureEvidence(feature=name, psi=psi, **found)


def numeric(
    name: str, before: Sequence[float], now: Sequence[float], psi: float, *, top: str = "",
    regular: Sequence[str] = AGES, special: Sequence[float] = (0, 0, 0, 0), **more: Any,
) -> FeatureStory:  # fmt: skip
    """``special`` are missing, refused, below and above, in the window alone."""
    missing, invalid, below, above = special
    return FeatureStory(
        name, "Numeric", (MISSING, INVALID, BELOW, *regular, ABOVE), shares((0, 0, 0, *before, 0)),
        shares((missing, invalid, below, *now, above)), evidence(name, psi, top=top, **more), trend(psi), 303, 4812,
    )  # fmt: skip


def categorical(
    name: str, labels: Sequence[str], before: Sequence[float], now: Sequence[float], psi: float, *, top: str = ""
) -> FeatureStory:
    """``labels`` are the categories by name; the last of ``now`` are other ones."""
    return FeatureStory(
        name, "Categorical", (MISSING, INVALID, *labels, OTHER), shares((0, 0, *before, 0)), shares((0, 0, *now)),
        evidence(name, psi, top=top), trend(psi), 303, 4812,
    )  # fmt: skip


def trend(psi: float) -> tuple[float | None, ...]:
    """Nothing at night, then up to ``psi`` from the middle on."""
    rising = (max(0.0, psi * (1.4 if at > 11 else 0.06) + 0.004 * ((at * 7) % 5 - 2)) for at in range(24))
    return tuple(None if at in {2, 3, 4} else value for at, value in enumerate(rising))


def features() -> tuple[FeatureStory, ...]:
    """What the heart model is judged by, the worst first."""
    age = (38, 40, 39, 38, 37, 36, 38, 37)
    flat = (30, 31, 29, 30, 31, 30, 30, 30)
    return (
        numeric(
            "chol", flat, (8, 9, 9, 8, 10, 9, 11, 12), 1.84, top="__below__ 0% → 43%", special=(22, 0, 56, 0),
            regular=("[126,200)", "[200,217)", "[217,231)", "[231,245)", "[245,259)", "[259,277)", "[277,309)",
                     "[309,564]"),
        ),
        categorical("thal", ("normal", "reversible", "fixed"), (166, 117, 18), (31, 60, 22, 9), 0.62,
                    top="normal 55% → 25%"),
        numeric("age", age, (18, 21, 30, 34, 44, 48, 60, 66), 0.187, top="[64,77] 12% → 21%"),
        numeric(
            "oldpeak", (99, 20, 31, 30, 29, 30, 32, 32), (71, 24, 36, 33, 28, 31, 40, 38), 0.041,
            top="[0,0) 33% → 24%", window="Fast", special=(4, 0, 2, 0),
            regular=("[0,0)", "[0,0.4)", "[0.4,0.8)", "[0.8,1.2)", "[1.2,1.6)", "[1.6,2)", "[2,3)", "[3,6.2]"),
        ),
        numeric(PREDICTION, (60, 40, 26, 20, 18, 22, 40, 70), (30, 31, 24, 22, 22, 28, 60, 110), 0.09,
                regular=("[0,0.1)", "[0.1,0.2)", "[0.2,0.3)", "[0.3,0.5)", "[0.5,0.7)", "[0.7,0.8)", "[0.8,0.9)",
                         "[0.9,1]"), top="[0.9,1] 24% → 34%"),
        numeric(JOINT, flat, (29, 31, 30, 31, 30, 29, 32, 33), 0.012, top="[64,77] 12% → 13%"),
        categorical("sex", ("1", "0"), (206, 97), (3290, 1522, 0), 0.0004, top="1 68% → 68%"),
        categorical("ca, major vessels coloured by fluoroscopy", ("0", "1", "2", "3"), (176, 65, 38, 20),
                    (2816, 1050, 588, 330, 0), 0.0011, top="0 59% → 59%"),
        FeatureStory(LABEL, "Categorical", ("0", "1"), (0.54, 0.46), (0.5, 0.5), None, (), 303, 46),
    )  # fmt: skip


def points(around: float, step: float, n: int, spread: float = 0.05) -> tuple[Point, ...]:
    """By chunk; none at night, less by ``step`` from the middle on."""
    found = []
    for at, end in enumerate(CHUNKS):
        value = around - (step if at > 11 else 0) + 0.012 * ((at * 5) % 7 - 3) / 3
        quiet = at in {2, 3, 4}
        found.append(Point(end, None if quiet else value, None if quiet else value - spread,
                           None if quiet else min(value + spread, 1.0), 0 if quiet else n))  # fmt: skip
    return tuple(found)


def action(kind: str, hours: float, **more: Any) -> Action:
    """Asked so long ago."""
    reason = "3 of 13 features: chol (below 0% → 43%, PSI 1.8); thal (normal 55% → 25%, PSI 0.62); age (PSI 0.19)"
    return Action(
        **{"id": f"{kind}-{hours}", "kind": kind, "version": "heart-v3", "since": NOW - timedelta(hours=hours),
           "reason": reason, "verdict": "Drifting", **more}
    )  # fmt: skip


def ready(message: str, reason: str = "Judged", type_: str = "Ready", status: str = "True") -> Condition:
    """A condition."""
    return Condition(
        type=type_, status=status, reason=reason, message=message, last_transition_time=NOW, observed_generation=4
    )


def spec(**more: Any) -> MonitorSpec:
    """Of a monitor that acts on both."""
    policy = {"onInputDrift": "Retrain", "onPerformanceLoss": "Auto", **more.pop("policy", {})}
    wanted = {
        "deployment": "heart", "training": "heart", "predictions": {},
        "performance": {"metric": "accuracy", "source": "Both"}, "policy": policy,
        "inputs": {"exclude": ["slope"], "features": [{"name": "chol", "maxMissing": 0.05}]}, **more,
    }  # fmt: skip
    return MonitorSpec.model_validate(wanted)


def status(**more: Any) -> MonitorStatus:
    """Labels show a loss, inputs drift, a retrain was asked for."""
    found = features()
    labels = PerformanceEvidence(metric="accuracy", reference=0.853, value=0.742, low=0.705, high=0.776, labels=611,
                                 delay="3h10m", loss=True)  # fmt: skip
    guess = labels.model_copy(
        update={
            "source": "Estimated",
            "value": 0.801,
            "low": 0.79,
            "high": 0.812,
            "labels": 4812,
            "delay": "",
            "loss": False,
        }
    )
    history = [
        Chapter(version="heart-v3", since=NOW - timedelta(hours=13), until=NOW - timedelta(hours=9), verdict="Drifting",
                cause="InputDrift", worst="chol, thal, age"),
        Chapter(version="heart-v3", since=NOW - timedelta(hours=61), until=NOW - timedelta(hours=13), verdict="Healthy",
                performance="accuracy 0.85"),
        Chapter(version="heart-v3", since=NOW - timedelta(hours=85), until=NOW - timedelta(hours=61),
                verdict="InsufficientData"),
        Chapter(version="heart-v2", since=NOW - timedelta(hours=190), until=NOW - timedelta(hours=85),
                verdict="Healthy"),
    ]  # fmt: skip
    said = "PerformanceLoss: accuracy 0.742. No action yet: run 4 of ModelTraining heart is under way"
    known = {
        "observed_generation": 4, "verdict": "PerformanceLoss", "cause": "InputDrift",
        "since": NOW - timedelta(hours=9), "version": "heart-v3",
        "window_end": END, "observations": 4812, "consecutive": 2, "worst": "chol, thal, age",
        "features": [each.evidence for each in found if each.evidence], "performance": labels, "estimated": guess,
        "baseline": BaselineStatus(source="Training", version="heart-v3"), "history": history,
        "conditions": [ready(said)],
        "actions": [action("Retrain", 8.6), action("Retrain", 200, version="heart-v2")],
        "signals": [
            SignalEvidence(name="errors", value=0.0021, max=0.01),
            SignalEvidence(name="latency-p99", value=0.084, max=0.05, breached=True, consecutive=3),
            SignalEvidence(name="admissions", min=10, message="the query gives nothing"),
        ],
    }  # fmt: skip
    return MonitorStatus(**{**known, **more})


def story(**more: Any) -> Story:
    """All of it; ``more`` in its place."""
    sentence = (
        "PerformanceLoss: accuracy 0.742 (95 % interval 0.705 to 0.776, 611 labels) against 0.853 held out; "
        "inputs drift too: chol, thal, age"
    )
    known = {
        "namespace": "cardiology", "monitor": "heart", "spec": spec(), "status": status(), "sentence": sentence,
        "at": NOW, "chunks": CHUNKS, "features": features(), "performance": points(0.85, 0.11, 26, 0.13),
        "estimated": points(0.845, 0.04, 200, 0.03),
        "traffic": tuple(0 if at in {2, 3, 4} else 150 + 13 * ((at * 11) % 9) for at in range(24)),
    }  # fmt: skip
    return Story(**{**known, **more})


def healthy() -> Story:
    """The same, calm."""
    calm = tuple(
        FeatureStory(each.name, each.kind, each.bins, each.before, each.before, evidence(each.name, 0.003),
                     trend(0.003), 303, 4812)
        for each in features()[:8]
    )  # fmt: skip
    found = PerformanceEvidence(metric="accuracy", reference=0.853, value=0.861, low=0.831, high=0.886, labels=611)
    return story(
        status=status(verdict="Healthy", cause=None, performance=found, estimated=None, actions=[], consecutive=9,
                      conditions=[ready("Healthy: 8 features as in the baseline")], signals=[], worst="",
                      features=[each.evidence for each in calm]),
        sentence="Healthy: 8 features as in the baseline, accuracy 0.861, 4812 predictions", features=calm,
        performance=points(0.86, 0.0, 26, 0.1), estimated=(),
    )  # fmt: skip


def wide(number: int = 200, bins: int = 25) -> Story:
    """As many features and bins as there may be."""
    regular = tuple(f"[{1000.25 + 17.5 * at:g},{1000.25 + 17.5 * (at + 1):g})" for at in range(bins - 4))
    before = tuple(10 + (at * 7) % 11 for at in range(bins - 4))
    now = tuple(10 + (at * 5) % 13 for at in range(bins - 4))
    many = tuple(
        numeric(f"feature_{at:03}_with_a_long_name", before, now, 0.5 / (at + 1), regular=regular, special=(3, 1, 2, 4),
                top=f"{regular[0]} 4% → 8%")
        for at in range(number)
    )  # fmt: skip
    return story(features=many, status=status(features=[each.evidence for each in many[:10] if each.evidence]))
