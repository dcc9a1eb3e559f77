"""Which actions a verdict and the signals call for; whether one is taken now is the policy's matter."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from perennial.api.common import seconds
from perennial.api.drift import MonitorSpec
from perennial.api.verdict import MonitorStatus, PerformanceEvidence, SignalEvidence
from perennial.contracts.result import LOWER_IS_BETTER
from perennial.domain.drift.evidence import is_input

Kind = Literal["Retrain", "Rollback"]
SIGNAL = "Signal"
FRESH_WINDOWS = 4


@dataclass(frozen=True)
class Call:
    """An action that something calls for.

    ``verdict`` is Drifting, PerformanceLoss or Signal; ``began`` says since when it calls, ``agreed`` for how many
    windows (Signal: chunks) in a row; ``subject`` is what agrees, for people.
    """

    kind: Kind
    verdict: str
    reason: str
    agreed: int
    began: datetime
    subject: str


@dataclass(frozen=True)
class Past:
    """What Auto looks at besides the window: when the version was promoted, its predecessor's performance at the same
    age, and when a Rollback of it was last asked for; each None where there is none, or nobody knows.
    """

    since: datetime | None = None
    predecessor: PerformanceEvidence | None = None
    rolled_back: datetime | None = None


def calls(spec: MonitorSpec, status: MonitorStatus, past: Past, reason: str) -> tuple[Call, ...]:
    """The verdict's first, then the signals'. A loss does not hide drift: both are answered."""
    return (*_of_verdict(spec, status, past, reason), *_of_signals(spec, status))


def _of_verdict(spec: MonitorSpec, status: MonitorStatus, past: Past, reason: str) -> list[Call]:
    wanted: list[tuple[Kind, str]] = []
    if status.verdict == "PerformanceLoss":
        wanted += [(kind, "PerformanceLoss") for kind in _on_loss(spec, status, past)]
    if _retrains_drift(spec, status) and ("Retrain", "PerformanceLoss") not in wanted:
        wanted.append(("Retrain", "Drifting"))
    end = status.window_end
    if end is None:
        return []
    return [
        Call(kind, verdict, reason, status.consecutive, status.since or end, "windows in a row agree")
        for kind, verdict in wanted
    ]


def _on_loss(spec: MonitorSpec, status: MonitorStatus, past: Past) -> tuple[Kind, ...]:
    policy = spec.policy.on_performance_loss
    if policy == "Auto":
        return (auto(spec, status, past),)
    known: dict[str, tuple[Kind, ...]] = {
        "Rollback": ("Rollback",),
        "Retrain": ("Retrain",),
        "RollbackAndRetrain": ("Rollback", "Retrain"),
    }
    return known.get(policy, ())


def _retrains_drift(spec: MonitorSpec, status: MonitorStatus) -> bool:
    """Whether the policy for this kind of drift is Retrain; a loss without drift has none."""
    if status.verdict not in {"Drifting", "PerformanceLoss"}:
        return False
    if status.cause == "PredictionDrift":
        return spec.policy.on_prediction_drift == "Retrain"
    drifted = status.verdict == "Drifting" or status.cause in {"InputDrift", "PriorShift"} or inputs_drift(status)
    return drifted and spec.policy.on_input_drift == "Retrain"


def inputs_drift(status: MonitorStatus) -> bool:
    """Whether what comes in has changed."""
    return status.cause == "InputDrift" or any(each.drifting and is_input(each.feature) for each in status.features)


# --- rollback or retrain ------------------------------------------------------------------------------------------


def auto(spec: MonitorSpec, status: MonitorStatus, past: Past) -> Kind:
    """The table "Auto" in docs/drift-policy.md. A Rollback that a whole window later has not moved the traffic cannot
    be done: then the version is retrained.
    """
    if _rollback_failed(spec, status, past) or not is_fresh(spec, status, past):
        return "Retrain"
    compared = is_worse(status.performance, past.predecessor)
    if compared is None:
        return "Retrain" if inputs_drift(status) else "Rollback"
    return "Rollback" if compared else "Retrain"


def is_fresh(spec: MonitorSpec, status: MonitorStatus, past: Past) -> bool:
    """Whether the window ended within ``policy.fresh`` of the promotion; four windows where it is unset."""
    if past.since is None or status.window_end is None:
        return False
    fresh = seconds(spec.policy.fresh) if spec.policy.fresh else FRESH_WINDOWS * seconds(spec.window.length)
    return status.window_end - past.since <= timedelta(seconds=fresh)


def is_worse(own: PerformanceEvidence | None, before: PerformanceEvidence | None) -> bool | None:
    """Whether ``own`` is significantly worse than ``before``; None where they cannot be compared.

    The difference of two independent figures against 1.96 of its standard errors, which are the roots of the summed
    squares of both (Schenker and Gentleman 2001, The American Statistician 55:182); each one's 1.96 standard errors
    are half of its 95 % interval.
    """
    if own is None or before is None or (own.metric, own.source) != (before.metric, before.source):
        return None
    if own.value is None or before.value is None:
        return None
    halves = [_half(own), _half(before)]
    difference = before.value - own.value
    if own.metric in LOWER_IS_BETTER:
        difference = -difference
    return difference > math.hypot(*halves)


def _half(found: PerformanceEvidence) -> float:
    """Half of the interval; without bounds it says nothing, so that no difference is beyond it."""
    return math.inf if found.low is None or found.high is None else (found.high - found.low) / 2


def _rollback_failed(spec: MonitorSpec, status: MonitorStatus, past: Past) -> bool:
    window = timedelta(seconds=seconds(spec.window.length))
    if past.rolled_back is None or status.window_end is None:
        return False
    return past.rolled_back <= status.window_end - window


# --- signals ------------------------------------------------------------------------------------------------------


def _of_signals(spec: MonitorSpec, status: MonitorStatus) -> list[Call]:
    """Of the signals that are out of bounds, whatever the verdict is: what they see, it may not."""
    wanted: dict[str, Kind] = {
        each.name: each.action for each in spec.signals if each.action is not None and each.action != "Alert"
    }
    if status.window_end is None:
        return []
    chunk = timedelta(seconds=seconds(spec.window.length) / spec.window.chunks)
    return [
        Call(
            wanted[each.name], SIGNAL, f"signal {described(each)}, {each.consecutive} chunks in a row",
            each.consecutive, status.window_end - each.consecutive * chunk,
            f"chunks in a row have signal {each.name} out of bounds",
        )
        for each in status.signals
        if each.breached and each.name in wanted
    ]  # fmt: skip


def described(signal: SignalEvidence) -> str:
    """Its value with the bound that it is beyond."""
    value = f"{signal.name} {signal.value:g}" if signal.value is not None else signal.name
    if signal.max is not None and signal.value is not None and signal.value > signal.max:
        return f"{value} (at most {signal.max:g})"
    return f"{value} (at least {signal.min:g})" if signal.min is not None else value
