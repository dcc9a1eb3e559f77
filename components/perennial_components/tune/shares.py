"""A search in several shares, each in a pod of its own: what each tries, and what they have found together.

Shares are by candidate first; where there are more shares than candidates, several try one candidate's settings, drawn
with other seeds. They do not hear of each other: what one finds guides none of the others.
"""

import math
from collections.abc import Sequence

import msgspec

from perennial.contracts.request import Candidate, RunRequest
from perennial.contracts.result import LOWER_IS_BETTER, CandidateScore, Trial
from perennial_components.failure import RunError
from perennial_components.records import Tuned


class Share(msgspec.Struct, frozen=True):
    """The candidates of a share, how many settings it tries, by which seed it draws them, and whether it tries each
    candidate's ``usual`` setting first.
    """

    candidates: tuple[Candidate, ...]
    trials: int
    seed: int
    usual: bool


def share(request: RunRequest, candidates: tuple[Candidate, ...], number: int, shares: int) -> Share:
    """The ``number``-th, from 0, of ``shares``; together they try ``request.trials`` settings, or a few more."""
    few = len(candidates)
    if shares <= few:
        mine = candidates[number::shares]
        trials = math.ceil(request.trials * len(mine) / few)
        return Share(mine, max(trials, len(mine)), request.seed, usual=True)
    place, turn = number % few, number // few
    beside = len(range(place, shares, few))
    return Share((candidates[place],), max(math.ceil(request.trials / few / beside), 1), request.seed + turn, turn == 0)


def merged(found: Sequence[Tuned], metric: str) -> Tuned:
    """The account of all shares: trials are numbered anew, each candidate has its best. Raises RunError
    (TrainingFailed) where there is no complete trial.
    """
    trials: list[Trial] = []
    tops: dict[str, CandidateScore] = {}
    for tuned in found:
        trials += (
            msgspec.structs.replace(trial, number=len(trials) + place) for place, trial in enumerate(tuned.trials, 1)
        )
        for score in tuned.candidates:
            known = tops.get(score.algorithm)
            better = known is None or rank(metric, score.score) > rank(metric, known.score)
            chosen = score if better or known is None else known
            tops[score.algorithm] = msgspec.structs.replace(
                chosen, trials=score.trials + (known.trials if known else 0)
            )
    scores = tuple(tops.values())
    if not scores:
        raise RunError("TrainingFailed", trials[0].message if trials else "nothing was tried")
    winner = max(range(len(scores)), key=lambda place: rank(metric, scores[place].score))
    return Tuned(candidates=scores, winner=winner, trials=tuple(trials))


def best(tuned: Tuned, metric: str) -> Trial:
    """The trial that is the winner's best."""
    complete = [trial for trial in tuned.trials if trial.state == "Complete" and trial.score is not None]
    return max(complete, key=lambda trial: rank(metric, trial.score if trial.score is not None else math.nan))


def rank(metric: str, value: float) -> float:
    """Greater is better."""
    return -value if metric in LOWER_IS_BETTER else value
