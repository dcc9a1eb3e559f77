"""Optuna's TPE over all candidates together, told of one trial at a time."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.trial import TrialState

from perennial.contracts.request import Candidate, RunRequest, SearchRange
from perennial.contracts.result import LOWER_IS_BETTER
from perennial_components.tune.catalog import CATALOG, first_of
from perennial_components.tune.parameters import Value, fixed_of, space_of, value_of

_RANDOM = 10
"""Trials, at most, before TPE models what it has seen."""
_COMPLETE = 4
"""Trials that must have ended before another is ended early."""
_FOLDS = 2
"""Folds before a trial is ended early: one alone says little."""
_SHARED = 2 / 3
"""Of the trials after the first ones: that part is shared among the candidates, the rest goes where it looks best."""
_REPEATS = 20
"""Settings in a row that were tried before: a small space is exhausted then."""
_CANDIDATE = "candidate"

Key = tuple[int, tuple[tuple[str, Value], ...]]


class Proposal:
    """A setting to try: the candidate's place, and its parameters."""

    def __init__(self, place: int, parameters: dict[str, Value], trial: Any = None, *, whole: bool = False) -> None:
        self.place = place
        self.parameters = parameters
        self.key: Key = (place, tuple(sorted(parameters.items())))
        self._trial = trial
        self._whole = whole

    def hopeless(self, fold: int, mean: float) -> bool:
        """Whether it may end after ``fold``, the mean of the scores so far being ``mean``."""
        if self._trial is None or not math.isfinite(mean):
            return False
        self._trial.report(mean, fold)
        return not self._whole and bool(self._trial.should_prune())


class Search:
    """Proposes ``request.trials`` settings, at least one a candidate: first each candidate's usual one; then they take
    turns, the more often the more parameters they have to search; at last, whatever looks best. The same answers give
    the same proposals. Without ``usual`` another search sees to the usual settings.
    """

    def __init__(self, request: RunRequest, candidates: Sequence[Candidate], *, usual: bool = True) -> None:
        self._candidates = candidates
        self._usual = usual
        self._spaces = [space_of(candidate) for candidate in candidates]
        self._fixed = [fixed_of(candidate) for candidate in candidates]
        self._searched = [place for place, space in enumerate(self._spaces) if space]
        self.trials = max(request.trials, len(candidates)) if self._searched else len(candidates)
        self._known: dict[Key, float] = {}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with _quiet():
            sampler = optuna.samplers.TPESampler(
                seed=request.seed,
                multivariate=True,
                group=True,
                n_startup_trials=min(_RANDOM, max(len(candidates), self.trials // 3)),
            )
        pruner = optuna.pruners.MedianPruner(max(_COMPLETE, len(self._searched)), n_warmup_steps=_FOLDS)
        self._study = optuna.create_study(
            direction="minimize" if request.metric in LOWER_IS_BETTER else "maximize",
            sampler=sampler,
            pruner=pruner if request.pruning == "Median" else optuna.pruners.NopPruner(),
        )

    def proposals(self) -> Iterator[Proposal]:
        """The settings, one after the other; each is to be answered by :meth:`told` before the next."""
        made, repeats = 0, 0
        for place, space in enumerate(self._spaces):
            if self._usual or not space:
                made += 1
                yield self._first(place) if space else Proposal(place, self._fixed[place])
        turns = iter(self._turns(round(_SHARED * (self.trials - made))))
        while made < self.trials and repeats < _REPEATS:
            if (turn := next(turns, None)) is not None:
                self._study.enqueue_trial({_CANDIDATE: turn})
            proposal = self._drawn()
            if proposal.key in self._known:
                repeats += 1
                self.told(proposal, self._known[proposal.key])
                continue
            made, repeats = made + 1, 0
            yield proposal

    def told(self, proposal: Proposal, score: float, *, pruned: bool = False) -> None:
        """What became of a proposal; NaN says that it failed."""
        self._known[proposal.key] = score
        trial = proposal._trial  # noqa: SLF001
        if trial is None:
            return
        if pruned:
            self._study.tell(trial, state=TrialState.PRUNED)
        elif math.isfinite(score):
            self._study.tell(trial, score)
        else:
            self._study.tell(trial, state=TrialState.FAIL)

    def _turns(self, count: int) -> list[int]:
        """The candidates' places in turn, each as often as its share of the searched parameters is."""
        given = dict.fromkeys(self._searched, 0)
        turns = []
        for _ in range(count):
            place = min(given, key=lambda each: (given[each] + 1) / len(self._spaces[each]))
            given[place] += 1
            turns.append(place)
        return turns

    def _first(self, place: int) -> Proposal:
        known = CATALOG[self._candidates[place].algorithm].parameters
        values = {_name(place, name): first_of(known[name], space) for name, space in self._spaces[place].items()}
        self._study.enqueue_trial({_CANDIDATE: place, **values})
        return self._drawn(whole=True)

    def _drawn(self, *, whole: bool = False) -> Proposal:
        with _quiet():
            trial = self._study.ask()
            place = trial.suggest_categorical(_CANDIDATE, self._searched)
            algorithm = self._candidates[place].algorithm
            drawn = {
                name: value_of(algorithm, name, _suggested(trial, _name(place, name), space, algorithm, name))
                for name, space in self._spaces[place].items()
            }
        return Proposal(place, {**self._fixed[place], **drawn}, trial, whole=whole)


def _name(place: int, parameter: str) -> str:
    return f"{place}.{parameter}"


def _suggested(trial: Any, label: str, space: SearchRange, algorithm: str, name: str) -> Any:
    if space.choices:
        return trial.suggest_categorical(label, space.choices)
    log = space.scale == "Log"
    if CATALOG[algorithm].parameters[name].kind == "Whole":
        low, step = round(space.low), max(round(space.step or 1), 1)
        return trial.suggest_int(label, low, max(low, round(space.high)), log=log, step=1 if log else step)
    return trial.suggest_float(label, space.low, space.high, log=log, step=None if log else space.step)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # A range whose steps do not reach its end exactly, and a first value between two steps, are no mistakes.
        warnings.simplefilter("ignore", UserWarning)
        yield
