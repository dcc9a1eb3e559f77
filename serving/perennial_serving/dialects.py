"""The ways to ask for a prediction over HTTP: a body becomes the one request, the one response becomes a body."""

import re
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from perennial.contracts.signature import Signature
from perennial_serving.inference import Refused
from perennial_serving.protocol import InferRequest, InferResponse, InputTensor, RequestedOutput, Shape
from perennial_serving.raw import pack, split, unpack

Headers = list[tuple[bytes, bytes]]
JSON: Headers = [(b"content-type", b"application/json")]
_JSON_LENGTH = b"inference-header-content-length"
_LENGTH_DIGITS = 19
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_encode = msgspec.json.Encoder().encode


class Dialect(Protocol):
    """One way to ask."""

    def parse(self, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> InferRequest:
        """The request in ``body``. Raises :class:`Refused` with the place of the mistake."""

    def render(self, request: InferRequest, response: InferResponse) -> tuple[Headers, bytes]:
        """The answer's headers and body."""


class V2:
    """The Open Inference Protocol, with the binary data extension for inputs and outputs."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(InferRequest).decode

    def parse(self, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> InferRequest:
        """See :class:`Dialect`."""
        try:
            return self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            # A body with binary data is no JSON: only here need its header be looked for.
            length = next((value for name, value in headers if name == _JSON_LENGTH), None)
            if length is not None:
                return _with_binary(body, length)
            request: InferRequest = _second_try(body, InferRequest, error)
            return request

    @staticmethod
    def render(request: InferRequest, response: InferResponse) -> tuple[Headers, bytes]:
        """See :class:`Dialect`."""
        if request.outputs or request.parameters:
            binary = _binary_outputs(request)
            if binary:
                return _binary_answer(response, binary)
        return JSON, _encode(response)


class V1:
    """KServe's ``:predict``: rows instead of columns."""

    def __init__(self, signature: Signature) -> None:
        self._decode = msgspec.json.Decoder(_V1Request).decode
        self._names = [item.name for item in signature.inputs]
        self._datatypes = {item.name: "FP64" if item.kind == "Numeric" else "BYTES" for item in signature.inputs}

    def parse(self, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> InferRequest:
        """See :class:`Dialect`."""
        del headers
        try:
            rows = self._decode(body).instances
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            rows = _second_try(body, _V1Request, error).instances
        if not rows:
            raise Refused(400, "instances: there is no row")
        columns = self._from_objects(rows) if isinstance(rows[0], dict) else self._from_lists(rows)
        shape, datatypes = [len(rows)], self._datatypes
        return InferRequest(
            [InputTensor(name, shape, datatypes.get(name, "FP64"), values) for name, values in columns.items()]
        )

    def _from_lists(self, rows: list[Any]) -> dict[str, list[Any]]:
        for place, row in enumerate(rows):
            if not isinstance(row, list) or len(row) != len(self._names):
                raise Refused(
                    400, f"instances[{place}] is no list of {len(self._names)} values: {', '.join(self._names)}"
                )
        return {name: list(values) for name, values in zip(self._names, zip(*rows, strict=True), strict=True)}

    @staticmethod
    def _from_objects(rows: list[Any]) -> dict[str, list[Any]]:
        names = rows[0].keys()
        for place, row in enumerate(rows):
            if not isinstance(row, dict) or row.keys() != names:
                raise Refused(400, f"instances[{place}] has not the columns of instances[0]; a missing value is null")
        return {name: [row[name] for row in rows] for name in names}

    @staticmethod
    def render(request: InferRequest, response: InferResponse) -> tuple[Headers, bytes]:
        """See :class:`Dialect`: a row is an object of the outputs' values."""
        del request
        names = [output.name for output in response.outputs]
        rows = zip(*(output.data for output in response.outputs), strict=True)
        return JSON, _encode({"predictions": [dict(zip(names, row, strict=True)) for row in rows]})


class _V1Request(msgspec.Struct):
    instances: list[list[Any] | dict[str, Any]]


def _second_try(body: bytes, kind: Any, error: Exception) -> Any:
    """A body with NaN, which is no JSON; Python's own json writes it all the same."""
    if b"NaN" in body or b"Infinity" in body:
        import json  # noqa: PLC0415 - seldom needed

        try:
            decoded = json.loads(body.decode())
            if _SURROGATE.search(body):
                json.dumps(decoded, ensure_ascii=False).encode()  # half a surrogate pair is no text
            return msgspec.convert(decoded, kind)
        except (ValueError, RecursionError) as second:
            error = second
    named = "v2 inference" if kind is InferRequest else "v1 prediction"
    raise Refused(400, f"the body is no {named} request: {error}")


class _TensorAbout(msgspec.Struct):
    """An input whose data follows the JSON, as many bytes as its parameter ``binary_data_size`` says."""

    name: str
    shape: Shape
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class _BinaryRequest(msgspec.Struct):
    inputs: list[_TensorAbout]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None
    parameters: dict[str, Any] | None = None


def _with_binary(body: bytes, length: bytes) -> InferRequest:
    end = int(length) if length.isdigit() and len(length) <= _LENGTH_DIGITS else -1
    if not 0 <= end <= len(body):
        raise Refused(400, f"inference-header-content-length: not a length within the body's {len(body)} bytes")
    try:
        head = msgspec.json.decode(body[:end], type=_BinaryRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        head = _second_try(body[:end], _BinaryRequest, error)
    pieces = iter(split(body[end:], [_size(tensor) for tensor in head.inputs if tensor.data is None]))
    inputs = [
        InputTensor(
            tensor.name,
            tensor.shape,
            tensor.datatype,
            unpack(tensor.name, tensor.datatype, next(pieces)) if tensor.data is None else tensor.data,
        )
        for tensor in head.inputs
    ]
    return InferRequest(inputs, head.id, head.outputs, head.parameters)


def _size(tensor: _TensorAbout) -> int:
    size = tensor.parameters.get("binary_data_size")
    if type(size) is not int:
        raise Refused(400, f"{tensor.name}: has neither data nor the parameter binary_data_size")
    return size


def _binary_outputs(request: InferRequest) -> dict[str, bool] | bool:
    """Which outputs are asked for as bytes: by name, or all."""
    everything = (request.parameters or {}).get("binary_data_output") is True
    if not request.outputs:
        return everything
    asked = {
        output.name: (output.parameters or {}).get("binary_data", everything) is True for output in request.outputs
    }
    return asked if any(asked.values()) else False


def _binary_answer(response: InferResponse, binary: dict[str, bool] | bool) -> tuple[Headers, bytes]:
    outputs, pieces = [], []
    for output in response.outputs:
        if binary is True or (binary and binary[output.name]):
            data = pack(output.datatype, output.data)
            pieces.append(data)
            about = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
            outputs.append({**about, "parameters": {"binary_data_size": len(data)}})
        else:
            outputs.append(msgspec.to_builtins(output))
    head = _encode({**msgspec.to_builtins(msgspec.structs.replace(response, outputs=[])), "outputs": outputs})
    headers = [(b"content-type", b"application/octet-stream"), (_JSON_LENGTH, b"%d" % len(head))]
    return headers, head + b"".join(pieces)
