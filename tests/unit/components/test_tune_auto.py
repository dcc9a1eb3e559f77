"""Which columns become features by themselves, of what kind, and why others do not."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.contracts.prepare import Rename
from perennial.contracts.request import AutoFeatures, ByTime, RunRequest, Split, Target
from perennial_components.failure import RunError
from perennial_components.split.core import split
from perennial_components.tune.auto import chosen, resolved
from tests.unit.components.support import CATEGORICAL, NUMERIC, prepared, request, text_table

ROWS = 200


def asked(**changes: Any) -> RunRequest:
    """A request that leaves the features to us."""
    usual = {"numeric": (), "categorical": (), "auto": AutoFeatures(), "target": Target("y"), "slices": ()}
    return request(**{**usual, **changes})


def table(**columns: list[Any]) -> pd.DataFrame:
    """200 rows with these columns and a target."""
    return text_table(**columns, y=[str(row % 2) for row in range(ROWS)])


def judged(cells: list[Any]) -> str:
    """The kind of a column with these cells, or why it is none."""
    found = chosen(asked(), table(x=cells, other=[str(row * 0.5) for row in range(ROWS)]))
    if "x" in found.left_out:
        return found.left_out["x"]
    return "Numeric" if "x" in found.numeric else "Categorical"


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([str(row / 3) for row in range(ROWS)], "Numeric"),
        ([str(row % 7) for row in range(ROWS)], "Numeric"),
        (["?" if row % 25 == 0 else str(row % 90) for row in range(ROWS)], "Numeric"),
        ([str((row * 7919) % 100_003) for row in range(ROWS)], "Numeric"),
        ([str(row % 3 / 2) for row in range(ROWS)], "Numeric"),
        ([str(row % 4) for row in range(ROWS)], "Categorical"),
        (["True" if row % 3 else "False" for row in range(ROWS)], "Categorical"),
        ([None if row % 2 else f"kind {row % 9}" for row in range(ROWS)], "Categorical"),
        ([str(1000 + row) for row in range(ROWS)], "another whole number in each row: an identifier"),
        ([f"u-{row}" for row in range(ROWS)], "another text in each row: an identifier"),
        ([f"u-{row // 1.5}" for row in range(ROWS)], "133 different texts, more than 100"),
        (["7"] * ROWS, "'7' in every row that has a value"),
        ([None] * ROWS, "no value in any row"),
    ],
)
def test_a_column_is_judged_by_what_it_holds(cells: list[Any], kind: str) -> None:
    assert judged(cells) == kind


def test_columns_with_another_role_are_left_out_and_named_ones_stay_as_named() -> None:
    numbers = [str(row / 7) for row in range(ROWS)]
    found = chosen(
        asked(
            split=Split(0.25, 7, key=("key",), group="ward", by_time=ByTime("day", "2026-01-01")),
            time="seen",
            categorical=("code",),
            auto=AutoFeatures(("mine",)),
        ),
        table(key=numbers, ward=numbers, day=numbers, seen=numbers, mine=numbers, code=numbers, free=numbers),
    )
    assert (found.numeric, found.categorical) == (("free",), ("code",))
    assert found.left_out == {
        "key": "data.split.key",
        "ward": "data.split.group",
        "day": "data.split.byTime",
        "seen": "data.time",
        "mine": "excluded by features.auto",
        "y": "the target",
    }


def test_nothing_left_is_an_error_that_says_why() -> None:
    with pytest.raises(RunError, match=r"finds no column that may be a feature .*'x': '7' in every row") as error:
        chosen(asked(), table(x=["7"] * ROWS))
    assert error.value.reason == "DataRejected"


@given(st.permutations(range(ROWS)))
def test_the_choice_does_not_depend_on_the_rows_order(order: list[int]) -> None:
    random = np.random.default_rng(1)
    rows = table(
        a=[str(each) for each in random.normal(size=ROWS)],
        b=[str(each) for each in random.integers(0, 4, ROWS)],
        c=[f"t{each}" for each in random.integers(0, 150, ROWS)],
    )
    assert chosen(asked(), rows.iloc[order].reset_index(drop=True)) == chosen(asked(), rows)


def test_the_hospitals_columns_are_chosen_as_a_person_chose_them() -> None:
    wanted = asked(target=Target("num", above=0))
    table, rows, signature = prepared(wanted)
    assert {item.name for item in signature.inputs} == {*NUMERIC, *CATEGORICAL}
    chosen_otherwise = {item.name for item in signature.inputs if item.kind == "Categorical"} ^ set(CATEGORICAL)
    assert chosen_otherwise == {"ca"}, "four whole numbers are codes until a person says that they are counts"
    assert rows.features.shape == (303, 13)
    named = resolved(wanted, table)
    assert (named.auto, resolved(named, table)) == (None, named)
    assert split(named, table)[1] == signature


def test_a_renamed_column_keeps_its_role() -> None:
    few = [str(row // 9 / 2) for row in range(ROWS)]
    steps = (Rename(source="patient", to="person"), Rename(source="person", to="pid"), Rename(source="day", to="at"))
    wanted = asked(
        split=Split(0.25, 7, group="patient", by_time=ByTime("day", "2026-01-01")),
        prepare=(*steps, Rename(source="note", to="said")),
        auto=AutoFeatures(("note",)),
    )
    found = chosen(wanted, table(pid=few, at=few, said=few, free=few))
    assert found.numeric == ("free",)
    assert (found.left_out["pid"], found.left_out["at"]) == ("data.split.group", "data.split.byTime")
    assert found.left_out["said"] == "excluded by features.auto"


def test_an_excluded_column_that_is_not_there_is_an_error() -> None:
    with pytest.raises(RunError, match=r"features.auto.exclude: .*'patient_di' .*did you mean 'patient_id'") as error:
        chosen(asked(auto=AutoFeatures(("patient_di",))), table(patient_id=[str(row / 7) for row in range(ROWS)]))
    assert error.value.reason == "DataRejected"
