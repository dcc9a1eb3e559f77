"""The challenger against the deployed version, on the same held-out rows."""

import math
from collections.abc import Mapping

from perennial.contracts.gates.judged import Met, Outcome
from perennial.contracts.gates.words import TOLERANCE, apart
from perennial.contracts.request import ByTime, Champion, Split
from perennial.contracts.result import LOWER_IS_BETTER, ChampionMetrics, Gain


def compare(champion: Champion, split: Split, metrics: Mapping[str, float], found: ChampionMetrics | None) -> Met:
    """How the challenger, with its ``metrics`` and ``split``, did against ``champion``, which was ``found`` to have its
    own.

    Better: its figure is better by ``champion.min_improvement``, and where a ``confidence`` is asked for, the gain is
    above that with this probability. Worse: its figure is not. Unproven: it is, but not with this probability.
    """
    measured = found or ChampionMetrics("", {}, 0)
    metric = champion.metric
    mine, its = metrics.get(metric, math.nan), measured.metrics.get(metric, math.nan)
    gain = measured.gain if measured.gain and measured.gain.metric == metric else None
    if why := _obstacle(champion, split, measured, comparable=math.isfinite(mine - its), gain=gain):
        return _met(champion, measured, None, "Inconclusive", f"not compared with {champion.version}: {why}")
    better = its - mine if metric in LOWER_IS_BETTER else mine - its
    here, there = apart(mine, its, 3)
    message = f"{metric} {here} against {champion.version}'s {there} on the same {measured.rows} rows"
    verdict: Outcome = "Better"
    if better < champion.min_improvement - TOLERANCE:
        verdict = "Worse"
        message += (
            f": {asked(champion)} was asked for" if champion.min_improvement > 0 else ": the deployed version is better"
        )
    elif champion.confidence is not None and gain is not None:
        if gain.probability < champion.confidence:
            verdict = "Unproven"
        likely = apart(gain.probability, champion.confidence, 2)[0]
        message += f": {asked(champion)} with a probability of {likely}, {champion.confidence:g} was asked for"
    return _met(champion, measured, gain, verdict, message)


def asked(champion: Champion) -> str:
    """What the challenger was to be, in words."""
    if champion.min_improvement == 0:
        return "better"
    if champion.min_improvement < 0:
        return f"worse by less than {-champion.min_improvement:g}"
    return f"better by at least {champion.min_improvement:g}"


def split_difference(its: Split, own: Split) -> str:
    """The settings in which ``its`` differs from ``own``, for people; empty where they are the same."""
    said = []
    if its.test != own.test:
        said.append(f"test {its.test:g}, now {own.test:g}")
    if its.seed != own.seed:
        said.append(f"seed {its.seed}, now {own.seed}")
    pairs = (
        ("key", ", ".join(its.key), ", ".join(own.key)),
        ("group", its.group, own.group),
        ("byTime", _told(its.by_time), _told(own.by_time)),
    )
    said += [f"{name} {before or 'none'}, now {now or 'none'}" for name, before, now in pairs if before != now]
    return "; ".join(said)


def _told(by_time: ByTime | None) -> str:
    return f"{by_time.column} from {by_time.start}" if by_time else ""


def _obstacle(
    champion: Champion, split: Split, measured: ChampionMetrics, *, comparable: bool, gain: Gain | None
) -> str:
    """Why the two cannot be compared; empty where they can."""
    if differs := split_difference(champion.split, split):
        return f"its split settings differ ({differs}): rows held out here may be among those it learned from"
    if measured.version != champion.version:
        return "the run did not measure it"
    if measured.inconclusive:
        return measured.inconclusive
    if not comparable:
        return f"{champion.metric} was not measured for both"
    if champion.confidence is not None and gain is None:
        return f"the {measured.rows} held-out rows do not say how probable a gain of {champion.metric} is"
    return ""


def _met(champion: Champion, measured: ChampionMetrics, gain: Gain | None, verdict: Outcome, message: str) -> Met:
    return Met(champion.version, champion.metric, measured.metrics, measured.rows, verdict, message, gain)
