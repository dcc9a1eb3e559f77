"""Scoring requests, those that come together together: eight rows cost the runtime little more than one.

Nothing ever waits for company. What has arrived when a turn of the event loop brings nothing more is scored then; a
model that is scored aside, in its thread, takes all that came while it was busy.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from math import inf
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from perennial_serving.counters import Counters
from perennial_serving.inputs import MANY_ROWS, Rows
from perennial_serving.model import Model, Prediction
from perennial_serving.scorers import ModelError
from perennial_serving.state import State

_MAX_REQUESTS = 32
"""Of a batch: bounds what the first of its requests waits for the others."""
_TRIED = 8
_WORTH = 0.7
"""Together, rows must take less than this share of their time one by one."""
_TRIAL_SECONDS = 0.02
_logger = logging.getLogger(__name__)


class Late(Exception):
    """The request's deadline has passed."""


_Request = tuple[Rows, float, "asyncio.Future[Prediction]"]
"""What is asked, its deadline (s, ``perf_counter``), and where the answer is awaited."""


class Scored(NamedTuple):
    """``matrix`` [N,F] of the requests that could be scored, their ``prediction``, and the ``failed`` by place."""

    matrix: NDArray[np.float64]
    prediction: Prediction
    failed: dict[int, ModelError]


def score(model: Model, blocks: Sequence[Rows]) -> Scored:
    """Scores all ``blocks`` at once, and one by one when that fails: one request's fault is no other's."""
    matrix = _matrix(blocks)
    try:
        return Scored(matrix, model.predict(matrix), {})
    except ModelError as error:
        if len(blocks) == 1:
            return Scored(matrix[:0], Prediction([], [], []), {0: error})
    good, together, failed = [matrix[:0]], Prediction([], [], []), {}
    for place, block in enumerate(blocks):
        alone = score(model, [block])
        if alone.failed:
            failed[place] = alone.failed[0]
        good.append(alone.matrix)
        together.extend(alone.prediction)
    return Scored(np.concatenate(good), together, failed)


def _matrix(blocks: Sequence[Rows]) -> NDArray[np.float64]:
    if len(blocks) == 1:
        return np.asarray(blocks[0], dtype=np.float64)
    if any(isinstance(block, np.ndarray) for block in blocks):
        return np.concatenate([np.asarray(block, dtype=np.float64) for block in blocks])
    return np.array([row for block in blocks for row in block], dtype=np.float64)


def pays(model: Model, example: Rows) -> bool:
    """Whether ``model`` scores rows faster together, by trial with one row, ``example``."""

    def best(rows: int) -> float:
        """The least of a few times (s)."""
        matrix = np.repeat(np.array(example, dtype=np.float64), rows, 0)
        times, ends = [inf], perf_counter() + _TRIAL_SECONDS
        while len(times) < 20 and (len(times) < 3 or perf_counter() < ends):
            began = perf_counter()
            model.predict(matrix)
            times.append(perf_counter() - began)
        return min(times)

    one, more = best(1), best(_TRIED)
    worth = more < _WORTH * _TRIED * one
    how = "together" if worth else "one by one"
    message = "1 row takes %.0f µs, %d take %.0f: what comes together is scored %s"
    _logger.info(message, one * 1e6, _TRIED, more * 1e6, how)
    return worth


def batcher(model: Model, counters: Counters, state: State) -> "Batcher":
    """The batcher that suits ``model``."""
    if model.scorer.aside:
        aside = ThreadPoolExecutor(1, "model")
        return Batcher(model, counters, state, together=True, aside=aside)
    return Batcher(model, counters, state, together=not model.scorer.row_by_row and pays(model, model.example()))


class Batcher:
    """Scores what was asked, and counts it."""

    def __init__(
        self, model: Model, counters: Counters, state: State, *, together: bool, aside: Executor | None = None
    ) -> None:
        """``together``: batches pay. ``aside``: a single thread for a model too slow for the event loop's."""
        self._model, self._counters, self._state = model, counters, state
        self._together, self._aside = together, aside
        self._requests: list[_Request] = []
        self._busy = False

    async def predict(self, rows: Rows, until: float) -> Prediction:
        """The prediction for ``rows``, counted. ``until`` (s, ``perf_counter``): the deadline.

        Raises :class:`Late` and ModelError.
        """
        if self._aside is None and (not self._together or self._state.waiting() < 2 or len(rows) >= MANY_ROWS):
            return self._alone(rows, until)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Prediction] = loop.create_future()
        self._requests.append((rows, until, answer))
        if self._aside is None:
            if len(self._requests) == 1:
                loop.call_soon(self._flush, loop, 1)
            return await answer
        self._next(loop, self._aside)
        try:
            async with asyncio.timeout(None if until == inf else until - perf_counter()):
                return await answer
        except TimeoutError:
            raise Late from None

    def _alone(self, rows: Rows, until: float) -> Prediction:
        if perf_counter() > until:
            raise Late
        matrix = np.asarray(rows, dtype=np.float64)
        prediction = self._model.predict(matrix)
        if perf_counter() > until:
            raise Late
        self._counters.predictions(matrix, prediction)
        return prediction

    def _flush(self, loop: asyncio.AbstractEventLoop, seen: int) -> None:
        """Scores what has come, once a turn of the loop brings nothing more; ``seen`` had come at the last look."""
        came = len(self._requests)
        if seen < came < _MAX_REQUESTS:
            loop.call_soon(self._flush, loop, came)
            return
        requests, self._requests = _in_time(self._requests), []
        for start in range(0, len(requests), _MAX_REQUESTS):
            batch = requests[start : start + _MAX_REQUESTS]
            self._answer(batch, partial(score, self._model, [rows for rows, _, _ in batch]))

    def _next(self, loop: asyncio.AbstractEventLoop, aside: Executor) -> None:
        """Gives the thread what has come, if it is free."""
        if self._busy:
            return
        self._requests = _in_time(self._requests)
        batch, self._requests = self._requests[:_MAX_REQUESTS], self._requests[_MAX_REQUESTS:]
        if not batch:
            return

        def finished(scored: "asyncio.Future[Scored]") -> None:
            self._busy = False
            self._answer(batch, scored.result)
            self._next(loop, aside)

        self._busy = True
        loop.run_in_executor(aside, score, self._model, [rows for rows, _, _ in batch]).add_done_callback(finished)

    def _answer(self, requests: Sequence[_Request], scored: Callable[[], Scored]) -> None:
        """Delivers what ``scored`` gives; whatever fails, nobody is left waiting."""
        try:
            self._deliver(requests, scored())
        except Exception as error:  # noqa: BLE001 - told to each of the callers, who are 500s
            failure = ModelError(f"the batch could not be scored: {error}")
            failure.__cause__ = error
            for _, _, answer in requests:
                _fail(answer, failure)

    def _deliver(self, requests: Sequence[_Request], scored: Scored) -> None:
        """Answers ``requests``, and counts what could be answered in time."""
        matrix, prediction, failed = scored
        now, end, unanswered = perf_counter(), 0, list[int]()
        for place, (rows, until, answer) in enumerate(requests):
            if failed and place in failed:
                _fail(answer, failed[place])
                continue
            begin, end = end, end + len(rows)
            if now <= until and not answer.done():
                answer.set_result(prediction.part(begin, end))
            else:
                _fail(answer, Late())
                unanswered.extend(range(begin, end))
        if unanswered:
            kept = sorted({*range(end)}.difference(unanswered))
            matrix, prediction = matrix[kept], prediction.only(kept)
        self._counters.predictions(matrix, prediction)


def _in_time(requests: list[_Request]) -> list[_Request]:
    """Those whose deadline has not passed and whose caller still waits; the others are told."""
    now = perf_counter()
    for _, until, answer in requests:
        if now > until:
            _fail(answer, Late())
    return [request for request in requests if not request[2].done()]


def _fail(answer: "asyncio.Future[Prediction]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
