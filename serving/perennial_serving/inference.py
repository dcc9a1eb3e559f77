"""One prediction, whatever protocol it came by: request in, response out, counted on the way."""

import logging
from math import inf
from time import perf_counter

from perennial.contracts.signature import Task
from perennial_serving.batching import Batcher, Late
from perennial_serving.counters import Counters
from perennial_serving.feedback import Feedback
from perennial_serving.inputs import InputError, Rows
from perennial_serving.mirror import Headers, Mirror, is_copy
from perennial_serving.model import Model, Prediction
from perennial_serving.protocol import InferRequest, InferResponse, OutputTensor
from perennial_serving.scorers import ModelError
from perennial_serving.settings import Settings
from perennial_serving.usual import UsualWriter, reader

FAILED = "the predictor could not answer; its log says why"
"""What is told of an error that nobody foresaw."""
OUTPUTS: dict[Task, tuple[str, ...]] = {
    "Classification": ("predicted", "probability", "feedback_token"),
    "Regression": ("prediction", "feedback_token"),
}
"""What is answered, by task."""
_logger = logging.getLogger(__name__)


class Refused(Exception):
    """No prediction: ``status`` is the HTTP code for it, ``message`` what the caller is told."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Inference:
    """The model with its counters and tokens, behind every protocol that the predictor speaks."""

    def __init__(
        self,
        *,
        settings: Settings,
        model: Model,
        counters: Counters,
        batcher: Batcher,
        feedback: Feedback,
        mirror: Mirror,
    ) -> None:
        self.settings, self.model, self.feedback, self._mirror = settings, model, feedback, mirror
        self._counters, self._batcher = counters, batcher
        self._reader = reader(model.signature)
        self._writer = UsualWriter(settings.model, settings.version, model.signature.classes)
        self._deadline = settings.deadline_seconds or inf

    async def usual(self, body: bytes, headers: Headers, began: float) -> bytes | None:
        """The answer's body to the usual request, at the least cost; None when :meth:`infer` is to be asked.

        ``body`` is a v2 request (JSON). Parameters and what is raised as for :meth:`infer`.
        """
        if (request := self._reader.read(body)) is None:
            return None
        prediction = await self._predict([request.row], began)
        predicted, copied = prediction.predicted, is_copy(headers)
        if self._mirror.stream is not None and not copied:
            self._mirror.stream.offer(body, prediction, headers, len(body))
        token = self.feedback.token(prediction) if self.feedback.enabled and not copied else None
        return self._writer.write(predicted[0], prediction.probability[0], token, request.id)

    async def infer(
        self, request: InferRequest, headers: Headers = (), began: float | None = None, size: int = 0
    ) -> InferResponse:
        """The answer. Raises :class:`Refused`: 400 with all that is wrong, 500 when the model failed, 504 when the
        deadline has passed.

        ``headers``: the caller's. A request that was mirrored to us gets no feedback token: its labels will belong to
        the version that answered the caller. ``began`` (s, ``perf_counter``): when the request came, if not just now.
        ``size``: its bytes.
        """
        try:
            wanted = self._wanted(request)
            rows = self.model.decoder.decode(request.inputs)
        except InputError as error:
            self._counters.invalid(error.invalid)
            raise Refused(400, str(error)) from None
        prediction = await self._predict(rows, perf_counter() if began is None else began)
        copied = is_copy(headers)
        shape = [len(prediction.predicted)]
        outputs = []
        for name in wanted:
            if name == "predicted":
                classes = self.model.signature.classes
                outputs.append(OutputTensor(name, shape, "BYTES", [classes[place] for place in prediction.predicted]))
            elif name in {"probability", "prediction"}:
                outputs.append(OutputTensor(name, shape, "FP64", prediction.probability))
            elif self.feedback.enabled and not copied:
                outputs.append(OutputTensor(name, shape, "BYTES", self.feedback.tokens(prediction)))
        if self._mirror.stream is not None and not copied:
            self._mirror.stream.offer(request, prediction, headers, size)
        return InferResponse(self.settings.model, self.settings.version, outputs, request.id)

    async def _predict(self, rows: Rows, began: float) -> Prediction:
        """The prediction, counted. A model's fault is logged, without what was sent."""
        try:
            return await self._batcher.predict(rows, began + self._deadline)
        except ModelError:
            _logger.exception("a prediction failed")
            raise Refused(500, "the model could not answer; its log says why") from None
        except Late:
            raise Refused(504, f"there was no answer within {self._deadline:g} s") from None

    def _wanted(self, request: InferRequest) -> tuple[str, ...] | list[str]:
        known = OUTPUTS[self.model.signature.task]
        if not request.outputs:
            return known
        wanted = [output.name for output in request.outputs]
        for name in wanted:
            if name not in known:
                there = ", ".join(f'"{each}"' for each in known)
                raise InputError(f'unknown output "{name}"; there are {there}')
        return wanted
