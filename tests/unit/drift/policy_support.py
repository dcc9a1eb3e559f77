"""A reaction in one line, for the tests of the policy."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from perennial.api.drift import MonitorSpec
from perennial.api.verdict import Action, FeatureEvidence, MonitorStatus, PerformanceEvidence, SignalEvidence
from perennial.domain.drift.policy import Reaction, Situation, react
from tests.unit.drift.support import NOW

HOUR = timedelta(hours=1)
SITUATION = Situation("u-1", "heart-v1", "ab" * 32, NOW - timedelta(days=1), False, HOUR)
"""heart-v1 serves for a day; windows are an hour."""
_OF_MONITOR = {"mode", "signals", "window", "training", "performance"}


def spec(**wanted: Any) -> MonitorSpec:
    """Of a monitor with windows of an hour in 6 chunks: drift is retrained, a loss rolled back. What is no field of the
    monitor is one of its policy.
    """
    own = {key: wanted.pop(key) for key in list(wanted) if key in _OF_MONITOR}
    policy = {"onInputDrift": "Retrain", "onPerformanceLoss": "Rollback", **wanted}
    base = {"deployment": "heart", "training": "heart", "window": {"length": "1h", "chunks": 6}}
    return MonitorSpec.model_validate({**base, **own, "policy": policy})


def status(verdict: str = "Drifting", **more: Any) -> MonitorStatus:
    """Two windows in a row say ``verdict`` of heart-v1; the last one has just ended."""
    known = {"version": "heart-v1", "consecutive": 2, "window_end": NOW, "since": NOW - HOUR}
    return MonitorStatus(verdict=verdict, **{**known, **more})


def reaction(
    verdict: str = "Drifting", *, actions: list[Action] | None = None, consecutive: int = 2,
    situation: Situation = SITUATION, features: list[FeatureEvidence] | None = None,
    known: dict[str, Any] | None = None, **wanted: Any,
) -> Reaction:  # fmt: skip
    """``known`` are further fields of the status, ``wanted`` fields of :func:`spec`."""
    found = status(
        verdict, consecutive=consecutive, actions=actions or [], features=features or [], **(known or {})
    )  # fmt: skip
    return react(spec(**wanted), found, situation, "age moved", NOW)


def kinds(found: Sequence[Action]) -> list[str]:
    """What is asked for."""
    return [each.kind for each in found]


def moved(feature: str = "age") -> FeatureEvidence:
    """A feature that drifts."""
    return FeatureEvidence(feature=feature, psi=1.0, threshold=0.02, p_value=0.0, drifting=True)


def measured(value: float | None, half: float = 0.02, **more: Any) -> PerformanceEvidence:
    """A figure with its interval ``half`` to either side."""
    bounds = {} if value is None else {"low": value - half, "high": value + half}
    return PerformanceEvidence(**{"metric": "accuracy", "reference": 0.9, "value": value, **bounds, **more})


def breached(consecutive: int = 2, **more: Any) -> SignalEvidence:
    """The signal errors out of bounds for so many chunks."""
    found = {"name": "errors", "value": 0.2, "max": 0.05, "breached": True, "consecutive": consecutive}
    return SignalEvidence(**{**found, **more})


def signals(action: str | None) -> list[dict[str, Any]]:
    """The spec's signal errors."""
    return [{"name": "errors", "builtin": "ErrorRate", "max": 0.05, **({"action": action} if action else {})}]
