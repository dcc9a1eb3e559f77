"""Maintenance: when it begins and ends on the clocks of its zone, and what cannot be told."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.api.drift import Maintenance
from perennial.domain.drift.maintenance import maintained_until, problem
from tests.unit.drift.policy_support import spec

DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
ZURICH = "Europe/Zurich"


def window(days: str = "Mon", start: str = "22:00", length: str = "4h", zone: str | None = None) -> Maintenance:
    return Maintenance.model_validate({"days": days.split(), "start": start, "length": length, "timeZone": zone})


def at(text: str) -> datetime:
    """UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("found", "now", "until"),
    [
        (window(), "2026-03-02 21:59:59", None),
        (window(), "2026-03-02 22:00:00", "2026-03-03 02:00:00"),
        (window(), "2026-03-03 01:59:59", "2026-03-03 02:00:00"),
        (window(), "2026-03-03 02:00:00", None),
        (window(), "2026-03-03 22:00:00", None),
        (window("Sun"), "2026-03-02 01:00:00", "2026-03-02 02:00:00"),
        (window("Mon Wed"), "2026-03-04 23:00:00", "2026-03-05 02:00:00"),
        (window("Fri", "18:00", "62h"), "2026-03-09 07:59:59", "2026-03-09 08:00:00"),
        (window("Mon", "12:00", "168h"), "2026-03-05 00:00:00", "2026-03-09 12:00:00"),
        (window("Mon", "12:00", "168h"), "2026-03-09 11:59:59", "2026-03-09 12:00:00"),
        (window("Mon", "12:00", "168h"), "2026-03-09 12:00:00", "2026-03-16 12:00:00"),
        (window("Mon Tue", "22:00", "30h"), "2026-03-03 23:00:00", "2026-03-05 04:00:00"),
        (window(zone="Asia/Tokyo"), "2026-03-02 13:00:00", "2026-03-02 17:00:00"),
        (window(zone="America/Los_Angeles"), "2026-03-03 06:00:00", "2026-03-03 10:00:00"),
        (window(zone="Pacific/Kiritimati", start="00:30"), "2026-03-01 10:30:00", "2026-03-01 14:30:00"),
    ],
    ids=[
        "before", "its first second", "past midnight", "its end", "another day", "from Sunday to Monday", "either day",
        "a weekend", "a whole week", "to its end", "and the next one", "the longer of two", "Tokyo", "Los Angeles",
        "a day that has begun there",
    ],
)  # fmt: skip
def test_when_it_is(found: Maintenance, now: str, until: str | None) -> None:
    assert maintained_until([found], at(now)) == (at(until) if until else None)


@pytest.mark.parametrize(
    ("day", "start", "begin"),
    [
        ("2026-03-28", "01:00", "2026-03-28 00:00:00"),
        ("2026-03-29", "01:00", "2026-03-29 00:00:00"),
        ("2026-03-29", "02:30", "2026-03-29 01:30:00"),
        ("2026-03-29", "03:30", "2026-03-29 01:30:00"),
        ("2026-03-30", "01:00", "2026-03-29 23:00:00"),
        ("2026-10-25", "02:30", "2026-10-25 00:30:00"),
        ("2026-10-25", "03:30", "2026-10-25 02:30:00"),
    ],
    ids=["winter", "the last of winter", "leapt over", "the first of summer", "summer", "shown twice", "winter again"],
)
def test_the_clocks_of_its_zone_say_when_it_begins_and_elapsed_time_when_it_ends(
    day: str, start: str, begin: str
) -> None:
    weekday = DAYS[datetime.fromisoformat(day).weekday()]
    found, began = window(weekday, start, "3h", ZURICH), at(begin)
    second = timedelta(seconds=1)
    assert maintained_until([found], began - second) is None
    assert maintained_until([found], began) == began + timedelta(hours=3)
    assert maintained_until([found], began + timedelta(hours=3) - second) == began + timedelta(hours=3)
    assert maintained_until([found], began + timedelta(hours=3)) is None


def test_of_several_the_last_to_end_counts() -> None:
    both = [window(length="4h"), window(start="23:00", length="9h"), window(zone="no/zone")]
    assert maintained_until(both, at("2026-03-02 23:30:00")) == at("2026-03-03 08:00:00")
    assert maintained_until([], at("2026-03-02 23:30:00")) is None


@given(
    st.lists(st.sampled_from(DAYS), min_size=1, max_size=7),
    st.times(),
    st.integers(1, 168 * 60),
    st.sampled_from(["UTC", ZURICH, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]),
    st.integers(0, 20 * 365 * 86400).map(lambda seconds: at("2011-12-20") + timedelta(seconds=seconds)),
)
def test_it_is_on_exactly_within_length_of_a_start(
    days: list[str], start: Any, minutes: int, zone: str, now: datetime
) -> None:
    found = window(" ".join(days), start.strftime("%H:%M"), f"{minutes}m", zone)
    length = timedelta(minutes=minutes)
    today = now.astimezone(ZoneInfo(zone)).date()
    begins = [
        datetime.combine(day, start.replace(second=0, microsecond=0), tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for day in (today + timedelta(days=offset) for offset in range(-12, 3))
        if DAYS[day.weekday()] in days
    ]
    ends = [begin + length for begin in begins if begin <= now < begin + length]
    assert maintained_until([found], now) == max(ends, default=None)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"timeZone": "Europe/Zuerich"}, "policy.maintenance[1].timeZone: Europe/Zuerich is no time zone"),
        ({"timeZone": "Europe"}, "policy.maintenance[1].timeZone: Europe"),
        ({"timeZone": "/etc/localtime"}, "policy.maintenance[1].timeZone: /etc/localtime"),
        ({"length": "168h1s"}, "policy.maintenance[1].length: 168h1s"),
    ],
)
def test_what_cannot_be_told_is_named_with_its_field(wrong: dict[str, str], says: str) -> None:
    good = {"days": ["Mon"], "start": "22:00", "length": "168h", "timeZone": ZURICH}
    assert problem(spec(maintenance=[good])) == ""
    assert problem(spec(maintenance=[good, {**good, **wrong}])).startswith(says)


def test_utc_is_meant_where_no_zone_is_named() -> None:
    assert problem(spec(maintenance=[{"days": ["Mon"], "start": "22:00", "length": "1h"}])) == ""
    assert problem(spec()) == ""
