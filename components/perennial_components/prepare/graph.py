"""Value steps of ``data.prepare`` as nodes before a model's own graph: the same in training and in serving."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from perennial.contracts.prepare import Bucket, Clip, Log, Ratio, ValueStep
from perennial.contracts.request import RunRequest
from perennial.contracts.signature import MISSING_CATEGORY, Signature, starts
from perennial_components.prepare.core import prepared, value_steps

INPUT, _OUTPUT = "features", "prepared_features"
_FLOAT, _DOUBLE = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE


def with_values(model: bytes, request: RunRequest, signature: Signature) -> bytes:
    """``model`` (ONNX), which takes the prepared features, as one that takes them as they are served.

    Its input keeps its name and type, [N, F]; nodes and constants of ours begin with ``prepare_``.
    """
    steps = value_steps(request.prepare)
    if not steps:
        return model
    proto = onnx.load_from_string(model)
    given = [item.name for item in signature.inputs]
    *columns, width = starts(signature.inputs)
    prefix = _Prefix(dict(zip(given, columns, strict=True)), width)
    for step in steps:
        prefix.add(step)
    nodes, constants = prefix.finished([item.name for item in prepared(signature, request).inputs[len(given) :]])
    for node in proto.graph.node:
        node.input[:] = [_OUTPUT if name == INPUT else name for name in node.input]
    own = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes, *own])
    proto.graph.initializer.extend(constants)
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = width
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString(deterministic=True))


class _Prefix:
    """The nodes so far; ``places`` are the first columns of what is served, in the tensor's order, ``width`` is the
    tensor's.
    """

    def __init__(self, places: dict[str, int], width: int) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._places, self._width = places, width
        self._changed: dict[str, str] = {}

    def add(self, step: ValueStep) -> None:
        """See ``core.values``, which computes the same."""
        if isinstance(step, Ratio):
            parts = [self._node("Cast", self._column(name), to=_DOUBLE) for name in (step.numerator, step.denominator)]
            quotient = self._node("Cast", self._node("Div", *parts), to=_FLOAT)
            self._changed[step.name] = self._missing_where(self._node("IsInf", quotient), quotient)
            return
        column = self._column(step.column)
        if isinstance(step, Clip):
            for bound, beyond in ((step.min, "Less"), (step.max, "Greater")):
                if bound is not None:
                    limit = self._constant(np.float32(bound))
                    column = self._node("Where", self._node(beyond, column, limit), limit, column)
        elif isinstance(step, Log):
            column = self._log(step, column)
        else:
            column = self._bucket(step, column)
        self._changed[step.column] = column

    def finished(self, added: list[str]) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """All nodes and constants; the last one puts the columns together, those ``added`` at the end.

        What no step changed is taken in stretches: a node a column makes an answer of 200 columns ten times as slow.
        """
        columns, begin = [], 0
        for name, place in self._places.items():
            if name in self._changed:
                columns += [self._slice(begin, place)] if begin < place else []
                columns.append(self._changed[name])
                begin = place + 1
        columns += [self._slice(begin, self._width)] if begin < self._width else []
        columns += [self._changed[name] for name in added]
        self._nodes.append(helper.make_node("Concat", columns, [_OUTPUT], name="prepare_concat", axis=1))
        return self._nodes, self._constants

    def _column(self, name: str) -> str:
        if name not in self._changed:
            place = self._places[name]
            return self._slice(place, place + 1)
        return self._changed[name]

    def _slice(self, begin: int, end: int) -> str:
        return self._node("Slice", INPUT, *(self._constant(np.array([each])) for each in (begin, end, 1)))

    def _log(self, step: Log, column: str) -> str:
        offset, zero, nothing = (self._constant(np.float64(value)) for value in (step.offset, 0.0, np.nan))
        shifted = self._node("Add", self._node("Cast", column, to=_DOUBLE), offset)
        positive = self._node("Where", self._node("Greater", shifted, zero), shifted, nothing)
        return self._node("Cast", self._node("Log", positive), to=_FLOAT)

    def _bucket(self, step: Bucket, column: str) -> str:
        edges = self._constant(np.array([step.edges], dtype=np.float32))
        reached = self._node("Cast", self._node("GreaterOrEqual", column, edges), to=_FLOAT)
        count = self._node("ReduceSum", reached, self._constant(np.array([1])), keepdims=1)
        missing = self._constant(np.float32(MISSING_CATEGORY))
        return self._node("Where", self._node("IsNaN", column), missing, count)

    def _missing_where(self, condition: str, column: str) -> str:
        return self._node("Where", condition, self._constant(np.float32(np.nan)), column)

    def _node(self, kind: str, *inputs: str, **attributes: int) -> str:
        name = f"prepare_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def _constant(self, value: np.ndarray | np.generic) -> str:
        name = f"prepare_constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name
