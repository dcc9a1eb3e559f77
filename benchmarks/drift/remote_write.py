"""Samples into a Prometheus by its remote write protocol 1.0: many at once, without a text of each in between."""

import struct
from collections.abc import Iterable, Mapping, Sequence

import aiohttp
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_SAMPLE = 16
"""Bytes of a Sample: 1 + 8 of the value and 1 + 6 of a time of this century."""
_HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


def prefix(labels: Mapping[str, str]) -> bytes:
    """The labels of a TimeSeries, in protobuf."""
    return b"".join(
        _field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in sorted(labels.items())
    )


def series(prefixes: Sequence[bytes], times: npt.NDArray[np.int64], values: Array) -> bytes:
    """Part of a WriteRequest: series with their ``values`` (series, times) at ``times`` (Unix ms)."""
    encoded = np.zeros((len(values), len(times), 2 + _SAMPLE), dtype=np.uint8)
    encoded[..., 0], encoded[..., 1], encoded[..., 2] = 0x12, _SAMPLE, 0x09
    encoded[..., 3:11] = np.ascontiguousarray(values, dtype="<f8").view(np.uint8).reshape(*values.shape, 8)
    encoded[..., 11] = 0x10
    for place in range(6):
        encoded[..., 12 + place] = (times >> 7 * place & 0x7F) | (0x80 if place < 5 else 0)
    return b"".join(_field(1, labels + samples.tobytes()) for labels, samples in zip(prefixes, encoded, strict=True))


async def write(session: aiohttp.ClientSession, url: str, parts: Iterable[bytes]) -> None:
    """One WriteRequest of ``parts``. Raises RuntimeError where Prometheus refuses it."""
    body = _uncompressed(b"".join(parts))
    async with session.post(f"{url}/api/v1/write", data=body, headers=_HEADERS) as answer:
        if answer.status >= 300:
            raise RuntimeError(f"remote write: {answer.status} {await answer.text()}")


def _uncompressed(body: bytes) -> bytes:
    """A snappy block that is one literal: the format asks for no compression."""
    return _varint(len(body)) + b"\xfc" + struct.pack("<I", len(body) - 1) + body


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
