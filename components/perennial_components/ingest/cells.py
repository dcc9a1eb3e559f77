"""What becomes of a value: the one text by which it is known from here on, whatever it was read from."""

from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial_components.failure import RunError
from perennial_components.table import MISSING_TEXTS

TEXT = pa.large_string()
_MISSING = pa.array(MISSING_TEXTS, TEXT)
_PLAIN_FROM, _PLAIN_TO = 1e-4, 1e15
"""Between these Arrow writes a number as Python and pandas do; outside of them it has other exponents."""


def cleaned(texts: Any) -> Any:
    """Text without the blanks around it, null where it says that a value is missing."""
    trimmed = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.is_in(trimmed, value_set=_MISSING), pa.scalar(None, TEXT), trimmed)


def as_text(values: Any, column: str, where: str) -> Any:
    """An Arrow array of any type that a cell may have, as text (see docs/data.md): what pandas would write of it into
    a CSV, but whole numbers without ``.0``.

    Raises RunError (DataRejected) for lists, structures and other types that no cell of a CSV has; ``where`` is their
    source.
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        return as_text(values.dictionary_decode(), column, where)
    if pa.types.is_boolean(kind):
        return pc.if_else(values, pa.scalar("True", TEXT), pa.scalar("False", TEXT))
    if pa.types.is_floating(kind):
        return _of_floats(values)
    if pa.types.is_timestamp(kind):
        return _of_times(values)
    if pa.types.is_date(kind):
        return values.cast(pa.date32()).cast(TEXT)
    if pa.types.is_time(kind):
        return pc.replace_substring_regex(values.cast(TEXT), r"\.0+$", "")
    if _is_plain(kind):
        try:
            return values.cast(TEXT)
        except pa.ArrowInvalid:
            raise RunError("DataRejected", f"{where}: column {column!r} holds bytes that are no UTF-8") from None
    raise RunError(
        "DataRejected",
        f"{where}: column {column!r} holds {kind}, which is no value of one cell: take its parts as columns of their "
        "own, or leave it out",
    )


def _is_plain(kind: Any) -> bool:
    checks = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_integer,
        pa.types.is_decimal,
        pa.types.is_null,
        pa.types.is_binary,
        pa.types.is_large_binary,
    )
    return any(check(kind) for check in checks)


def _of_floats(values: Any) -> Any:
    texts, size = values.cast(TEXT), np.abs(values.cast(pa.float64()).to_numpy(zero_copy_only=False))
    other = (size >= _PLAIN_TO) | ((size < _PLAIN_FROM) & (size > 0))
    if not other.any():
        return texts
    kind = np.float64 if values.type == pa.float64() else np.float32
    written = [str(kind(value)).removesuffix(".0") for value in values.filter(pa.array(other)).to_pylist()]
    return pc.replace_with_mask(texts, pa.array(other), pa.array(written, TEXT))


def _of_times(values: Any) -> Any:
    """2026-05-31 12:00:00, with a fraction where there is one; with +00:00 at its end where the type has a zone."""
    zone = "UTC" if values.type.tz else None
    if values.type.tz and values.type.tz != "UTC":
        values = values.cast(pa.timestamp(values.type.unit, zone))
    with suppress(pa.ArrowInvalid):  # It has nanoseconds.
        values = values.cast(pa.timestamp("us", zone))
    texts = pc.replace_substring_regex(values.cast(TEXT), r"\.0+(Z?)$", r"\1")
    return pc.replace_substring_regex(texts, "Z$", "+00:00") if zone else texts
