"""Whatever is asked, in whatever order: each row has the newest value of its time, as a plain loop finds it."""

from datetime import UTC, datetime, timedelta

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.feast.lookup import shop
from tests.feast.lookup.asking import Shop

BEGIN = datetime(2026, 2, 26, tzinfo=UTC)
ROWS = st.lists(
    st.tuples(st.sampled_from(["1", "1.0", "2", "9", ""]), st.sampled_from(["north", "south", ""]), st.integers(0, 15)),
    min_size=1,
    max_size=12,
)


def newest(table: pd.DataFrame, key: str, value: str, feature: str, at: datetime) -> object:
    """By hand: the last one that is not after ``at``."""
    known = table[(table[key].astype(str) == value.removesuffix(".0")) & (table["event_timestamp"] <= pd.Timestamp(at))]
    found = None if known.empty else known.sort_values("event_timestamp")[feature].iloc[-1]
    return None if found is None or pd.isna(found) else found


@settings(max_examples=15, deadline=None)
@given(drawn=ROWS)
def test_every_row_has_the_newest_value_of_its_time(repository: Shop, drawn: list[tuple[str, str, int]]) -> None:
    drawn = [*drawn, ("1", "north", 9)]  # one at least has all keys
    times = [BEGIN + timedelta(days=day) for _, _, day in drawn]
    lines = [
        f"{driver},{place},{at.isoformat()},{number}"
        for number, ((driver, place, _), at) in enumerate(zip(drawn, times, strict=True))
    ]
    text = "\n".join(["driver_id,shop,event_timestamp,late", *lines]) + "\n"
    rows, _ = repository.ask(text, "shops:town", "drivers:rating", "drivers:trips")
    tables = shop.history()
    assert [row["late"] for row in rows] == [str(number) for number in range(len(drawn))]
    for row, (driver, place, _), at in zip(rows, drawn, times, strict=True):
        assert row["town"] == newest(tables["shops"], "shop", place, "town", at)
        assert row["trips"] == newest(tables["drivers"], "driver_id", driver, "trips", at)
        assert row["rating"] == newest(tables["drivers"], "driver_id", driver, "rating", at)
