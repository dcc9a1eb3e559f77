"""What a spec says of preparing and splitting, as a run is asked for it and a version records it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.api.data import DataSpec
from perennial.contracts.gates.champion import split_difference
from perennial.contracts.prepare import Bucket, Cast, Clip, DropDuplicates, Filter, Log, Ratio, Rename
from perennial.contracts.request import ByTime, Split
from perennial.domain.split import recorded_split, split_record
from perennial.domain.training.preparation import as_read, split, steps

NAMES = st.sampled_from(["a", "b", "c"])
SPLITS = st.builds(
    Split,
    test=st.sampled_from([0.2, 0.25]),
    seed=st.integers(0, 2),
    key=st.lists(NAMES, max_size=2).map(tuple),
    group=NAMES | st.just(""),
    by_time=st.none() | st.builds(ByTime, NAMES, st.sampled_from(["2026-01-01", "2026-02-01"])),
)


def data(**changes: Any) -> DataSpec:
    base = {"source": {"uri": "s3://data/x.csv"}, "target": {"column": "y"}}
    return DataSpec.model_validate({**base, **changes})


def test_every_step_reaches_the_run_as_it_was_written() -> None:
    given_steps = [
        {"dropDuplicates": {"columns": ["a"]}}, {"filter": {"column": "a", "notEquals": "x", "missing": "Drop"}},
        {"cast": {"column": "a", "type": "Integer", "invalid": "Missing"}}, {"rename": {"from": "a", "to": "b"}},
        {"clip": {"column": "b", "min": 0}}, {"log": {"column": "b", "offset": 1}},
        {"ratio": {"name": "r", "numerator": "b", "denominator": "c"}}, {"bucket": {"column": "c", "edges": [1, 2]}},
    ]  # fmt: skip
    assert steps(data(prepare=given_steps).prepare) == (
        DropDuplicates(("a",)), Filter("a", not_equals="x", missing="Drop"), Cast("a", "Integer", "Missing"),
        Rename("a", "b"), Clip("b", min=0.0), Log("b", 1.0), Ratio("r", "b", "c"), Bucket("c", (1.0, 2.0)),
    )  # fmt: skip


def test_a_split_names_columns_as_they_are_read() -> None:
    renames = (Rename("a", "b"), Rename("b", "c"), Rename("x", "a"))
    assert [as_read(name, renames) for name in ("c", "a", "other")] == ["a", "x", "other"]
    prepare = [{"rename": {"from": "patient", "to": "id"}}, {"rename": {"from": "day", "to": "when"}}]
    assert split(data(prepare=prepare, split={"key": ["id", "visit"]})).key == ("patient", "visit")
    by_time = {"byTime": {"from": "2026-01-01"}}
    assert split(data(prepare=prepare, time="when", split=by_time)).by_time == ByTime("day", "2026-01-01")


def test_a_rename_changes_no_split_but_another_column_by_the_same_name_does() -> None:
    plain = split(data(split={"group": "patient"}))
    renamed = data(split={"group": "id"}, prepare=[{"rename": {"from": "patient", "to": "id"}}])
    other = data(split={"group": "patient"}, prepare=[{"rename": {"from": "ward", "to": "patient"}}])
    assert split_difference(plain, split(renamed)) == ""
    assert split_difference(plain, split(other)) == "group patient, now ward"


@given(SPLITS, SPLITS)
def test_a_record_keeps_all_of_a_split_and_a_difference_is_told(one: Split, other: Split) -> None:
    assert recorded_split(split_record(one)) == one
    assert (split_difference(one, other) == "") == (one == other)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (Split(0.3, 7), "test 0.25, now 0.3"),
        (Split(0.25, 8), "seed 7, now 8"),
        (Split(0.25, 7, ("a", "b")), "key none, now a, b"),
        (Split(0.25, 7, by_time=ByTime("day", "2026-01-01")), "byTime none, now day from 2026-01-01"),
    ],
)
def test_what_changed_is_named(changed: Split, says: str) -> None:
    assert split_difference(Split(0.25, 7), changed) == says
