"""The verdict on a run in words: what was asked of the model, what was found, and what follows from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from perennial.contracts.gates import Judged, Met, Verdict, evaluate
from perennial.contracts.gates.words import apart, short
from perennial.contracts.request import Champion, FairnessGate, Gate, Gates, RunRequest
from perennial.contracts.result import Interval
from perennial_components.records import Account
from perennial_components.report.words import TITLES

State = Literal["passed", "narrow", "failed", "unknown"]
_NOTHING = "not known"


@dataclass(frozen=True)
class Line:
    """A gate: what it asks, what was found, and the verdict with its reason ("" where the figures say it)."""

    asked: str
    found: str
    state: State
    verdict: str
    why: str = ""


@dataclass(frozen=True)
class Shown:
    """The verdict: a word, what follows from it, and a line for each gate, those that failed first."""

    word: str
    state: State
    sentence: str
    lines: tuple[Line, ...] = ()


def verdict_of(account: Account) -> Shown | None:
    """What the page says first; None where the run was not told what is asked of it."""
    request = account.request
    if request.replay:
        said = (
            f"This run has fitted the recorded winner of {request.replay.version} again, to see whether the same file "
            "comes of it. Nothing is asked of its figures."
        )
        return Shown("Fitted again", "unknown", said)
    if request.gates is None:
        return None
    champion = _met_by(request)
    found = evaluate(request.gates, champion, request.split, account.evaluation)
    asked: tuple[Gate | FairnessGate, ...] = (*request.gates.bounds, *request.gates.fairness)
    figures = _Figures("{:.5g}" if request.task == "Regression" else "{:.3f}")
    lines = [
        _bound(gate, judged, account.evaluation.intervals, figures)
        if isinstance(gate, Gate)
        else _fairness(gate, judged, figures)
        for gate, judged in zip(asked, found.gates, strict=True)
    ]
    if champion and found.champion:
        lines.append(_meeting(champion, found.champion, account.evaluation.metrics, figures))
    word, state = _word(request.gates, found)
    return Shown(
        word, state, _sentence(word, found, lines), tuple(sorted(lines, key=lambda line: line.state != "failed"))
    )


def _met_by(request: RunRequest) -> Champion | None:
    """The champion by the metric that is compared: the run's own where it names none."""
    champion = request.champion
    return champion and msgspec.structs.replace(champion, metric=champion.metric or request.metric)


def _word(gates: Gates, found: Verdict) -> tuple[str, State]:
    if not found.passed:
        return "Rejected", "failed"
    if gates.approval == "Manual":
        return "Waits for approval", "unknown"
    if found.champion and found.champion.verdict == "Inconclusive":
        return "Inconclusive", "unknown"
    return "Passed", "passed"


def _sentence(word: str, found: Verdict, lines: Sequence[Line]) -> str:
    """What follows from the verdict, for somebody who has not met gates before."""
    failed = sum(line.state == "failed" for line in lines)
    if word == "Rejected":
        stays = f" {found.champion.version} stays in service." if found.champion else ""
        missed = "what was" if len(lines) == 1 else f"{failed} of the {len(lines)} things"
        return f"It does not meet {missed} asked of it, so it will not serve.{stays}"
    count = len(found.gates)
    said = "No gate is set for it"
    if count:
        said = "It meets what was asked of it" if count == 1 else f"It meets all {count} things asked of it"
    met = found.champion
    if met and met.verdict == "Inconclusive":
        said += f", but could not be compared with {met.version}, the model in service. That alone keeps no model out"
    elif met:
        said += f", and does as well as was asked for beside {met.version}, the model in service"
    elif not found.gates:
        said += ": nothing was asked of it, whatever its figures are"
    return said + (". A person decides whether it may serve." if word == "Waits for approval" else ". It may serve.")


@dataclass(frozen=True)
class _Figures:
    """Figures as text: as many digits as the page has by ``form``, or as it takes to tell one from another."""

    form: str

    def text(self, value: float, beside: float | None = None) -> str:
        """``value``; where it stands ``beside`` another one, so that they differ."""
        shown = self.form.format(value)
        if beside is None or value == beside or shown != self.form.format(beside):
            return shown
        return apart(value, beside, 3)[0]

    def within(self, interval: Interval | None) -> str:
        """The ends of ``interval``, in brackets; nothing where there is none."""
        return f" ({self.text(interval.low)} to {self.text(interval.high)})" if interval else ""


def _bound(gate: Gate, judged: Judged, intervals: Mapping[str, Interval], figures: _Figures) -> Line:
    asked = f"{TITLES[gate.metric]}{f' for every {gate.by}' if gate.by else ''}: {judged.limit}"
    if (value := judged.value) is None:
        return Line(asked, _NOTHING, "failed", "could not be judged", judged.message)
    between, where = intervals.get(gate.metric), ""
    if judged.slices:
        [worst] = judged.slices
        between, where = worst.intervals.get(gate.metric), f" for {gate.by} = {worst.value} ({worst.rows} rows)"
    limits = {"under": gate.min, "over": gate.max}
    known = {side: limit for side, limit in limits.items() if limit is not None}
    nearest = min(known.values(), key=lambda limit: abs(limit - value))
    found = f"{figures.text(value, nearest)}{figures.within(between)}{where}"
    if not judged.passed:
        side = "under" if gate.min is not None and value < gate.min else "over"
        return Line(asked, found, "failed", "failed", f"{side} {short(nearest)}")
    reached = [f"{side} {short(limit)}" for side, limit in known.items() if _reaches(between, side, limit)]
    if reached:
        why = f"with other rows it might as well be {' or '.join(reached)}"
        return Line(asked, found, "narrow", "passed, narrowly", why)
    return Line(asked, found, "passed", "passed")


def _reaches(interval: Interval | None, side: str, limit: float) -> bool:
    """Whether the interval of a figure that passed goes beyond ``limit``."""
    return interval is not None and (interval.low < limit if side == "under" else interval.high > limit)


def _fairness(gate: FairnessGate, judged: Judged, figures: _Figures) -> Line:
    title, bound = TITLES[gate.metric], gate.min_ratio or 0.0
    limit, what, beyond = (
        f"the least at least {short(bound)} of the greatest",
        "the least is {} of the greatest",
        "under",
    )
    if gate.max_difference is not None:
        bound = gate.max_difference
        limit, what, beyond = f"at most {short(bound)} between the greatest and the least", "{} between them", "over"
    asked = f"{title}, alike for every {gate.by}: {limit}"
    if judged.value is None:
        return Line(asked, _NOTHING, "failed", "could not be judged", judged.message)
    parts = [
        f"{figures.text(each.metrics[gate.metric])}{figures.within(each.intervals.get(gate.metric))} for {each.value}"
        f" ({each.rows} rows)"
        for each in judged.slices
    ]
    found = f"{' and '.join(parts)}: {what.format(figures.text(judged.value, bound))}"
    if judged.passed:
        return Line(asked, found, "passed", "passed")
    return Line(asked, found, "failed", "failed", f"{beyond} {short(bound)}")


def _meeting(champion: Champion, met: Met, metrics: Mapping[str, float], figures: _Figures) -> Line:
    sure = "" if champion.confidence is None else f", with a probability of {100 * champion.confidence:g} %"
    asked = f"{TITLES[met.metric]} beside {met.version}, the model in service: {_wanted(champion)}{sure}"
    if met.verdict == "Inconclusive":
        return Line(asked, _NOTHING, "unknown", "could not be compared", met.message)
    mine, its = metrics[met.metric], met.metrics[met.metric]
    found = f"{figures.text(mine, its)} beside {figures.text(its, mine)} on the same {met.rows} rows"
    if met.gain:
        interval = Interval(met.gain.low, met.gain.high)
        found += f": a gain of {figures.text(met.gain.value, 0.0)}{figures.within(interval)}"
    if not met.kept:
        return Line(asked, found, "passed", "passed")
    why = f"{met.version} is better" if champion.min_improvement <= 0 else "it is not better by so much"
    if met.verdict == "Unproven" and met.gain:
        why = f"the probability is {100 * met.gain.probability:.3g} %"
    return Line(asked, found, "failed", "failed", why)


def _wanted(champion: Champion) -> str:
    least = champion.min_improvement
    if least == 0:
        return "not worse" if champion.confidence is None else "better"
    return f"better by at least {least:g}" if least > 0 else f"worse by at most {-least:g}"
