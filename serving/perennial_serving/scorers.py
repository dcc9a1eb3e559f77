"""What scores rows: ONNX graphs, ours and those of PyTorch's and TensorFlow's exporters."""

from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from perennial.contracts.names import FILE_MODEL

OUTPUT = "probabilities"
_FLOATS = frozenset({"tensor(float)", "tensor(double)", "tensor(float16)"})
_FLOAT32 = "tensor(float)"


class ModelError(RuntimeError):
    """The files cannot be served together, or the model answered nonsense; the message says what."""


class Scorer(Protocol):
    """A model in memory. ``file`` is its name for messages; ``aside``: too slow for the event loop's thread."""

    file: str
    aside: bool
    row_by_row: bool

    def probabilities(self, matrix: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """The classes' probabilities [N,K] for ``matrix`` [N,F]."""

    def values(self, matrix: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """A Regression's numbers [N] for ``matrix`` [N,F]."""


class OnnxScorer:
    """A graph with one float32 input [N,F], and one output ``probabilities``, or one of floats alone.

    It is [N,K], or [N,1] or [N] from a sigmoid, which is the probability of the second of two classes. Of a
    Regression it is [N,1] or [N].
    """

    file = FILE_MODEL
    aside = False

    def __init__(self, data: bytes) -> None:
        """Raises :class:`ModelError` for a graph of another form."""
        session = _session(data)
        taken, given = session.get_inputs(), session.get_outputs()
        self._input = _input(taken)
        self._output = _output(given)
        self.row_by_row = _fixed_batch(taken[0])
        # What InferenceSession.run does beyond this is checks of names, which are ours.
        self._run = session._sess.run  # noqa: SLF001

    def probabilities(self, matrix: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """See :class:`Scorer`."""
        scores = self._scores(matrix)
        if scores.ndim == 2 and scores.shape[1] > 1:
            return scores
        positive = scores.reshape(-1)
        return np.column_stack((1 - positive, positive))

    def values(self, matrix: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """See :class:`Scorer`."""
        return self._scores(matrix).reshape(-1)

    def _scores(self, matrix: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        if self.row_by_row and len(matrix) != 1:
            return np.concatenate([self._scores(matrix[row : row + 1]) for row in range(len(matrix))])
        scores: NDArray[np.floating[Any]] = self._run([self._output], {self._input: matrix}, None)[0]
        return scores


def _session(data: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"{FILE_MODEL}: onnxruntime cannot load it: {error}") from error


def _input(taken: list[Any]) -> str:
    if len(taken) != 1:
        names = [item.name for item in taken]
        raise ModelError(f"{FILE_MODEL}: takes {len(taken)} inputs ({names}), not one tensor of all features")
    item = taken[0]
    if item.type != _FLOAT32:
        raise ModelError(f"{FILE_MODEL}: its input {item.name!r} is a {item.type}; export it with float32 inputs")
    if len(item.shape) != 2:
        raise ModelError(f"{FILE_MODEL}: its input {item.name!r} has shape {item.shape}, not [rows, features]")
    return str(item.name)


def _fixed_batch(item: Any) -> bool:
    """Whether the graph takes one row at a time."""
    rows: int | str | None = item.shape[0]
    if isinstance(rows, int) and rows != 1:
        raise ModelError(f"{FILE_MODEL}: takes batches of {rows} rows alone; export it with a dynamic batch axis")
    return rows == 1


def _output(given: list[Any]) -> str:
    floats = [item for item in given if item.type in _FLOATS]
    named = [item for item in floats if item.name == OUTPUT] or floats
    if len(named) != 1:
        names = [f"{item.name} ({item.type})" for item in given]
        raise ModelError(
            f"{FILE_MODEL}: gives {', '.join(names)}; expected is {OUTPUT!r}, or one output of floats alone"
        )
    if len(named[0].shape) > 2:
        raise ModelError(f"{FILE_MODEL}: its output {named[0].name!r} has shape {named[0].shape}, not [rows, classes]")
    return str(named[0].name)
