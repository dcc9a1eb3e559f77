"""From the columns of a v2 request to the model's tensor, for the servers that have no such step of their own."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray


class OnnxModel:
    """``model.onnx`` of a folder, with its ``signature.json``."""

    def __init__(self, folder: Path) -> None:
        signature = json.loads((folder / "signature.json").read_text())
        self._classes = signature["classes"]
        self._places = {
            item["name"]: {category: float(place) for place, category in enumerate(item["categories"])}
            for item in signature["inputs"]
        }
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(folder / "model.onnx", options)

    def predict(self, columns: Mapping[str, Sequence[Any]]) -> list[str]:
        """The class of each row; ``columns`` are by feature, numbers or texts."""
        rows = [
            [places[value] for value in columns[name]] if places else columns[name]
            for name, places in self._places.items()
        ]
        features: NDArray[np.float32] = np.array(rows, dtype=np.float32).T
        (labels,) = self._session.run(["label"], {"features": features})
        return [self._classes[label] for label in labels]
