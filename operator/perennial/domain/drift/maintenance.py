"""The times of the week in which a monitor only watches."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from perennial.api.common import seconds
from perennial.api.drift import Maintenance, MonitorSpec

WEEK = timedelta(days=7)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def problem(spec: MonitorSpec) -> str:
    """Why ``spec.policy.maintenance`` cannot be told, with the field's name; empty when it can."""
    for place, each in enumerate(spec.policy.maintenance):
        field = f"policy.maintenance[{place}]"
        if _zone(each) is None:
            return f"{field}.timeZone: {each.time_zone} is no time zone that is known; write it like Europe/Zurich"
        if timedelta(seconds=seconds(each.length)) > WEEK:
            return f"{field}.length: {each.length} is longer than a week, so it would never end; at most 168h"
    return ""


def maintained_until(windows: Sequence[Maintenance], now: datetime) -> datetime | None:
    """When the maintenance that ``now`` is in ends (UTC); None outside of any, and for a zone that is not known.

    It begins at ``start`` on the clocks of its zone and lasts ``length`` of elapsed time, over midnight and whatever
    happens to the clocks. A start that the clocks leap over is as much later; of one that they show twice the first
    counts.
    """
    ends = [end for each in windows if (end := _end(each, now)) is not None]
    return max(ends, default=None)


def _end(window: Maintenance, now: datetime) -> datetime | None:
    zone = _zone(window)
    if zone is None:
        return None
    length, today = timedelta(seconds=seconds(window.length)), now.astimezone(zone).date()
    at = time.fromisoformat(window.start)
    # Latest first; what began more than a week ago is over, or has begun again.
    for back in range(8):
        day = today - timedelta(days=back)
        begin = datetime.combine(day, at, tzinfo=zone).astimezone(UTC)
        if _DAYS[day.weekday()] in window.days and begin <= now < begin + length:
            return begin + length
    return None


def _zone(window: Maintenance) -> ZoneInfo | None:
    try:
        return ZoneInfo(window.time_zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # A name such as Europe is a folder, and one such as ../x is no key.
        return None
