"""The usual request, read and answered at the least cost: one row, a tensor a feature, every output.

msgspec checks all of its form while it parses, by types made from the signature. What these types refuse is no mistake
yet: the general way (``inputs.py``) takes it, or says what is wrong.
"""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Union

import msgspec
from msgspec import Meta

from perennial.contracts.signature import Input, Signature
from perennial_serving.inputs import FLOAT32_MAX, PLAIN_DATATYPES, CategoricalInput, wide_input

_ABSENT: Any = object()
_Number = Annotated[float, Meta(ge=-FLOAT32_MAX, le=FLOAT32_MAX)]
_Shape = Annotated[list[Literal[1]], Meta(min_length=1, max_length=2)]


class _Tensor(msgspec.Struct, gc=False):
    """One feature's value; ``place`` is the feature's."""

    place: ClassVar[int]
    shape: _Shape
    datatype: str
    data: tuple[Any]


class _Parameters(msgspec.Struct, gc=False):
    """What others' clients send along is not for us, but for a wish for binary answers."""

    binary_data_output: None = None


class UsualRequest(msgspec.Struct, gc=False):
    """``row`` as in ``inputs.Rows``; ``id`` comes back in the answer."""

    row: list[float | None]
    id: str | None


class UsualReader:
    """Reads usual requests for one signature."""

    def __init__(self, signature: Signature) -> None:
        tensors = tuple(_tensor(place, item) for place, item in enumerate(signature.inputs))
        body = msgspec.defstruct(
            "_Body",
            [
                ("inputs", list[Union[tensors]]),  # type: ignore[valid-type] # noqa: UP007 - made from a tuple
                ("id", str | None, None),
                ("outputs", None, None),
                ("parameters", _Parameters | None, None),
            ],
            gc=False,
        )
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(body).decode
        self._blank = [_ABSENT] * len(tensors)
        self._known = [
            (place, CategoricalInput(item.categories).known)
            for place, item in enumerate(signature.inputs)
            if item.kind == "Categorical"
        ]

    def read(self, body: bytes) -> UsualRequest | None:
        """The request in ``body``; None when it is an unusual one."""
        row = self._blank.copy()
        try:
            request = self._decode(body)
            for tensor in request.inputs:
                row[tensor.place] = tensor.data[0]
            for place, known in self._known:
                row[place] = known[row[place]]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
            return None
        if len(request.inputs) != len(row) or _ABSENT in row:
            return None
        return UsualRequest(row, request.id)


class WideReader(UsualReader):
    """Reads usual requests where some features are dates or texts, each of several columns of the row."""

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        wide = [(place, wide_input(item)) for place, item in enumerate(signature.inputs) if item.wide]
        self._wide = wide[::-1]  # from the last: what stands before keeps its place

    def read(self, body: bytes) -> UsualRequest | None:
        """See :class:`UsualReader`."""
        request = super().read(body)
        if request is None:
            return None
        try:
            for place, item in self._wide:
                request.row[place : place + 1] = item.one(request.row[place])
        except ValueError:
            return None
        return request


def reader(signature: Signature) -> UsualReader:
    """That of the signature."""
    return (WideReader if any(item.wide for item in signature.inputs) else UsualReader)(signature)


def _tensor(place: int, item: Input) -> type[msgspec.Struct]:
    numeric = item.kind == "Numeric"
    datatypes = PLAIN_DATATYPES if numeric else (*PLAIN_DATATYPES, "BYTES")
    value = _Number | None if numeric else str | float | None
    return msgspec.defstruct(
        f"_Tensor{place}",
        [("shape", _Shape), ("datatype", Literal[datatypes]), ("data", tuple[value])],  # type: ignore[valid-type]
        bases=(_Tensor,),
        namespace={"place": place},
        tag_field="name",
        tag=item.name,
        gc=False,
    )


_SIGNED = ',{"name":"feedback_token","shape":[1],"datatype":"BYTES","data":["'


class UsualWriter:
    """Writes the answers to usual requests from what never changes and what does."""

    def __init__(self, model: str, version: str, classes: tuple[str, ...]) -> None:
        head = f'{{"model_name":{_json(model)},"model_version":{_json(version)},"outputs":['
        if not classes:
            self._heads = [head + '{"name":"prediction","shape":[1],"datatype":"FP64","data":[']
            return
        head += '{"name":"predicted","shape":[1],"datatype":"BYTES","data":['
        between = ']},{"name":"probability","shape":[1],"datatype":"FP64","data":['
        self._heads = [f"{head}{_json(label)}{between}" for label in classes]

    def write(self, predicted: int, probability: float, token: str | None, identifier: str | None) -> bytes:
        """The body (JSON); ``predicted`` is the class index, ``probability`` may be a Regression's number, ``token`` is
        of base64 and dots.
        """
        signed = "" if token is None else f'{_SIGNED}{token}"]}}'
        known = "" if identifier is None else f',"id":{_json(identifier)}'
        return f"{self._heads[predicted]}{probability!r}]}}{signed}]{known}}}".encode()


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()
