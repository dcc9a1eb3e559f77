"""From the tensors of a request to the one that the model takes, and every reason why that may fail.

JSON's null is decided here: it is a missing value, for every feature. So is NaN in bodies that carry it, although JSON
has no such number. A column that is not there at all is an error: a forgotten column must not pass as 3,000 patients
without an age.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from math import inf, nan, prod
from typing import Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from perennial.contracts.datetimes import DatetimePart, parts_of
from perennial.contracts.signature import Input, Signature, category_of
from perennial.contracts.texts import TermCounts
from perennial_serving.protocol import InputTensor

TENSOR = "features"
MANY_ROWS = 4
"""From this number of rows numpy is faster than a loop."""

FLOAT32_MAX = 3.4028234663852886e38
PLAIN_DATATYPES = ("FP64", "FP16", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "BOOL")
"""Those whose values are numbers as they stand; FP32's are written out in full by most callers."""
_NUMBERS = frozenset({*PLAIN_DATATYPES, "FP32"})
_PLAIN_NUMBERS = frozenset({int, float, type(None)})
_SHOWN = 20


class InputError(ValueError):
    """The request cannot be scored; ``invalid`` counts the refused values by feature index."""

    def __init__(self, message: str, invalid: dict[int, int] | None = None) -> None:
        super().__init__(message)
        self.invalid = invalid or {}


class _Refused(ValueError):
    """Values of one feature are refused: how many, and why."""

    def __init__(self, count: int, message: str) -> None:
        super().__init__(message)
        self.count = count


Rows = list[list[float | None]] | NDArray[np.float64]
"""Decoded rows [N,F] in signature order: numbers as they were sent (None or NaN where missing), categories as their
index (-1 where missing), the parts of a date or the counts of a text's terms one behind the other (NaN where missing).
Lists below :data:`MANY_ROWS` rows, an array from there on."""


def _names(values: Iterable[str]) -> str:
    """Names for a message, the first 20 of them."""
    quoted = [f'"{value}"' for value in values]
    rest = len(quoted) - _SHOWN
    return ", ".join(quoted[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 40 else text[:37] + "…"


class NumericInput:
    """Decodes numbers."""

    datatypes = _NUMBERS

    def few(self, values: list[Any]) -> list[float]:
        """Numbers as they were sent, NaN where missing. Raises _Refused."""
        decoded, wrong = [], []
        for value in values:
            kind = type(value)
            if kind is float or kind is int:
                decoded.append(value)
                if not -FLOAT32_MAX <= value <= FLOAT32_MAX and value == value:  # noqa: PLR0124 - NaN passes as missing
                    wrong.append(value)
            elif value is None:
                decoded.append(nan)
            elif kind is bool:
                decoded.append(float(value))
            else:
                wrong.append(value)
        if wrong:
            raise _Refused(len(wrong), f"{_shown(wrong[0])} is not a number that a float32 can hold")
        return decoded

    def many(self, values: list[Any]) -> NDArray[np.float64]:
        """The same as an array [n]."""
        if set(map(type, values)) <= _PLAIN_NUMBERS:
            try:
                decoded = np.array(values, dtype=np.float64)
            except OverflowError:  # an integer beyond float64
                return np.array(self.few(values), dtype=np.float64)
            if not (np.abs(decoded) > FLOAT32_MAX).any():
                return decoded
        return np.array(self.few(values), dtype=np.float64)


class CategoricalInput:
    """Decodes categories to their index in the signature; numbers and text of one meaning are one category."""

    datatypes = _NUMBERS | {"BYTES"}

    def __init__(self, categories: Sequence[str]) -> None:
        self._categories = categories
        self._by_text = {category: index for index, category in enumerate(categories)}
        known: dict[Any, int] = {None: -1, **self._by_text}
        for category, index in self._by_text.items():
            known.update(dict.fromkeys(numbers_like(category), index))
        self.known = known
        """Index by value, for the values that need no further look; -1 for a missing one."""

    def few(self, values: list[Any]) -> list[int]:
        """Indices, -1 where missing. Raises _Refused."""
        known = self.known
        try:
            return [known[value] for value in values]
        except (KeyError, TypeError):
            return self._thorough(values)

    def many(self, values: list[Any]) -> NDArray[np.int64]:
        """The same as an array [n]."""
        return np.array(self.few(values), dtype=np.int64)

    def _thorough(self, values: list[Any]) -> list[int]:
        decoded, wrong = [], []
        for value in values:
            if value is None or value != value:  # noqa: PLR0124 - NaN
                decoded.append(-1)
                continue
            index = self._by_text.get(category_of(value)) if isinstance(value, str | int | float) else None
            if index is None:
                wrong.append(value)
            else:
                decoded.append(index)
        if wrong:
            allowed = _names(self._categories) or "none"
            raise _Refused(len(wrong), f"{_shown(wrong[0])} is no known category; allowed: {allowed}")
        return decoded


class WideInput:
    """Decodes text to several columns, all NaN where it is missing."""

    datatypes = _NUMBERS | {"BYTES"}
    refusal: ClassVar[str]

    def __init__(self, width: int, read: Callable[[str], list[float]]) -> None:
        self._missing, self._read = [nan] * width, read

    def one(self, value: Any) -> list[float]:
        """The columns of one value. Raises ValueError."""
        if value is None or value != value:  # noqa: PLR0124 - NaN
            return self._missing
        if type(value) is str:
            return self._read(value)
        raise ValueError

    def few(self, values: list[Any]) -> list[list[float]]:
        """The columns, by row. Raises _Refused."""
        decoded, wrong = [], []
        for value in values:
            try:
                decoded.append(self.one(value))
            except ValueError:
                wrong.append(value)
        if wrong:
            raise _Refused(len(wrong), f"{_shown(wrong[0])} {self.refusal}")
        return decoded

    def many(self, values: list[Any]) -> NDArray[np.float64]:
        """The same as an array [n,W]."""
        return np.array(self.few(values), dtype=np.float64)


class DatetimeInput(WideInput):
    """Decodes dates to their parts."""

    refusal = 'is no ISO 8601 date such as "2026-05-31" or "2026-05-31T08:30:00Z"'

    def __init__(self, parts: tuple[DatetimePart, ...]) -> None:
        super().__init__(len(parts), partial(parts_of, parts=parts))


class TextInput(WideInput):
    """Decodes texts to the counts of their terms."""

    refusal = "is no text"

    def __init__(self, terms: tuple[str, ...]) -> None:
        super().__init__(len(terms), TermCounts(terms))


def wide_input(item: Input) -> WideInput:
    """That of a Datetime or a Text."""
    return DatetimeInput(item.parts) if item.kind == "Datetime" else TextInput(item.terms)


def numbers_like(category: str) -> list[float]:
    """The numbers that a caller may send in place of the text ``category``."""
    try:
        number = float(category)
    except ValueError:
        return []
    return [number] if abs(number) != inf and category_of(number) == category else []


def _shortest(values: list[Any]) -> list[Any]:
    """FP32 values as the decimal number that a person wrote: 2.299999952316284 was 2.3, and bins compare float64."""
    return [float(str(np.float32(value))) if type(value) is float and value % 1 else value for value in values]


def _flat(values: list[Any]) -> list[Any]:
    while values and type(values[0]) is list:
        if not all(type(value) is list for value in values):
            return values
        values = list(chain.from_iterable(values))
    return values


def _sent(tensor: InputTensor) -> int:
    """How many values a refused tensor counts as: what came, whatever its shape says, and one where nothing came."""
    return max(len(_flat(tensor.data)), 1)


class Decoder:
    """Turns the input tensors of a request into :data:`Rows`, for one signature."""

    def __init__(self, signature: Signature) -> None:
        self._names = [item.name for item in signature.inputs]
        self._index = {name: place for place, name in enumerate(self._names)}
        self._inputs = [_input(item) for item in signature.inputs]
        self._wide = any(item.wide for item in signature.inputs)

    def decode(self, tensors: list[InputTensor]) -> Rows:
        """Either one tensor ``features`` [N,F] in signature order, where no feature is a date or a text, or one tensor
        [N] or [N,1] for each feature.

        Raises :class:`InputError` with all that is wrong.
        """
        if len(tensors) == 1 and tensors[0].name == TENSOR and TENSOR not in self._index:
            rows, columns = self._split(tensors[0])
        else:
            rows, columns = self._gather(tensors)
        return self._decode_columns(rows, columns)

    def _split(self, tensor: InputTensor) -> tuple[int, list[list[Any]]]:
        width = len(self._names)
        if self._wide:
            raise InputError(
                f"{TENSOR}: dates and texts are no numbers; send a tensor for each of {_names(self._names)}"
            )
        if len(tensor.shape) != 2 or tensor.shape[1] != width or tensor.shape[0] < 1:
            raise InputError(f"{TENSOR}: shape {tensor.shape} is not [N,{width}] with at least one row")
        if tensor.datatype not in _NUMBERS:
            raise InputError(f"{TENSOR}: datatype {tensor.datatype} is not a number's; use FP64 or FP32")
        values = self._values(tensor)
        return tensor.shape[0], [values[place::width] for place in range(width)]

    def _gather(self, tensors: list[InputTensor]) -> tuple[int, list[list[Any]]]:
        columns: list[Any] = [None] * len(self._names)
        rows = tensors[0].shape[0] if tensors and tensors[0].shape else 0
        invalid: dict[int, int] = {}
        problems: list[str] = []
        for tensor in tensors:
            place = self._index.get(tensor.name)
            if place is None:
                raise InputError(self._unknown(tensor.name))
            if columns[place] is not None:
                raise InputError(f"{tensor.name}: is there twice")
            if self._plain(tensor, place, rows):
                columns[place] = tensor.data
                continue
            try:
                columns[place] = self._column(tensor, place, rows)
            except _Refused as error:
                columns[place] = ()
                invalid[place] = error.count
                problems.append(f"{tensor.name}: {error}")
        missing = [name for name, column in zip(self._names, columns, strict=True) if column is None]
        if missing:
            raise InputError(
                f"missing input {_names(missing)}; a missing value is null in its data, the column is required"
            )
        if problems:
            raise InputError("; ".join(problems), invalid)
        return rows, columns

    def _plain(self, tensor: InputTensor, place: int, rows: int) -> bool:
        """Whether the data is the column as it stands, which nearly all are; if not, :meth:`_column` says why."""
        data, datatype = tensor.data, tensor.datatype
        return (
            len(data) == rows > 0
            and (tensor.shape == [rows] or tensor.shape == [rows, 1])  # noqa: PLR1714 - twice as fast as a tuple
            and datatype != "FP32"
            and datatype in self._inputs[place].datatypes
            and type(data[0]) is not list
        )

    def _column(self, tensor: InputTensor, place: int, rows: int) -> list[Any]:
        shape = tensor.shape
        if tensor.datatype not in self._inputs[place].datatypes:
            allowed = _names(sorted(self._inputs[place].datatypes))
            raise _Refused(_sent(tensor), f"datatype {_shown(tensor.datatype)} does not fit; allowed: {allowed}")
        if shape not in ([rows], [rows, 1]):
            raise _Refused(_sent(tensor), f"shape {shape} is neither [{rows}] nor [{rows},1] as the first input's")
        if rows < 1:
            raise _Refused(_sent(tensor), f"shape {shape} has no row")
        try:
            return self._values(tensor)
        except InputError as error:
            raise _Refused(_sent(tensor), str(error).removeprefix(f"{tensor.name}: ")) from None

    @staticmethod
    def _values(tensor: InputTensor) -> list[Any]:
        values = tensor.data
        if values and type(values[0]) is list:
            values = _flat(values)
        if len(values) != prod(tensor.shape):
            raise InputError(f"{tensor.name}: {len(values)} values do not fill shape {tensor.shape}")
        return _shortest(values) if tensor.datatype == "FP32" else values

    def _decode_columns(self, rows: int, columns: list[list[Any]]) -> Rows:
        many = rows >= MANY_ROWS
        decoded: list[Any] = []
        invalid: dict[int, int] = {}
        problems: list[str] = []
        for place, (item, values) in enumerate(zip(self._inputs, columns, strict=True)):
            try:
                decoded.append(item.many(values) if many else item.few(values))
            except _Refused as error:
                invalid[place] = error.count
                problems.append(f"{self._names[place]}: {error}")
        if problems:
            raise InputError("; ".join(problems), invalid)
        if many:
            return np.column_stack(decoded).astype(np.float64, copy=False)
        if self._wide:
            return [_flat_row(row) for row in zip(*decoded, strict=True)]
        return list(map(list, zip(*decoded, strict=True)))

    def _unknown(self, name: str) -> str:
        from difflib import get_close_matches  # noqa: PLC0415 - for a mistake alone

        nearest = get_close_matches(name, self._names, n=1, cutoff=0)
        hint = f'; the nearest is "{nearest[0]}"' if nearest else ""
        return f"unknown input {_shown(name)}{hint}"


def _flat_row(row: Iterable[Any]) -> list[float | None]:
    return list(chain.from_iterable(value if type(value) is list else (value,) for value in row))


def _input(item: Input) -> NumericInput | CategoricalInput | WideInput:
    if item.wide:
        return wide_input(item)
    return NumericInput() if item.kind == "Numeric" else CategoricalInput(item.categories)
