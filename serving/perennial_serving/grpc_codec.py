"""gRPC's messages as the predictor's one request, and its one response as gRPC's message."""

from typing import Any

from perennial_serving.grpc_generated.open_inference_pb2 import (
    InferTensorContents,
    ModelInferRequest,
    ModelInferResponse,
)
from perennial_serving.inference import Refused
from perennial_serving.protocol import InferRequest, InferResponse, InputTensor, OutputTensor, RequestedOutput
from perennial_serving.raw import pack, text, unpack

_FIELDS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def request_of(message: ModelInferRequest) -> InferRequest:
    """The request in ``message``, its contents typed or raw. Raises :class:`Refused`."""
    raw = message.raw_input_contents[:]
    if raw and len(raw) != len(message.inputs):
        raise Refused(400, f"{len(raw)} raw_input_contents for {len(message.inputs)} inputs")
    inputs = []
    for place, tensor in enumerate(message.inputs):
        name, datatype = tensor.name, tensor.datatype
        if not raw:
            data = _typed(name, datatype, tensor.contents)
        elif tensor.HasField("contents"):
            raise Refused(400, f"{name}: has contents and raw_input_contents")
        else:
            data = unpack(name, datatype, raw[place])
        inputs.append(InputTensor(name, tensor.shape[:], datatype, data))
    outputs = [RequestedOutput(output.name) for output in message.outputs]
    return InferRequest(inputs, message.id or None, outputs or None)


def _typed(name: str, datatype: str, contents: InferTensorContents) -> list[Any]:
    field = _FIELDS.get(datatype)
    if field is None:
        raise Refused(400, f"{name}: datatype {datatype!r} has no typed contents; there are {', '.join(_FIELDS)}")
    values: list[Any] = getattr(contents, field)[:]
    return [text(name, value) for value in values] if datatype == "BYTES" else values


def message_of(response: InferResponse, *, raw: bool) -> ModelInferResponse:
    """The answer; ``raw``: as raw_output_contents, which whoever sent raw inputs reads."""
    message = ModelInferResponse(model_name=response.model_name, model_version=response.model_version, id=response.id)
    for output in response.outputs:
        tensor = message.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        if raw:
            message.raw_output_contents.append(pack(output.datatype, output.data))
        else:
            getattr(tensor.contents, _FIELDS[output.datatype]).extend(_encoded(output))
    return message


def _encoded(output: OutputTensor) -> list[Any]:
    return [value.encode() for value in output.data] if output.datatype == "BYTES" else output.data
