"""The model in service on the rows that the new one is measured on."""

from collections.abc import Callable

import msgspec
import numpy as np

from perennial.contracts import objects
from perennial.contracts.request import Artifact, Champion, RunRequest
from perennial.contracts.result import METRICS, ChampionMetrics
from perennial.contracts.signature import Signature
from perennial_components.evaluate.bootstrap import gain
from perennial_components.evaluate.comparable import Trained, difference, untaken
from perennial_components.evaluate.held import Held
from perennial_components.evaluate.metrics import figures
from perennial_components.inference import answers_of
from perennial_components.split.encoding import encode
from perennial_components.storage import store_message

Read = Callable[[Artifact], bytes]


def compare(request: RunRequest, held: Held, signature: Signature, read: Read) -> ChampionMetrics:
    """The champion on the same held-out rows, encoded by its own signature, or why that says nothing."""
    champion = request.champion
    assert champion is not None  # noqa: S101 - the caller asks only when there is one
    if champion.split != request.split:
        return _inconclusive(
            champion, "its split settings differ: rows held out here may be among those it learned from"
        )
    try:
        its = msgspec.json.decode(read(champion.signature), type=Signature)
        model = read(champion.model)
        # Versions from before request.json was kept do not say how they were trained.
        trained = msgspec.json.decode(read(champion.request), type=Trained) if champion.request else None
    except (FileNotFoundError, objects.DigestMismatch, msgspec.DecodeError) as error:
        return _inconclusive(champion, f"its files cannot be used: {store_message(error)}")
    if (its.task, its.classes, its.target) != (signature.task, signature.classes, signature.target):
        return _inconclusive(champion, f"it predicts {its.target} as {', '.join(its.classes) or 'a number'}")
    absent = [item.name for item in its.inputs if item.name not in held.rows.columns]
    if absent:
        return _inconclusive(champion, f"its inputs {', '.join(absent)} are not in the data")
    if trained and (why := difference(trained, Trained(request.target, request.prepare), its, held.rows)):
        return _inconclusive(champion, why)
    if refused := list(untaken(its, held.rows)):
        return _inconclusive(champion, "; ".join(refused[:3]))
    try:
        answers = answers_of(its.task, model, encode(its, held.rows))
    except Exception as error:  # noqa: BLE001 - onnxruntime has many and no common one; a run is not to fail of any
        return _inconclusive(champion, f"it cannot be asked: {store_message(error)}")
    if answers.shape[1] != held.answers.shape[1] or not np.isfinite(answers).all():
        return _inconclusive(champion, "its answers are not those of its signature, or not finite")
    metric, least = champion.metric or request.metric, champion.min_improvement
    found = None
    if metric in METRICS[its.task]:
        found = gain(its, held.target, (held.answers, answers), metric, least, request.seed, held.groups)
    return ChampionMetrics(champion.version, figures(its, held.target, answers), len(held.target), gain=found)


def _inconclusive(champion: Champion, why: str) -> ChampionMetrics:
    return ChampionMetrics(champion.version, {}, 0, why)
