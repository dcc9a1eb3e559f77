"""From a date, or a date with its time, to the numbers that a model sees of it: one way for training and serving."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, get_args

DatetimePart = Literal["Year", "Month", "Day", "Weekday", "Hour", "Minute"]
PARTS: tuple[DatetimePart, ...] = get_args(DatetimePart)
USUAL_PARTS: tuple[DatetimePart, ...] = ("Month", "Weekday", "Hour")
"""Those of a column for which nothing else is said."""

_ISO = re.compile(
    r"\d{4}-\d\d-\d\d([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-]([01]\d|2[0-3]):?[0-5]\d)?)?", re.ASCII
)
_READ: dict[DatetimePart, Callable[[datetime], int]] = {
    "Year": lambda at: at.year,
    "Month": lambda at: at.month,
    "Day": lambda at: at.day,
    "Weekday": datetime.isoweekday,
    "Hour": lambda at: at.hour,
    "Minute": lambda at: at.minute,
}


def parts_of(text: str, parts: tuple[DatetimePart, ...]) -> list[float]:
    """The ``parts`` of an ISO 8601 date (``2026-05-31``), with or without a time behind ``T`` or a blank: to the
    minute, the second or a fraction of it.

    Month and Day count from 1, Weekday is 1 on Mondays and 7 on Sundays, Hour and Minute are 0 of a date alone. A time
    with an offset is taken to UTC, one without stays as it stands. Raises ValueError for any other text.
    """
    text = text.strip()
    if not _ISO.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no ISO 8601 date")
    try:
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:  # no such day, or an offset that leads out of the years 1 to 9999
        raise ValueError(f"{text!r} is no date of the years 1 to 9999") from error
    return [float(_READ[part](at)) for part in parts]
