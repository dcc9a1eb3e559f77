"""A custom runtime of MLServer that runs ONNX."""

from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from rows import OnnxModel


class Onnx(MLModel):
    """Serves ``model.onnx`` of the folder that the model's settings name."""

    async def load(self) -> bool:
        """Reads the model."""
        self._model = OnnxModel(Path(self.settings.parameters.uri))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The classes of a request's rows."""
        predicted = self._model.predict({item.name: list(item.data) for item in payload.inputs})
        return InferenceResponse(model_name=self.name, outputs=[StringCodec.encode_output("predict", predicted)])
