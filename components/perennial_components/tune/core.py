"""A seeded random search over the candidates, all on the same folds; the best is fitted on all training rows."""

import math
import warnings
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import Pipeline

from perennial.contracts.request import Candidate, RunRequest, SearchRange
from perennial.contracts.result import LOWER_IS_BETTER, METRICS, CandidateScore
from perennial.contracts.signature import Signature
from perennial_components.evaluate.metrics import score
from perennial_components.failure import RunError, nearest
from perennial_components.records import Tuned
from perennial_components.storage import Encoded, OutOfFold
from perennial_components.tune.estimators import Value, as_parameter, make, require_known


class _Trial(msgspec.Struct, frozen=True):
    parameters: dict[str, Value]
    score: float
    deviation: float
    answers: NDArray[np.float64]


def tune(request: RunRequest, signature: Signature, rows: Encoded) -> tuple[Pipeline, Tuned, OutOfFold]:
    """The fitted winner, every candidate's score, and the winner's out-of-fold predictions on the training rows.

    Raises RunError (TrainingFailed) for a metric or parameter that does not exist and for values an estimator refuses.
    """
    known = METRICS[request.task]
    if request.metric not in known:
        said = f"{request.task} has no metric {request.metric!r}{nearest(request.metric, known)}"
        raise RunError("TrainingFailed", said)
    for candidate in request.candidates:
        require_known(candidate, request.task)
    features, target = rows.features[~rows.held], rows.target[~rows.held]
    kind = KFold if request.task == "Regression" else StratifiedKFold
    folds = kind(request.folds, shuffle=True, random_state=request.seed)
    places = list(folds.split(features, target))
    best: list[_Trial] = []
    scores: list[CandidateScore] = []
    for index, trials in enumerate(shares(request.candidates, request.trials)):
        candidate = request.candidates[index]
        draws = list(parameters_of(candidate, trials, (request.seed, index)))
        tried = [_cross_validate(request, signature, candidate, draw, features, target, places) for draw in draws]
        top = max(tried, key=lambda trial: _rank(request.metric, trial.score))
        best.append(top)
        scores.append(CandidateScore(candidate.algorithm, top.parameters, top.score, top.deviation, len(tried)))
        print(f"{candidate.algorithm}: {request.metric} {top.score:.4f} ± {top.deviation:.4f}, {top.parameters}")
    winner = max(range(len(best)), key=lambda i: _rank(request.metric, best[i].score))
    if not math.isfinite(best[winner].score):
        why = "its target does not vary there, or is 0" if request.task == "Regression" else "some hold a single class"
        raise RunError("TrainingFailed", f"{request.metric} is undefined in every fold: {why}")
    model = _fit(request, signature, request.candidates[winner].algorithm, best[winner].parameters, features, target)
    out_of_fold = OutOfFold(target=target, answers=best[winner].answers)
    return model, Tuned(candidates=tuple(scores), winner=winner), out_of_fold


def shares(candidates: tuple[Candidate, ...], trials: int) -> list[int]:
    """How many of ``trials`` each candidate gets: 1 where nothing is searched, the rest in equal parts, at least 1."""
    searched = [i for i, candidate in enumerate(candidates) if candidate.search]
    left = max(trials - (len(candidates) - len(searched)), len(searched))
    counts = [1] * len(candidates)
    for order, index in enumerate(searched):
        counts[index] = left // len(searched) + (order < left % len(searched))
    return counts


def parameters_of(candidate: Candidate, trials: int, seed: tuple[int, int]) -> Iterator[dict[str, Value]]:
    """``trials`` settings: fixed parameters, and searched ones by Latin hypercube (each value in its own stratum)."""
    random = np.random.default_rng(seed)
    names = sorted(candidate.search)
    strata = {name: (random.permutation(trials) + random.random(trials)) / trials for name in names}
    fixed = {n: as_parameter(candidate.algorithm, n, value) for n, value in sorted(candidate.parameters.items())}
    for trial in range(trials):
        drawn = {
            name: as_parameter(candidate.algorithm, name, _at(candidate.search[name], float(strata[name][trial])))
            for name in names
        }
        yield {**fixed, **drawn}


def _at(span: SearchRange, share: float) -> float:
    if span.scale == "Log":
        if span.low <= 0:
            raise RunError("TrainingFailed", f"a range on a Log scale must start above 0, not at {span.low:g}")
        return float(span.low * (span.high / span.low) ** share)
    return span.low + (span.high - span.low) * share


def _cross_validate(
    request: RunRequest,
    signature: Signature,
    candidate: Candidate,
    parameters: dict[str, Value],
    features: NDArray[np.float32],
    target: NDArray[Any],
    places: list[tuple[Any, Any]],
) -> _Trial:
    answers = np.zeros((len(target), max(len(signature.classes), 1)))
    found = []
    for fit, test in places:
        model = _fit(request, signature, candidate.algorithm, parameters, features[fit], target[fit])
        answers[test] = _answers(model, signature, features[test])
        found.append(score(request.metric, target[test], answers[test], signature.positive))
    defined = np.array([value for value in found if math.isfinite(value)] or [math.nan])
    return _Trial(parameters, float(defined.mean()), float(defined.std()), answers)


def _answers(model: Pipeline, signature: Signature, features: NDArray[np.float32]) -> Any:
    if signature.task == "Regression":
        return model.predict(features).reshape(-1, 1)
    return model.predict_proba(features)


def _fit(
    request: RunRequest,
    signature: Signature,
    algorithm: str,
    parameters: dict[str, Value],
    features: NDArray[np.float32],
    target: NDArray[Any],
) -> Pipeline:
    model = make(algorithm, parameters, signature, features, weight=request.imbalance, seed=request.seed)
    try:
        with warnings.catch_warnings():
            # The score shows what an unfinished fit is worth.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(features, target)
    except ValueError as error:
        raise RunError("TrainingFailed", f"{algorithm} refuses {parameters}: {error}") from error


def _rank(metric: str, value: float) -> float:
    if not math.isfinite(value):
        return -math.inf
    return -value if metric in LOWER_IS_BETTER else value
