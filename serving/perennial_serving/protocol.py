"""The Open Inference Protocol's bodies (v2, REST), and our own for feedback."""

from typing import Annotated, Any

import msgspec

Shape = list[Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]]


class InputTensor(msgspec.Struct):
    """``data`` is flat or nested; ``shape`` says how it is to be read."""

    name: str
    shape: Shape
    datatype: str
    data: list[Any]


class RequestedOutput(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct):
    inputs: list[InputTensor]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None
    parameters: dict[str, Any] | None = None


class OutputTensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferResponse(msgspec.Struct, omit_defaults=True):
    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str | None = None


class FeedbackItem(msgspec.Struct):
    """``actual`` is compared as text (see ``category_of``): 1, 1.0, true and "1" are one class."""

    token: str
    actual: str | float | int | bool


class FeedbackRequest(msgspec.Struct):
    feedback: list[FeedbackItem]


class Refusal(msgspec.Struct):
    """``index`` is the item's place in the request."""

    index: int
    reason: str


class FeedbackResponse(msgspec.Struct, omit_defaults=True):
    accepted: int
    rejected: int
    reasons: list[Refusal] = []


class IndexRequest(msgspec.Struct):
    """What Triton's clients ask the model repository: whether only what is ready is wanted."""

    ready: bool = False


class Failure(msgspec.Struct):
    error: str
