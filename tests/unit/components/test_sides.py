"""Which rows are held out by group and by time, and what is told of the data."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contracts.prepare import Cast, Filter, Rename
from perennial.contracts.request import ByTime, Check, Require, Split, Target
from perennial_components.check.core import check
from perennial_components.check.profile import profile_of
from perennial_components.failure import RunError
from perennial_components.prepare.rows import prepare_rows
from perennial_components.split.core import split
from perennial_components.split.folds import folds
from perennial_components.split.sides import sides
from tests.unit.components.support import request, text_table


def asked(how: Split, **changes: Any) -> Any:
    base = {"target": Target("y"), "numeric": ("x",), "categorical": (), "slices": (), "imbalance": "None"}
    return request(split=how, **{**base, **changes})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=60), st.lists(st.integers(0, 30), max_size=20))
def test_a_group_never_straddles_and_never_moves(groups: list[int], joining: list[int]) -> None:
    how = asked(Split(0.3, 7, group="who"))
    before, after = (
        sides(how, text_table(who=[str(each) for each in both], x=[str(at) for at in range(len(both))]))
        for both in (groups, groups + joining)
    )
    side = {}
    for who, held in zip(groups + joining, after.held.tolist(), strict=True):
        assert side.setdefault(who, held) == held
    assert after.held[: len(groups)].tolist() == before.held.tolist()
    assert before.groups is not None
    assert len(set(before.groups.tolist())) == len(set(groups))


def test_rows_from_a_time_on_are_held_out() -> None:
    days = ["2026-01-01", "2026-03-01T00:00:00Z", "2026-02-28", "1772323200"]
    found = sides(asked(Split(0.25, 7, by_time=ByTime("day", "2026-03-01"))), text_table(day=days))
    assert found.held.tolist() == [False, True, False, True]
    assert found.groups is not None
    assert found.groups.tolist() == [0, 2, 1, 2], "in the order of time"


@pytest.mark.parametrize(
    ("days", "says"),
    [
        (["2026-01-01", "soon"], "column 'day' holds no time in 1 of 2 rows, for example soon"),
        (["2026-01-01", "2026-01-02"], "split.byTime.from: none of the 2 rows"),
        (["2027-01-01", "2027-01-02"], "split.byTime.from: all of the 2 rows"),
    ],
)
def test_a_time_that_divides_nothing_is_refused(days: list[str], says: str) -> None:
    with pytest.raises(RunError) as failed:
        sides(asked(Split(0.25, 7, by_time=ByTime("day", "2026-03-01"))), text_table(day=days))
    assert says in failed.value.message


def test_a_row_without_a_group_is_refused_and_may_be_filtered_out() -> None:
    how, table = asked(Split(0.3, 7, group="who")), text_table(who=["a", None, "b", None, "a"])
    with pytest.raises(RunError, match=r"split\.group: column 'who' is missing in 2 of 5 rows"):
        sides(how, table)
    _, places = prepare_rows((Filter("who", missing="Drop"),), table)
    assert sides(how, table, places).held.tolist() == sides(how, text_table(who=["a", "b", "a"])).held.tolist()


def test_a_row_that_is_left_out_needs_no_time() -> None:
    how, table = (
        asked(Split(0.25, 7, by_time=ByTime("day", "2026-03-01"))),
        text_table(day=["2026-01-01", None, "2027-01-01"]),
    )
    _, places = prepare_rows((Filter("day", missing="Drop"),), table)
    assert sides(how, table, places).held.tolist() == [False, True]


def test_what_is_prepared_moves_no_row() -> None:
    table = text_table(a=[str(at) for at in range(60)], b=[str(at % 7) for at in range(60)])
    steps = (Rename("a", to="c"), Filter("b", not_equals="3"), Cast("c", "Number"))
    prepared, places = prepare_rows(steps, table)
    alone, left = sides(asked(Split(0.3, 7)), table).held, sides(asked(Split(0.3, 7)), table, places).held
    assert left.tolist() == [alone[int(a)] for a in prepared["c"]]


def test_folds_by_time_are_stretches_of_it_with_every_row_once() -> None:
    random = np.random.default_rng(2)
    days = [
        f"2026-{month:02d}-{day:02d}"
        for month, day in zip(random.integers(1, 7, 300), random.integers(1, 28, 300), strict=True)
    ]
    table = text_table(day=days, x=[str(at) for at in range(300)], y=[str(at % 2) for at in range(300)])
    how = asked(Split(0.25, 7, by_time=ByTime("day", "2026-05-15")))
    rows, _ = split(how, table)
    assert rows.groups is not None
    times = rows.groups[~rows.held]
    found = folds(rows, how)
    assert sorted(np.concatenate([test for _, test in found]).tolist()) == list(range(len(times)))
    for (_, before), (_, after) in pairwise(found):
        assert times[before].max() < times[after].min()


def test_folds_keep_groups_together() -> None:
    random = np.random.default_rng(1)
    who = random.integers(0, 40, 400)
    table = text_table(who=list(map(str, who)), x=list(map(str, random.normal(size=400))), y=list(map(str, who % 2)))
    how = asked(Split(0.25, 7, group="who"))
    rows, _ = split(how, table)
    assert rows.groups is not None
    trained = rows.groups[~rows.held]
    for fit, test in folds(rows, how):
        assert not set(trained[fit]) & set(trained[test])


# --- checks -------------------------------------------------------------------------------------------------------


def test_types_patterns_and_uniqueness_are_told_at_once() -> None:
    table = text_table(
        n=["1", "2.5", "x", "3"] * 10, on=["yes", "0", "maybe", None] * 10, when=["2026-01-01", "5", "never", "1"] * 10,
        code=["A1", "B2", "c3", "A1"] * 10, y=["0", "1"] * 20, x=[str(at) for at in range(40)],
    )  # fmt: skip
    checks = (
        Check("n", type="Integer"), Check("on", type="Boolean"), Check("when", type="Datetime"),
        Check("code", pattern="[A-Z][0-9]", unique=True), Check("x", type="Text"), Check("n", type="Number", max=2),
    )  # fmt: skip
    with pytest.raises(RunError) as failed:
        check(asked(Split(0.25, 7), checks=checks, require=Require(min_rows=100, min_rows_per_class=30)), table)
    assert failed.value.message.splitlines() == [
        "column 'n': an Integer: 20 rows fail, for example 2.5 and x",
        "column 'n': a Number: 10 rows fail, for example x",
        "column 'n': at most 2: 20 rows fail, for example 2.5 and 3",
        "column 'on': a Boolean: 10 rows fail, for example maybe",
        "column 'when': a Datetime: 10 rows fail, for example never",
        "column 'code': all of it like [A-Z][0-9]: 10 rows fail, for example c3",
        "column 'code': unique: 40 rows fail, for example A1 and B2",
        "column 'x': a Text: 40 rows fail, for example 0 and 1",
        "40 rows are too few to train on: at least 100 are needed (data.require.minRows)",
        (
            "column 'y' is the target: every class needs at least 30 rows, data.require.minRowsPerClass"
            " ('0', '1' has fewer; '0': 20 rows, '1': 20 rows)"
        ),
    ]


def test_one_failure_is_told_once_and_shortly_however_it_is_declared() -> None:
    table = text_table(n=["1", "old"] * 20, word=["w" * 5000 + str(at) for at in range(40)], y=["0", "1"] * 20)
    checks = (Check("n", min=0), Check("n", max=5), Check("word", allowed=tuple(f"{at}" * 100 for at in range(9))))
    with pytest.raises(RunError) as failed:
        check(asked(Split(0.25, 7), numeric=("n",), checks=checks), table)
    first, second = failed.value.message.splitlines()
    assert first == "column 'n': a number: 20 rows fail, for example old"
    assert second.startswith("column 'word': one of 000")
    assert len(second) < 400


def test_a_pattern_that_is_none_is_told() -> None:
    with pytest.raises(RunError, match=r"column 'y': all of it like .* cannot be checked"):
        check(
            asked(Split(0.25, 7), checks=(Check("y", pattern="("),)), text_table(y=["0", "1"] * 20, x=["1", "2"] * 20)
        )


# --- profile ------------------------------------------------------------------------------------------------------


def test_the_profile_finds_what_a_person_would_want_to_know() -> None:
    random = np.random.default_rng(3)
    size = 400
    y = random.integers(0, 2, size)
    table = text_table(
        y=list(map(str, y)),
        leak=list(map(str, y * 2 + random.normal(scale=0.01, size=size))),
        noise=list(map(str, random.normal(size=size))),
        same=["1"] * size,
        some=[None if draw < 0.6 else "5" for draw in random.random(size)],
        name=[f"p{at}" for at in range(size)],
        kind=["ab"[place] if random.random() < 0.8 else "ab"[1 - place] for place in y],
    )
    how = asked(Split(0.25, 7), numeric=("leak", "noise", "same", "some"), categorical=("name", "kind"))
    rows, signature = split(how, table)
    found = profile_of(how, table, rows, signature)
    assert [(each.kind, each.column) for each in found.findings] == [
        ("Leakage", "leak"), ("Identifier", "name"), ("Constant", "same"), ("Constant", "some"), ("Missing", "some"),
    ]  # fmt: skip
    by_name = {each.name: each for each in found.columns}
    assert by_name["y"].role == "Target"
    assert sum(by_name["noise"].counts) == size
    assert by_name["leak"].measure == "pearson"
    assert (by_name["leak"].association or 0) > 0.99
    assert by_name["kind"].measure == "cramers_v"
    assert 0.4 < (by_name["kind"].association or 0) < 0.8
    assert abs((by_name["noise"].alone or 0.5) - 0.5) < 0.15
    assert by_name["name"].top == (), "no value that points at one row is shown"
    assert dict(found.classes) == {"0": int((y == 0).sum()), "1": int((y == 1).sum())}


def test_copies_across_the_split_are_found_and_a_number_is_profiled_too() -> None:
    random = np.random.default_rng(4)
    x = random.normal(size=100)
    table = text_table(x=list(map(str, x)) * 3, y=[str(2 * value) for value in x] * 2 + ["0"] * 99 + ["1"])
    how = asked(Split(0.3, 7), task="Regression", metric="rmse")
    rows, signature = split(how, table)
    found = profile_of(how, table, rows, signature)
    assert found.shared > 0
    assert {"SplitDuplicates", "Duplicates"} <= {each.kind for each in found.findings}
    assert found.classes == ()
    assert found.columns[1].alone is not None


def test_a_copy_of_a_number_leaks_whatever_its_shape_and_a_running_number_identifies() -> None:
    random = np.random.default_rng(5)
    value = random.lognormal(sigma=2, size=600)
    written = [repr(float(each)) for each in value]
    table = text_table(y=written, copy=[repr(float(each)) for each in np.log(value)], id=[str(at) for at in range(600)])
    how = asked(Split(0.3, 7), task="Regression", metric="rmse", numeric=("copy", "id"))
    rows, signature = split(how, table)
    found = profile_of(how, table, rows, signature).findings
    assert [(each.kind, each.column) for each in found] == [("Leakage", "copy"), ("Identifier", "id")]


def test_numbers_that_no_float32_holds_are_refused_by_name_and_large_ones_are_profiled() -> None:
    y = ["0", "1"] * 20
    table = text_table(x=["1e39", *map(str, range(39))], y=y)
    with pytest.raises(RunError, match=r"column 'x': at most 3.403e\+38 in size: a feature is a float32: 1 rows fail"):
        check(asked(Split(0.25, 7)), table)
    rows, _ = split(asked(Split(0.25, 7)), table)
    assert not np.isinf(rows.features).any()

    near = text_table(x=[f"{10**25 + 2**31 * (at % 3)}" for at in range(40)], y=y)
    how = asked(Split(0.25, 7))
    rows, signature = split(how, near)
    assert sum(profile_of(how, near, rows, signature).columns[1].counts) == 40
