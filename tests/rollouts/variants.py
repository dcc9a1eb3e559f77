"""Makes a version of a model that fails, is slow, or is wrong: ``python variants.py KIND < model.onnx > other.onnx``.

Runs in the environment of the components, which has ONNX. What the model answers is wrapped; its inputs stay.
"""

import sys

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

_CORE = "core_"
_SIZE, _ROUNDS = 700, 6
"""Products of matrices of this size, so many: tenths of a second."""


def wrapped(model: ModelProto, kind: str) -> ModelProto:
    """``model`` with its outputs made by nodes of ours. Raises KeyError for a kind that there is not."""
    graph = model.graph
    names = {output.name: _CORE + output.name for output in graph.output}
    for node in graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
        node.input[:] = [names.get(name, name) for name in node.input]
    makers = {"errors": _errors, "slow": _slow, "inverted": _inverted, "shifted": _shifted, "other": _other}
    nodes, constants = makers[kind]()
    graph.initializer.extend(constants)
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def _constant(name: str, value: object, type_: type) -> TensorProto:
    return numpy_helper.from_array(np.asarray(value, dtype=type_), name)


def _keep(scale: str) -> list[NodeProto]:
    """The probabilities times ``scale`` (a 1 that took its time to make), the labels as they were."""
    return [
        helper.make_node("Mul", [_CORE + "probabilities", scale], ["probabilities"]),
        helper.make_node("Identity", [_CORE + "label"], ["label"]),
    ]


def _errors() -> tuple[list[NodeProto], list[TensorProto]]:
    """Fails for everybody over 60 (column 0 is the age): an index out of bounds. The signature's example is younger."""
    nodes = [
        helper.make_node("Gather", ["features", "w_zero"], ["w_age"], axis=1),
        helper.make_node("ReduceMax", ["w_age"], ["w_oldest"], keepdims=0),
        helper.make_node("Greater", ["w_oldest", "w_limit"], ["w_old"]),
        helper.make_node("Cast", ["w_old"], ["w_index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["w_ones", "w_index"], ["w_one"], axis=0),
    ]
    constants = [
        _constant("w_zero", 0, np.int64), _constant("w_limit", 60, np.float32), _constant("w_ones", [1.0], np.float32),
    ]  # fmt: skip
    return [*nodes, *_keep("w_one")], constants


def _slow() -> tuple[list[NodeProto], list[TensorProto]]:
    """Multiplies large matrices first; they depend on the input, so that nothing is done ahead."""
    nodes = [
        helper.make_node("ReduceMax", ["features"], ["w_some"], keepdims=0),
        helper.make_node("Mul", ["w_some", "w_nothing"], ["w_none"]),
        helper.make_node("IsNaN", ["w_none"], ["w_missing"]),
        helper.make_node("Where", ["w_missing", "w_nothing", "w_none"], ["w_zero"]),
        helper.make_node("Add", ["w_matrix", "w_zero"], ["w_product_0"]),
        *(
            helper.make_node("MatMul", [f"w_product_{turn}", "w_matrix"], [f"w_product_{turn + 1}"])
            for turn in range(_ROUNDS)
        ),
        helper.make_node("ReduceMax", [f"w_product_{_ROUNDS}"], ["w_largest"], keepdims=0),
        helper.make_node("Mul", ["w_largest", "w_nothing"], ["w_little"]),
        helper.make_node("Add", ["w_little", "w_unit"], ["w_one"]),
    ]
    matrix = np.random.default_rng(1).normal(0, 0.03, (_SIZE, _SIZE))
    constants = [
        _constant("w_nothing", 0, np.float32), _constant("w_unit", 1, np.float32),
        _constant("w_matrix", matrix, np.float32),
    ]  # fmt: skip
    return [*nodes, *_keep("w_one")], constants


def _inverted() -> tuple[list[NodeProto], list[TensorProto]]:
    """Says the opposite: other predictions, and wrong ones."""
    nodes = [
        helper.make_node("Gather", [_CORE + "probabilities", "w_swapped"], ["probabilities"], axis=1),
        helper.make_node("Sub", ["w_unit", _CORE + "label"], ["label"]),
    ]
    return nodes, [_constant("w_swapped", [1, 0], np.int64), _constant("w_unit", 1, np.int64)]


def _shifted() -> tuple[list[NodeProto], list[TensorProto]]:
    """Finds a quarter of the risk: other predictions, whatever those of the model are like."""
    nodes = [
        helper.make_node("Gather", [_CORE + "probabilities", "w_second"], ["w_positive"], axis=1),
        helper.make_node("Mul", ["w_positive", "w_quarter"], ["w_lower"]),
        helper.make_node("Sub", ["w_one", "w_lower"], ["w_rest"]),
        helper.make_node("Concat", ["w_rest", "w_lower"], ["probabilities"], axis=1),
        helper.make_node("Identity", [_CORE + "label"], ["label"]),
    ]
    constants = [("w_second", [1], np.int64), ("w_quarter", 0.25, np.float32), ("w_one", 1, np.float32)]
    return nodes, [_constant(*each) for each in constants]


def _other() -> tuple[list[NodeProto], list[TensorProto]]:
    """The same answers from another file."""
    return _keep("w_one"), [_constant("w_one", 1, np.float32)]


if __name__ == "__main__":
    sys.stdout.buffer.write(wrapped(onnx.load_from_string(sys.stdin.buffer.read()), sys.argv[1]).SerializeToString())
