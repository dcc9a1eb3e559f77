"""One prediction, whatever protocol it came by: request in, response out, counted on the way."""

import logging

from perennial_serving.counters import Counters
from perennial_serving.feedback import Feedback
from perennial_serving.inputs import InputError
from perennial_serving.model import Model, ModelError
from perennial_serving.protocol import InferRequest, InferResponse, OutputTensor
from perennial_serving.settings import Settings

OUTPUTS = ("predicted", "probability", "feedback_token")
_logger = logging.getLogger(__name__)


class Refused(Exception):
    """No prediction: ``status`` is the HTTP code for it, ``message`` what the caller is told."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Inference:
    """The model with its counters and tokens, behind every protocol that the predictor speaks."""

    def __init__(self, *, settings: Settings, model: Model, counters: Counters, feedback: Feedback) -> None:
        self.settings, self.model, self.feedback = settings, model, feedback
        self._counters = counters

    async def infer(self, request: InferRequest) -> InferResponse:
        """The answer. Raises :class:`Refused`: 400 with all that is wrong, 500 when the model failed.

        A model's fault is logged, without what was sent.
        """
        try:
            wanted = self._wanted(request)
            rows = self.model.decoder.decode(request.inputs)
            prediction = self.model.predict(rows.matrix)
        except InputError as error:
            self._counters.invalid(error.invalid)
            raise Refused(400, str(error)) from None
        except ModelError:
            _logger.exception("a prediction failed")
            raise Refused(500, "the model could not answer; its log says why") from None
        self._counters.predictions(rows, prediction)
        shape = [len(prediction.predicted)]
        outputs = []
        for name in wanted:
            if name == "predicted":
                classes = self.model.signature.classes
                outputs.append(OutputTensor(name, shape, "BYTES", [classes[place] for place in prediction.predicted]))
            elif name == "probability":
                outputs.append(OutputTensor(name, shape, "FP64", prediction.probability))
            elif self.feedback.enabled:
                outputs.append(OutputTensor(name, shape, "BYTES", self.feedback.tokens(prediction.predicted)))
        return InferResponse(self.settings.model, self.settings.version, outputs, request.id)

    @staticmethod
    def _wanted(request: InferRequest) -> tuple[str, ...] | list[str]:
        if not request.outputs:
            return OUTPUTS
        wanted = [output.name for output in request.outputs]
        for name in wanted:
            if name not in OUTPUTS:
                raise InputError(f'unknown output "{name}"; there are "predicted", "probability" and "feedback_token"')
        return wanted
