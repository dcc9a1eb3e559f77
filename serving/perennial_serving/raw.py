"""Tensors as bytes, as gRPC's raw contents and REST's binary data extension carry them: little-endian, row-major, BYTES
each behind its length in four bytes.

Bytes have no null. NaN is a missing number, and an empty text a missing category.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from perennial_serving.inference import Refused

_DTYPES = {
    "BOOL": "?",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_LENGTH = 4


def unpack(name: str, datatype: str, data: bytes) -> list[Any]:
    """The values of the tensor ``name``. Raises :class:`Refused`."""
    if datatype == "BYTES":
        return _texts(name, data)
    dtype = _DTYPES.get(datatype)
    if dtype is None:
        raise Refused(
            400, f"{name}: datatype {datatype!r} has no binary form here; there are {', '.join(_DTYPES)}, BYTES"
        )
    try:
        values: list[Any] = np.frombuffer(data, dtype).tolist()
    except ValueError:
        raise Refused(400, f"{name}: {len(data)} bytes are no whole number of {datatype} values") from None
    return values


def _texts(name: str, data: bytes) -> list[str | None]:
    texts, place = [], 0
    while place < len(data):
        begin = place + _LENGTH
        place = begin + int.from_bytes(data[place:begin], "little")
        if place > len(data):
            raise Refused(400, f"{name}: its BYTES are cut short")
        texts.append(text(name, data[begin:place]))
    return texts


def text(name: str, data: bytes) -> str | None:
    """One BYTES value; None when it is empty. Raises :class:`Refused` for what is not UTF-8."""
    try:
        return data.decode() or None
    except UnicodeDecodeError:
        raise Refused(400, f"{name}: BYTES that are no UTF-8") from None


def pack(datatype: str, values: Sequence[Any]) -> bytes:
    """The inverse of :func:`unpack`, of what the predictor answers: BYTES and numbers."""
    if datatype == "BYTES":
        encoded = [value.encode() for value in values]
        return b"".join(part for value in encoded for part in (len(value).to_bytes(_LENGTH, "little"), value))
    return np.array(values, _DTYPES[datatype]).tobytes()


def split(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """``data`` cut into pieces of ``sizes`` bytes. Raises :class:`Refused` when it is not their sum."""
    if any(size < 0 for size in sizes) or sum(sizes) != len(data):
        raise Refused(400, f"binary_data_size is {sum(sizes)} bytes in all, {len(data)} came")
    return [data[end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)]
