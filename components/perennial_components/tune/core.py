"""Searches the parameters of every candidate, all on the same folds; the best setting is fitted on all training rows.

What is fitted depends on the rows alone, not on their order: they are put into one first. All numeric libraries work
with one thread meanwhile, for sums differ by the number of threads; folds of many rows are fitted side by side instead.
"""

import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline

from perennial.contracts.request import Candidate, RunRequest
from perennial.contracts.result import LOWER_IS_BETTER, METRICS, CandidateScore, Trial
from perennial.contracts.signature import Signature, by_column
from perennial_components.evaluate.metrics import score
from perennial_components.failure import RunError, nearest
from perennial_components.prepare.core import prepared, values
from perennial_components.records import Tuned
from perennial_components.split.folds import folds
from perennial_components.storage import Encoded, OutOfFold
from perennial_components.threads import single_threads, workers_for
from perennial_components.tune import shares
from perennial_components.tune.catalog import default_candidates
from perennial_components.tune.estimators import REFUSALS, fit, make
from perennial_components.tune.parameters import Value, recorded, require_known
from perennial_components.tune.search import Proposal, Search

Told = Callable[[int, int, float | None], None]
"""Is told of the trial that begins: its number, how many there are, and the best score so far."""
Places = NDArray[np.int64]


SEARCH_ROWS = 100_000
"""Of more training rows the search sees so many; the winner is then measured, and fitted, on all."""
_LEAST_OF_CLASS = 100


class _Work(msgspec.Struct, frozen=True):
    """What all trials share: the training rows in their order, and the folds of them."""

    request: RunRequest
    signature: Signature
    features: NDArray[np.float32]
    target: NDArray[Any]
    folds: list[tuple[Places, Places]]
    ends: float


class _Tried(msgspec.Struct, frozen=True):
    """A trial's record, and its predictions where it was complete."""

    place: int
    record: Trial
    answers: NDArray[np.float64] | None = None


def tune(
    request: RunRequest,
    signature: Signature,
    rows: Encoded,
    told: Told = lambda *_: None,
    found: Sequence[Tuned] = (),
) -> tuple[Pipeline, Tuned, OutOfFold]:
    """The fitted winner, every candidate's score with all trials, and the winner's out-of-fold predictions on the
    training rows, in the order of these. Nothing is searched where all shares of the search are ``found``.

    Raises RunError (TrainingFailed) for a metric or parameter that does not exist, and when every trial failed.
    """
    work, ordered, order, candidates = _begun(request, signature, rows)
    with single_threads(), warnings.catch_warnings():
        # The score shows what an unfinished fit is worth.
        warnings.simplefilter("ignore", ConvergenceWarning)
        best: _Tried | None
        if found:
            tuned = shares.merged(found, request.metric)
            best = _Tried(tuned.winner, shares.best(tuned, request.metric))
        else:
            best, tuned = _searched(_sample(work, ordered), candidates, Search(request, candidates), told)
        if best is None:
            raise RunError("TrainingFailed", tuned.trials[0].message)
        answers = np.empty((len(order), max(len(work.signature.classes), 1)))
        answers[order] = _all_answers(work, best)
        model = _fitted(work, best.record.algorithm, best.record.parameters, slice(None))
    return model, tuned, OutOfFold(target=rows.target[~rows.held], answers=answers)


def search(
    request: RunRequest,
    signature: Signature,
    rows: Encoded,
    place: tuple[int, int],
    told: Told = lambda *_: None,
) -> Tuned:
    """What one share of the search finds, which may be no complete trial: ``place`` is its number, from 0, and how many
    there are. All measure by the same folds. Raises RunError (TrainingFailed) for a metric or parameter that does not
    exist.
    """
    work, ordered, _, candidates = _begun(request, signature, rows)
    mine = shares.share(request, candidates, *place)
    asked = msgspec.structs.replace(request, trials=mine.trials, seed=mine.seed)
    with single_threads(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        proposals = Search(asked, mine.candidates, usual=mine.usual)
        return _searched(_sample(work, ordered), mine.candidates, proposals, told)[1]


def _begun(
    request: RunRequest, signature: Signature, rows: Encoded
) -> tuple[_Work, Encoded, Places, tuple[Candidate, ...]]:
    """The work, the training rows in their order and the places that they came from, and the candidates."""
    # What is served prepares the values itself: models are fitted on what comes of that.
    rows = msgspec.structs.replace(rows, features=values(request, signature, rows.features))
    signature = prepared(signature, request)
    signature = msgspec.structs.replace(signature, inputs=by_column(signature.inputs))
    known = METRICS[request.task]
    if request.metric not in known:
        said = f"{request.task} has no metric {request.metric!r}{nearest(request.metric, known)}"
        raise RunError("TrainingFailed", said)
    trained = int(np.sum(~rows.held))
    candidates = request.candidates or default_candidates(request.task, trained)
    if request.replay:
        candidates = (recorded(request.replay),)
    for candidate in candidates:
        require_known(candidate, request.task)
    ordered, order = in_order(rows, request.seed)
    ends = time.monotonic() + request.timeout if request.timeout and not request.replay else math.inf
    work = _Work(request, signature, ordered.features, ordered.target, folds(ordered, request), ends)
    return work, ordered, order, candidates


def in_order(rows: Encoded, seed: int) -> tuple[Encoded, Places]:
    """The training rows in an order that depends on their content and ``seed`` alone, and the places they came from.

    Sorted first, so that it is one order whatever it was, then shuffled: some estimators cut rows as they stand.
    """
    features, target = rows.features[~rows.held], rows.target[~rows.held]
    order = np.lexsort([*features.T, target])
    order = order[np.random.default_rng(seed).permutation(len(order))]
    groups = None if rows.groups is None else rows.groups[~rows.held][order]
    return Encoded(features[order], target[order], np.zeros(len(order), dtype=bool), groups), order


def _sample(work: _Work, ordered: Encoded) -> _Work:
    """The work on as many rows as a search needs: of more than ``SEARCH_ROWS`` the first ones, which are drawn at
    random; all of them where a class would be left with next to none.
    """
    if len(ordered.target) <= SEARCH_ROWS:
        return work
    groups = None if ordered.groups is None else ordered.groups[:SEARCH_ROWS]
    few = Encoded(ordered.features[:SEARCH_ROWS], ordered.target[:SEARCH_ROWS], ordered.held[:SEARCH_ROWS], groups)
    if work.signature.classes:
        counts = np.bincount(few.target, minlength=len(work.signature.classes))
        if counts.min() < _LEAST_OF_CLASS:
            return work
    return msgspec.structs.replace(work, features=few.features, target=few.target, folds=folds(few, work.request))


def _all_answers(work: _Work, best: _Tried) -> NDArray[np.float64]:
    """The winner's out-of-fold predictions on all training rows. Raises RunError (TrainingFailed)."""
    if best.answers is not None and len(best.answers) == len(work.target):
        return best.answers
    algorithm, parameters = best.record.algorithm, best.record.parameters
    answers = np.empty((len(work.target), max(len(work.signature.classes), 1)))
    try:
        for (_, test), predicted in _predicted(work, algorithm, parameters):
            answers[test] = predicted
    except REFUSALS as error:
        said = f"{algorithm} refuses {parameters} on all rows: {' '.join(str(error).split())}"
        raise RunError("TrainingFailed", said) from error
    return answers


def _searched(
    work: _Work, candidates: tuple[Candidate, ...], search: Search, told: Told
) -> tuple[_Tried | None, Tuned]:
    """Runs the search: the best trial, if one was complete, and the account of all."""
    request = work.request
    tried: list[Trial] = []
    counts: Counter[int] = Counter()
    tops: dict[int, _Tried] = {}
    best: _Tried | None = None
    for proposal in search.proposals():
        if best and time.monotonic() > work.ends:
            break
        told(len(tried) + 1, search.trials, best.record.score if best else None)
        found = _try(work, len(tried) + 1, candidates[proposal.place].algorithm, proposal, started=best is not None)
        tried.append(found.record)
        counts[found.place] += 1
        search.told(proposal, _number(found.record.score), pruned=found.record.state == "Pruned")
        if found.record.state != "Complete":
            continue
        if best is None or _rank(request.metric, found) > _rank(request.metric, best):
            best = found
        if found.place not in tops or _rank(request.metric, found) > _rank(request.metric, tops[found.place]):
            tops[found.place] = msgspec.structs.replace(found, answers=None)
    places = sorted(tops)
    scores = tuple(_score_of(tops[place].record, counts[place]) for place in places)
    winner = places.index(best.place) if best else 0
    return best, Tuned(candidates=scores, winner=winner, trials=tuple(tried))


def _try(work: _Work, number: int, algorithm: str, proposal: Proposal, *, started: bool) -> _Tried:
    """One trial: fold after fold, until it is complete, hopeless or refused by the estimator. The time may be up only
    where another trial is complete (``started``).
    """
    began, request, signature = time.monotonic(), work.request, work.signature
    answers = np.zeros((len(work.target), max(len(signature.classes), 1)))
    found: list[float] = []
    said = ""
    try:
        for (_, test), predicted in _predicted(work, algorithm, proposal.parameters):
            answers[test] = predicted
            found.append(score(request.metric, work.target[test], predicted, signature.positive))
            if len(found) == len(work.folds):
                break
            if proposal.hopeless(len(found), _mean(found)):
                said = "worse than the median of the trials before"
            elif started and time.monotonic() > work.ends:
                said = "the time was up"
            if said:
                break
    except REFUSALS as error:
        record = Trial(number, algorithm, proposal.parameters, "Failed", seconds=_since(began))
        said = f"{algorithm} refuses {proposal.parameters}: {' '.join(str(error).split())}"
        return _Tried(proposal.place, msgspec.structs.replace(record, message=said))
    defined = [value for value in found if math.isfinite(value)]
    if not defined:
        why = "its target does not vary there, or is 0" if request.task == "Regression" else "some hold a single class"
        said = f"{request.metric} is undefined in every fold: {why}"
        record = Trial(number, algorithm, proposal.parameters, "Failed", seconds=_since(began), message=said)
        return _Tried(proposal.place, record)
    record = Trial(
        number=number,
        algorithm=algorithm,
        parameters=proposal.parameters,
        state="Pruned" if said else "Complete",
        score=_mean(found),
        deviation=float(np.std(defined)),
        folds=tuple(defined),
        seconds=_since(began),
        message=said,
    )
    print(f"trial {number}: {algorithm} {proposal.parameters}: {request.metric} {record.score:.4f} {said}".rstrip())
    return _Tried(proposal.place, record, None if said else answers)


def _predicted(
    work: _Work, algorithm: str, parameters: dict[str, Value]
) -> Iterator[tuple[tuple[Places, Places], NDArray[Any]]]:
    """The folds in their order, each with the predictions for its test rows."""

    def answers(fold: tuple[Places, Places]) -> NDArray[Any]:
        model = _fitted(work, algorithm, parameters, fold[0])
        if work.signature.task == "Regression":
            return np.asarray(model.predict(work.features[fold[1]])).reshape(-1, 1)
        return np.asarray(model.predict_proba(work.features[fold[1]]))

    workers = min(workers_for(len(work.target)), len(work.folds))
    if workers == 1:
        yield from ((fold, answers(fold)) for fold in work.folds)
        return
    with ThreadPoolExecutor(workers, initializer=single_threads) as pool:
        ahead: list[Future[NDArray[Any]]] = [pool.submit(answers, fold) for fold in work.folds[:workers]]
        try:
            for place, fold in enumerate(work.folds):
                yield fold, ahead[place].result()
                if place + workers < len(work.folds):
                    ahead.append(pool.submit(answers, work.folds[place + workers]))
        finally:
            for future in ahead:
                future.cancel()


def _fitted(work: _Work, algorithm: str, parameters: dict[str, Value], places: Any) -> Pipeline:
    request = work.request
    features = work.features[places]
    model = make(
        algorithm,
        parameters,
        work.signature,
        features,
        weight=request.imbalance,
        seed=request.seed,
        preprocessing=request.preprocessing,
    )
    return fit(model, algorithm, features, work.target[places], weight=request.imbalance, seed=request.seed)


def _score_of(record: Trial, trials: int) -> CandidateScore:
    return CandidateScore(record.algorithm, record.parameters, _number(record.score), record.deviation or 0.0, trials)


def _rank(metric: str, tried: _Tried) -> float:
    value = _number(tried.record.score)
    return -value if metric in LOWER_IS_BETTER else value


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _mean(values: list[float]) -> float:
    defined = [value for value in values if math.isfinite(value)]
    return float(np.mean(defined)) if defined else math.nan


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
