"""Data that a model should not be trained on is refused, with everything that is wrong with it at once."""

from typing import Any

import pandas as pd
import pytest

from perennial.contracts.prepare import Bucket, Clip, Filter, Log, Ratio
from perennial.contracts.request import AutoFeatures, Check, Target
from perennial_components.check.core import check
from perennial_components.failure import RunError
from tests.unit.components.support import prepared, request, text_table


def refused(table: pd.DataFrame, **changes: Any) -> list[str]:
    with pytest.raises(RunError) as error:
        check(request(**changes), table)
    assert error.value.reason == "DataRejected"
    return error.value.message.splitlines()


def small(**columns: list[Any]) -> pd.DataFrame:
    rows: dict[str, list[Any]] = {"num": ["0", "1"] * 20, "age": ["50"] * 40, "sex": ["0", "1"] * 20} | columns
    return text_table(**rows)


SMALL: dict[str, Any] = {"numeric": ("age",), "categorical": ("sex",)}


def test_good_data_passes() -> None:
    asked = request(checks=(Check("age", 0, 120), Check("chol", max_missing=0.3), Check("sex", allowed=("0", "1.0"))))
    assert check(asked, prepared(asked)[0]).classes == {"0": 164, "1": 139}


def test_every_failure_is_told_with_its_count_and_two_values() -> None:
    table = small(age=["-3", "150", "old", "200", "151", None] + ["50"] * 34, sex=["m"] * 10 + ["1.0"] * 30)
    checks = (Check("age", 0, 120, max_missing=0.0), Check("sex", allowed=("0", "1")))
    assert refused(table, checks=checks, **SMALL) == [
        "column 'age': a number: 1 rows fail, for example old",
        "column 'age': at least 0: 1 rows fail, for example -3",
        "column 'age': at most 120: 3 rows fail, for example 150 and 200",
        "column 'age': at most 0% missing, 2.5% are: 1 rows fail",
        "column 'sex': one of 0, 1: 10 rows fail, for example m",
    ]


def test_one_class() -> None:
    assert refused(small(num=["0"] * 40), **SMALL) == [
        "column 'num' is the target and has one class only ('0': 40 rows): there is nothing to tell apart"
    ]


def test_a_class_smaller_than_the_folds() -> None:
    assert refused(small(num=["0"] * 38 + ["1"] * 2), folds=5, **SMALL) == [
        (
            "column 'num' is the target: every class needs at least 5 rows, one a fold"
            " ('1' has fewer; '0': 38 rows, '1': 2 rows)"
        )
    ]


def test_a_target_with_holes_or_words() -> None:
    assert refused(small(num=[None, "x", *["0", "1"] * 19]), **SMALL) == [
        "column 'num' is the target and is missing in 1 of 40 rows",
        "column 'num' is the target, compared with 0: 1 values are no numbers",
    ]


def test_too_few_rows_and_a_numeric_column_of_words() -> None:
    table = text_table(num=["0", "1"] * 5, age=["young", "old"] * 5, sex=["0", "1"] * 5)
    assert refused(table, **SMALL) == [
        "10 rows are too few to train on: at least 20 are needed",
        "column 'age' is declared numeric, but none of its values is a number, for example young",
    ]


def test_a_target_of_words() -> None:
    table = small(num=["yes", "no"] * 20)
    assert check(request(target=Target("num", equals="yes"), **SMALL), table).classes == {"0": 20, "1": 20}
    assert check(request(target=Target("num"), **SMALL), table).classes == {"no": 20, "yes": 20}


TIMES = ["2026-05-31", "2026-05-31T07:30:00Z", "2026-05-31 09:30+02:00", "1780000000", "1780000000.5"]


def test_times_are_iso_dates_or_unix_seconds() -> None:
    assert check(request(time="seen", **SMALL), small(seen=TIMES * 8)).rows == 40


@pytest.mark.parametrize("wrong", ["yesterday", "now", "31.05.2026", "2026-13-01", "1780000000000", "inf"])
def test_a_time_that_cannot_be_read(wrong: str) -> None:
    assert refused(small(seen=[wrong, None, *TIMES[:2] * 19]), time="seen", **SMALL) == [
        "column 'seen' is data.time and is missing in 1 of 40 rows",
        (
            "column 'seen': data.time: an ISO 8601 date (2026-05-31, with or without a time) or Unix seconds:"
            f" 1 rows fail, for example {wrong}"
        ),
    ]


@pytest.mark.parametrize("auto", [None, AutoFeatures()])
def test_value_steps_that_cannot_be_done_are_told_all_at_once_before_anything_is_fitted(
    auto: AutoFeatures | None,
) -> None:
    steps = (
        Clip("agee", min=0), Filter("age", min=1), Log("sex"), Ratio("r", "age", "num"), Ratio("r", "age", "r"),
        Bucket("age", (1.0, 2.0)), Log("age"),
    )  # fmt: skip
    named = SMALL if auto is None else {"auto": auto, "numeric": (), "categorical": (), "slices": ()}
    assert refused(small(age=list(map(str, range(40, 60))) * 2), prepare=steps, **named) == [
        "data.prepare[0].clip: 'agee' is no feature (did you mean 'age'?)",
        "data.prepare[2].log: 'sex' is Categorical and not Numeric",
        "data.prepare[3].ratio: 'num' is no feature",
        "data.prepare[4].ratio: there is an input 'r' already",
        "data.prepare[6].log: 'age' is Categorical and not Numeric",
    ]


def test_where_no_column_may_be_a_feature_the_steps_say_that_alone() -> None:
    named = {"auto": AutoFeatures(), "numeric": (), "categorical": (), "slices": ()}
    table = text_table(num=["0", "1"] * 20, all=["1"] * 40)
    [said] = refused(table, prepare=(Clip("all", min=0),), **named)
    assert said.startswith("features.auto finds no column that may be a feature")
