"""The challenger against the deployed version, on the same held-out rows."""

import math

from perennial.api.evaluation import DEFAULT_METRIC, ChampionGate
from perennial.api.version import ChampionRecord
from perennial.contracts.request import Champion, Split
from perennial.contracts.result import LOWER_IS_BETTER, ChampionMetrics, Gain, RunResult
from perennial.domain.gates.words import MESSAGE_LIMIT, TOLERANCE, apart
from perennial.domain.split import split_difference


def compare(gate: ChampionGate, result: RunResult, champion: Champion, split: Split) -> ChampionRecord:
    """How the challenger did against ``champion``.

    Better: its figure is better by ``min_improvement``, and where a ``confidence`` is asked for, the gain is above that
    with this probability. Worse: its figure is not. Unproven: it is, but not with this probability.
    """
    measured = result.champion or ChampionMetrics("", {}, 0)
    metric = gate.metric or DEFAULT_METRIC[result.signature.task]
    mine, its = result.metrics.get(metric, math.nan), measured.metrics.get(metric, math.nan)
    gain = measured.gain if measured.gain and measured.gain.metric == metric else None
    if why := _obstacle(gate, metric, measured, champion, split, comparable=math.isfinite(mine - its), gain=gain):
        return _record(champion, measured, None, "Inconclusive", f"not compared with {champion.version}: {why}")
    better = its - mine if metric in LOWER_IS_BETTER else mine - its
    here, there = apart(mine, its, 3)
    message = f"{metric} {here} against {champion.version}'s {there} on the same {measured.rows} rows"
    verdict = "Better"
    if better < gate.min_improvement - TOLERANCE:
        verdict = "Worse"
        message += f": {_asked(gate)} was asked for" if gate.min_improvement > 0 else ": the deployed version is better"
    elif gate.confidence is not None and gain is not None:
        if gain.probability < gate.confidence:
            verdict = "Unproven"
        likely = apart(gain.probability, gate.confidence, 2)[0]
        message += f": {_asked(gate)} with a probability of {likely}, {gate.confidence:g} was asked for"
    return _record(champion, measured, gain, verdict, message)


def _asked(gate: ChampionGate) -> str:
    if gate.min_improvement == 0:
        return "better"
    if gate.min_improvement < 0:
        return f"worse by less than {-gate.min_improvement:g}"
    return f"better by at least {gate.min_improvement:g}"


def _obstacle(
    gate: ChampionGate,
    metric: str,
    measured: ChampionMetrics,
    champion: Champion,
    split: Split,
    *,
    comparable: bool,
    gain: Gain | None,
) -> str:
    """Why the two cannot be compared; empty where they can."""
    if differs := split_difference(champion.split, split):
        return f"its split settings differ ({differs}): rows held out here may be among those it learned from"
    if measured.version != champion.version:
        return "the run did not measure it"
    if measured.inconclusive:
        return measured.inconclusive
    if not comparable:
        return f"{metric} was not measured for both"
    if gate.confidence is not None and gain is None:
        return f"the {measured.rows} held-out rows do not say how probable a gain of {metric} is"
    return ""


def _record(
    champion: Champion, measured: ChampionMetrics, gain: Gain | None, verdict: str, message: str
) -> ChampionRecord:
    found = None if gain is None else {name: getattr(gain, name) for name in gain.__struct_fields__}
    return ChampionRecord.model_validate({
        "version": champion.version, "metrics": measured.metrics, "rows": measured.rows, "verdict": verdict,
        "gain": found, "message": message[:MESSAGE_LIMIT],
    })  # fmt: skip
