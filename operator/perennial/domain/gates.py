"""Gates: what a version must show before it is fit to serve. Fails closed: what cannot be judged has not passed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from perennial.api.evaluation import DEFAULT_METRIC, ChampionGate, Evaluation, Gate
from perennial.api.version import ChampionRecord, GateRecord
from perennial.contracts.request import Champion, Split
from perennial.contracts.result import LOWER_IS_BETTER, RunResult, SliceMetrics
from perennial.domain.split import split_difference

MIN_ROWS = 20
"""Rows of a slice from which it is judged, where the gate says nothing."""

_TOLERANCE = 1e-12
_MESSAGE_LIMIT = 512


@dataclass(frozen=True)
class Verdict:
    """The gates' records in the spec's order, and the champion's (None where no comparison is asked for)."""

    gates: tuple[GateRecord, ...]
    champion: ChampionRecord | None = None

    @property
    def passed(self) -> bool:
        """Whether the version is fit to serve; an inconclusive comparison keeps nobody out."""
        return not self.failures and not self.champion_kept

    @property
    def failures(self) -> tuple[GateRecord, ...]:
        """The gates that failed."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def champion_kept(self) -> bool:
        """Whether the deployed version was found to be better."""
        return self.champion is not None and self.champion.verdict == "Worse"

    @property
    def message(self) -> str:
        """What kept the version out, for people; empty where it passed."""
        reasons = [gate.message for gate in self.failures]
        if self.champion is not None and self.champion_kept:
            reasons.append(self.champion.message)
        return "; ".join(reasons)


def evaluate(evaluation: Evaluation, result: RunResult, champion: Champion | None, split: Split) -> Verdict:
    """The verdict on ``result``. ``champion`` is the one that the run was asked to meet, ``split`` the run's own."""
    return Verdict(
        gates=tuple(judge(gate, result) for gate in evaluation.gates),
        champion=compare(evaluation.champion, result, champion, split) if evaluation.champion and champion else None,
    )


def judge(gate: Gate, result: RunResult) -> GateRecord:
    """The record of one gate, over all held-out rows or by slice."""
    return _by_slice(gate, gate.by, result.slices) if gate.by else _overall(gate, result)


def _overall(gate: Gate, result: RunResult) -> GateRecord:
    value = result.metrics.get(gate.metric)
    if value is None or not math.isfinite(value):
        return _record(gate, None, passed=False, message=f"{gate.metric} could not be measured on the held-out rows")
    return _record(gate, value, passed=_margin(gate, value) >= 0, message=f"{gate.metric} {_against(gate, value)}")


def _by_slice(gate: Gate, column: str, slices: Sequence[SliceMetrics]) -> GateRecord:
    least = gate.min_rows or MIN_ROWS
    here = [each for each in slices if each.column == column]
    judged = [
        (each.metrics[gate.metric], each)
        for each in here
        if each.rows >= least and math.isfinite(each.metrics.get(gate.metric, math.nan))
    ]
    if not judged:
        why = f"none of its {len(here)} values has {least} held-out rows on which it can be measured" if here else (
            "the run measured no slices of it"
        )  # fmt: skip
        message = f"{gate.metric} by {column} cannot be judged: {why}; lower minRows or hold out more rows"
        return _record(gate, None, passed=False, message=message)
    value, worst = min(judged, key=lambda pair: _margin(gate, pair[0]))
    passed = _margin(gate, value) >= 0
    where = f"{column}={worst.value} ({worst.rows} rows)"
    message = f"{gate.metric} by {column}: {_against(gate, value, where)}"
    if skipped := len(here) - len(judged):
        message += f"; {skipped} of {len(here)} values were not judged"
    return _record(gate, value, passed=passed, message=message)


def compare(gate: ChampionGate, result: RunResult, champion: Champion, split: Split) -> ChampionRecord:
    """The challenger against ``champion`` on the same held-out rows."""
    measured = result.champion
    metrics = measured.metrics if measured else {}
    metric = gate.metric or DEFAULT_METRIC[result.signature.task]
    mine, its = result.metrics.get(metric), metrics.get(metric)
    why = ""
    if differs := split_difference(champion.split, split):
        why = f"its split settings differ ({differs}): rows held out here may be among those it learned from"
    elif measured is None or measured.version != champion.version:
        why = "the run did not measure it"
    elif measured.inconclusive:
        why = measured.inconclusive
    elif mine is None or its is None or not (math.isfinite(mine) and math.isfinite(its)):
        why = f"{metric} was not measured for both"
    rows = measured.rows if measured else 0
    if why or mine is None or its is None:
        message = f"not compared with {champion.version}: {why}"
        return _champion(champion.version, metrics, rows, "Inconclusive", message)
    gain = its - mine if metric in LOWER_IS_BETTER else mine - its
    better = gain >= gate.min_improvement - _TOLERANCE
    here, there = _apart(mine, its, 3)
    message = f"{metric} {here} against {champion.version}'s {there} on the same {rows} rows"
    if not better:
        message += f": better by at least {gate.min_improvement:g} was asked for" if gate.min_improvement > 0 else (
            ": the deployed version is better"
        )  # fmt: skip
    return _champion(champion.version, metrics, rows, "Better" if better else "Worse", message)


def _champion(version: str, metrics: dict[str, float], rows: int, verdict: str, message: str) -> ChampionRecord:
    return ChampionRecord.model_validate({
        "version": version, "metrics": metrics, "rows": rows, "verdict": verdict, "message": message[:_MESSAGE_LIMIT],
    })  # fmt: skip


def _record(gate: Gate, value: float | None, *, passed: bool, message: str) -> GateRecord:
    return GateRecord(
        metric=gate.metric, by=gate.by or "", limit=_limit(gate), value=value, passed=passed,
        message=message[:_MESSAGE_LIMIT],
    )  # fmt: skip


def _limit(gate: Gate) -> str:
    parts = [f"at least {_short(gate.min)}" if gate.min is not None else ""]
    parts.append(f"at most {_short(gate.max)}" if gate.max is not None else "")
    return " and ".join(filter(None, parts))[:64]


def _margin(gate: Gate, value: float) -> float:
    """How far ``value`` is inside the gate's bounds; negative outside."""
    under = value - gate.min if gate.min is not None else math.inf
    over = gate.max - value if gate.max is not None else math.inf
    margin = min(under, over)
    return 0.0 if abs(margin) < _TOLERANCE else margin


def _against(gate: Gate, value: float, where: str = "") -> str:
    """``value`` beside the bound that it breaks, or beside the nearer one; ``where`` names a slice."""
    low = gate.min is not None and (gate.max is None or value - gate.min <= gate.max - value)
    bound = gate.min if low else gate.max
    assert bound is not None  # noqa: S101 - the schema asks for min or max
    shown, limit = _apart(value, bound, 2)[0], _short(bound)
    inside = f"at or above the gate's {limit}" if low else f"at or under the gate's {limit}"
    outside = f"under the gate's {limit}" if low else f"over the gate's {limit}"
    words = inside if _margin(gate, value) >= 0 else outside
    return f"{shown} for {where} is {words}" if where else f"{shown} is {words}"


def _short(value: float) -> str:
    """A bound as a person would write it, with two decimals at least."""
    return f"{value:.2f}" if abs(round(value, 2) - value) < _TOLERANCE else f"{value:g}"


def _apart(value: float, other: float, digits: int) -> tuple[str, str]:
    """Both as text with ``digits`` decimals, or with as many as it takes to tell them apart."""
    for places in range(digits, 10):
        shown, beside = f"{value:.{places}f}", f"{other:.{places}f}"
        if shown != beside or abs(value - other) < _TOLERANCE:
            return shown, beside
    return repr(value), repr(other)
