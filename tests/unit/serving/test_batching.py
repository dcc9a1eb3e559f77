"""What comes together is scored together, and nobody pays for another's request."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from perennial_serving import batching
from perennial_serving.batching import Batcher, Late, pays
from perennial_serving.counters import Counters
from perennial_serving.inputs import Rows
from perennial_serving.model import Model, Prediction
from perennial_serving.scorers import ModelError
from perennial_serving.state import State
from tests.unit.serving.support import total

BAD = 999.0


class Ages:
    """A model whose probability is the first feature over 100; it fails on :data:`BAD` and notes what it was asked."""

    file, row_by_row = "model.onnx", False

    def __init__(self, during: Callable[[int], None] = lambda _: None, *, aside: bool = False) -> None:
        self.asked: list[int] = []
        self.aside = aside
        self._during = during

    def probabilities(self, matrix: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        self.asked.append(len(matrix))
        self._during(len(matrix))
        if (matrix[:, 0] == BAD).any():
            raise ValueError("no such age")
        positive = matrix[:, 0].astype(np.float64) / 100
        return np.column_stack((1 - positive, positive))


def patient(age: float) -> Rows:
    return [[age, *[nan] * 5, *[-1.0] * 7]]


def batcher(scorer: Ages, model: Model, counters: Counters, waiting: int = 8, **more: Any) -> Batcher:
    state = State()
    state.waiting = lambda: waiting
    return Batcher(Model(scorer, model.signature, model.baseline), counters, state, **{"together": True} | more)


async def ask(asked: Batcher, *ages: float, until: float = inf) -> list[Prediction | BaseException]:
    return await asyncio.gather(*(asked.predict(patient(age), until) for age in ages), return_exceptions=True)


def answered(counters: Counters) -> float:
    return total(counters.render(scraper=False).decode(), "perennial_predictions_total")


async def test_requests_of_one_turn_are_one_call_and_each_gets_its_own(model: Model, counters: Counters) -> None:
    scorer = Ages()
    found = await ask(batcher(scorer, model, counters), 10, 20, 90)
    assert scorer.asked == [3]
    assert [item.positive for item in found if isinstance(item, Prediction)] == [
        pytest.approx([0.1]), pytest.approx([0.2]), pytest.approx([0.9]),
    ]  # fmt: skip
    assert [item.predicted for item in found if isinstance(item, Prediction)] == [[0], [0], [1]]
    assert answered(counters) == 3


async def test_a_crowd_is_scored_in_bounded_batches(model: Model, counters: Counters) -> None:
    scorer = Ages()
    await ask(batcher(scorer, model, counters), *range(70))
    assert scorer.asked == [32, 32, 6]
    assert answered(counters) == 70


async def test_one_bad_request_fails_alone(model: Model, counters: Counters) -> None:
    scorer = Ages()
    good, bad, fine = await ask(batcher(scorer, model, counters), 10, BAD, 30)
    assert isinstance(bad, ModelError)
    assert isinstance(good, Prediction)
    assert isinstance(fine, Prediction)
    assert (good.positive, fine.positive) == (pytest.approx([0.1]), pytest.approx([0.3]))
    assert scorer.asked == [3, 1, 1, 1]
    assert answered(counters) == 2


@pytest.mark.parametrize(("waiting", "together"), [(1, True), (8, False)])
async def test_who_is_alone_or_gains_nothing_does_not_wait_a_turn(
    waiting: int, together: bool, model: Model, counters: Counters
) -> None:
    scorer = Ages()
    asked = batcher(scorer, model, counters, waiting, together=together)
    coroutine = asked.predict(patient(10), inf)
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    assert ended.value.value.positive == pytest.approx([0.1])
    await ask(asked, 10, 20)
    assert scorer.asked == [1, 1, 1]


async def test_what_is_late_already_is_not_scored(model: Model, counters: Counters) -> None:
    scorer = Ages()
    asked = batcher(scorer, model, counters)
    late, good = await asyncio.gather(
        asked.predict(patient(10), 0.0), asked.predict(patient(20), inf), return_exceptions=True
    )
    assert isinstance(late, Late)
    assert isinstance(good, Prediction)
    assert scorer.asked == [1]
    assert answered(counters) == 1


async def test_what_became_late_is_neither_answered_nor_counted(
    model: Model, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(batching, "perf_counter", lambda: now[0])

    def take_a_second(_: int) -> None:
        now[0] += 1

    asked = batcher(Ages(take_a_second), model, counters)
    late, good = await asyncio.gather(
        asked.predict(patient(10), 0.5), asked.predict(patient(20), 5), return_exceptions=True
    )
    assert isinstance(late, Late)
    assert isinstance(good, Prediction)
    assert good.positive == pytest.approx([0.2])
    assert answered(counters) == 1
    (alone,) = await ask(batcher(Ages(take_a_second), model, counters, 1), 10, until=1.5)
    assert isinstance(alone, Late)
    assert answered(counters) == 1


async def test_a_slow_model_keeps_the_loop_free_and_takes_what_came_meanwhile(model: Model, counters: Counters) -> None:
    busy, go = threading.Event(), threading.Event()

    def wait(_: int) -> None:
        busy.set()
        assert go.wait(20)

    scorer = Ages(wait, aside=True)
    with ThreadPoolExecutor(1) as thread:
        asked = batcher(scorer, model, counters, aside=thread)
        first = asyncio.create_task(ask(asked, 10))
        await asyncio.to_thread(busy.wait)
        others = asyncio.create_task(ask(asked, 20, 30, BAD))
        (late,) = await ask(asked, 40, until=batching.perf_counter() + 0.01)  # the loop goes on meanwhile
        assert isinstance(late, Late)
        go.set()
        await first
        one, two, bad = await others
    assert scorer.asked == [1, 3, 1, 1, 1]
    assert isinstance(one, Prediction)
    assert isinstance(two, Prediction)
    assert isinstance(bad, ModelError)
    assert (one.positive, two.positive) == (pytest.approx([0.2]), pytest.approx([0.3]))
    assert answered(counters) == 3


@pytest.mark.parametrize("aside", [True, False])
@pytest.mark.parametrize("broken", ["shape", "counters"])
async def test_whatever_fails_every_caller_hears_of_it(
    broken: str, aside: bool, model: Model, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = Ages(aside=aside)
    with monkeypatch.context() as patch, ThreadPoolExecutor(1) as thread:
        asked = batcher(scorer, model, counters, aside=thread if aside else None)
        if broken == "shape":
            patch.setattr(scorer, "probabilities", lambda matrix: np.zeros(len(matrix)))
        else:
            patch.setattr(counters, "predictions", lambda *_: 1 / 0)
        first, second = await asyncio.wait_for(asyncio.gather(ask(asked, 10, 20), ask(asked, 30)), 10)
        if broken == "shape":
            assert all(isinstance(found, ModelError) for found in (*first, *second))
        patch.undo()
        (again,) = await asyncio.wait_for(ask(asked, 40), 10)
        assert isinstance(again, Prediction), "those who come later are served"


async def test_a_batch_that_cannot_be_put_together_is_the_models_failure(model: Model, counters: Counters) -> None:
    asked = batcher(Ages(), model, counters)
    ragged: Rows = [[1.0]]
    found = await asyncio.wait_for(
        asyncio.gather(asked.predict(patient(10), inf), asked.predict(ragged, inf), return_exceptions=True), 10
    )
    assert [type(item) for item in found] == [ModelError, ModelError]


@pytest.mark.parametrize(("cost", "worth"), [(lambda rows: 20 + 2 * rows, True), (lambda rows: 20 * rows, False)])
def test_batches_are_for_models_that_gain_by_them(
    cost: Callable[[int], int], worth: bool, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(batching, "perf_counter", lambda: now[0])

    def take(rows: int) -> None:
        now[0] += cost(rows) * 1e-6

    assert pays(Model(Ages(take), model.signature, model.baseline), patient(50)) is worth
