"""KServe's Python server with one model: ``python kserve_server.py sklearn|onnx FOLDER PORT``."""

import sys
from pathlib import Path
from typing import Any

import joblib
from kserve import Model, ModelServer
from kserve.utils.utils import get_predict_input, get_predict_response
from rows import OnnxModel

MODEL = "heart-disease"


class Sklearn(Model):
    """As KServe's own scikit-learn server does it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(MODEL)
        self._model = joblib.load(folder / "model.joblib")
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """The classes of a request's rows."""
        return get_predict_response(payload, self._model.predict(get_predict_input(payload)), self.name)


class Onnx(Model):
    """A custom model that runs ONNX."""

    def __init__(self, folder: Path) -> None:
        super().__init__(MODEL)
        self._model = OnnxModel(folder)
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """The classes of a request's rows."""
        columns = {item.name: item.data for item in payload.inputs}
        return get_predict_response(payload, self._model.predict(columns), self.name)


if __name__ == "__main__":
    kind, folder, port = sys.argv[1:]
    model = (Sklearn if kind == "sklearn" else Onnx)(Path(folder))
    ModelServer(http_port=int(port), enable_grpc=False, workers=1, access_log_format=None).start([model])
