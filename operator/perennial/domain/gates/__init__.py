"""Gates as a spec asks for them, judged by the contract's functions, and kept in a version's record."""

from typing import Literal

import msgspec

from perennial.api import evaluation as api
from perennial.api.evaluation import DEFAULT_METRIC
from perennial.api.training import TrainingSpec
from perennial.api.version import ChampionRecord, GateRecord
from perennial.contracts.gates import Verdict, evaluate
from perennial.contracts.request import MIN_ROWS, Champion, FairnessGate, Gate, Gates, Split
from perennial.contracts.result import RunResult

_MESSAGE, _LIMIT = 512, 64


def gates_of(spec: TrainingSpec, *, insists: bool = False) -> Gates:
    """What ``spec`` asks of a version, in a namespace that ``insists`` on a person's approval, or not."""
    asked = spec.evaluation
    approval: Literal["Automatic", "Manual"] = "Manual" if insists else spec.approval
    return Gates(tuple(map(_gate, asked.gates)), tuple(map(_fairness, asked.fairness)), approval)


def met_by(champion: Champion, spec: TrainingSpec) -> Champion:
    """``champion`` with what ``spec`` asks of the version that meets it."""
    gate = spec.evaluation.champion or api.ChampionGate()
    return msgspec.structs.replace(
        champion,
        metric=gate.metric or DEFAULT_METRIC[spec.task],
        min_improvement=gate.min_improvement,
        confidence=gate.confidence,
    )


def judged(spec: TrainingSpec, result: RunResult, champion: Champion | None, split: Split) -> Verdict:
    """The verdict on ``result`` by what ``spec`` asks: of the run's own words only its figures count. ``champion`` is
    the one that the run was asked to meet, ``split`` the run's own.
    """
    met = met_by(champion, spec) if champion and spec.evaluation.champion else None
    return evaluate(gates_of(spec), met, split, result)


def gate_records(verdict: Verdict) -> list[GateRecord]:
    """The gates as a version records them, with texts of the length that it holds."""
    return [
        GateRecord.model_validate({
            "metric": gate.metric, "by": gate.by, "limit": gate.limit[:_LIMIT], "value": gate.value,
            "passed": gate.passed, "message": gate.message[:_MESSAGE],
        })
        for gate in verdict.gates
    ]  # fmt: skip


def champion_record(verdict: Verdict) -> ChampionRecord | None:
    """The meeting with the champion, likewise; None where there was none."""
    met = verdict.champion
    if met is None:
        return None
    return ChampionRecord.model_validate({
        "version": met.version, "metrics": met.metrics, "rows": met.rows, "verdict": met.verdict,
        "gain": None if met.gain is None else msgspec.to_builtins(met.gain), "message": met.message[:_MESSAGE],
    })  # fmt: skip


def _gate(given: api.Gate) -> Gate:
    return Gate(given.metric, given.min, given.max, given.by or "", given.min_rows or MIN_ROWS)


def _fairness(given: api.FairnessGate) -> FairnessGate:
    return FairnessGate(given.metric, given.by, given.max_difference, given.min_ratio, given.min_rows or MIN_ROWS)
