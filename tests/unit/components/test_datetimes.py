"""Features that are dates: what a model sees of them in training is what it sees of them in serving."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perennial.contracts.baseline import INVALID, MISSING, OTHER, VALID
from perennial.contracts.datetimes import PARTS, USUAL_PARTS, parts_of
from perennial.contracts.prepare import Clip, Ratio
from perennial.contracts.request import AutoFeatures, Candidate, DatetimeFeature, Split, Target
from perennial.contracts.signature import Input, Signature, by_column, starts
from perennial_components.baseline.core import baseline
from perennial_components.baseline.joint import joint_of
from perennial_components.check.core import check
from perennial_components.check.profile import profile_of
from perennial_components.evaluate.comparable import Trained, difference, untaken
from perennial_components.evaluate.importance import importance
from perennial_components.export.core import export
from perennial_components.failure import RunError
from perennial_components.prepare.core import prepared
from perennial_components.records import Evaluation
from perennial_components.split.core import split
from perennial_components.split.encoding import encode
from perennial_components.storage import OutOfFold
from perennial_components.tune.auto import chosen
from perennial_components.tune.core import tune
from tests.unit.components.support import request, text_table

ALL = Signature(
    "Classification", (Input("age", "Numeric"), Input("seen", "Datetime", parts=PARTS)), "y", ("0", "1")
)  # fmt: skip
ROWS = 240


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("2026-05-31", [2026, 5, 31, 7, 0, 0]),
        ("2026-06-01T08:30", [2026, 6, 1, 1, 8, 30]),
        ("2026-06-01 08:30:59.999", [2026, 6, 1, 1, 8, 30]),
        ("2026-06-01T08:30:00Z", [2026, 6, 1, 1, 8, 30]),
        ("2026-06-01T00:30:00+02:00", [2026, 5, 31, 7, 22, 30]),
        ("2026-05-31 23:30:00-0100", [2026, 6, 1, 1, 0, 30]),
    ],
)
def test_a_date_is_its_parts_in_utc(text: str, parts: list[float]) -> None:
    assert parts_of(text, PARTS) == parts


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "1780272000", "20260531", "2026-W22-7", "31.05.2026", "2026-02-30", "2026-05-31T24:00",
        "2026-05-31T", "2026-05-31T08", "2026-05-31T08:60", "0001-01-01T00:00+01:00", "9999-12-31T23:59-01:00",
        "\uff12\uff10\uff12\uff16-05-31",
    ],
)  # fmt: skip
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        parts_of(text, PARTS)


_ZONES = st.none() | st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=st.none()), _ZONES, st.sampled_from(["T", " "]))
@example(datetime(1, 1, 1), timezone(timedelta(hours=1)), "T")  # noqa: DTZ001
def test_every_moment_is_read_as_it_was_written(at: datetime, zone: timezone | None, between: str) -> None:
    text = at.replace(tzinfo=zone).isoformat(between)
    try:
        taken = at if zone is None else at.replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        with pytest.raises(ValueError, match="years 1 to 9999"):
            parts_of(text, PARTS)
        return
    wanted = [taken.year, taken.month, taken.day, taken.weekday() + 1, taken.hour, taken.minute]
    assert parts_of(text, PARTS) == wanted


def test_the_tensor_has_a_column_for_each_part() -> None:
    table = text_table(age=["63", "41", "7"], seen=["2026-05-31 10:00:00+00:00", None, "soon"])
    found = encode(ALL, table)
    assert found.shape == (3, 7)
    np.testing.assert_array_equal(found[0], [63, 2026, 5, 31, 7, 10, 0])
    assert np.isnan(found[1:, 1:]).all()
    assert (starts(ALL.inputs), len(by_column(ALL.inputs))) == ([0, 1, 7], 7)


def test_a_signature_from_before_dates_is_read_and_written_as_before() -> None:
    old = b'{"name":"age","kind":"Numeric","categories":[],"example":54.0}'
    read = msgspec.json.decode(old, type=Input)
    assert (read, read.width) == (Input("age", "Numeric", example=54.0), 1)
    assert b"parts" not in msgspec.json.encode(read), "servers from before refuse what they do not know"


@pytest.mark.parametrize("wrong", [b'"kind":"Datetime"', b'"kind":"Numeric","parts":["Hour"]'])
def test_dates_alone_have_parts(wrong: bytes) -> None:
    with pytest.raises(msgspec.ValidationError, match="input 'a': a Datetime has parts, and nothing else has"):
        msgspec.json.decode(b'{"name":"a",' + wrong + b"}", type=Input)


# --- what features.auto makes of it -------------------------------------------------------------------------------


def _rows(**more: list[Any]) -> Any:
    random = np.random.default_rng(3)
    at = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=int(hour)) for hour in random.integers(0, 4000, ROWS)]
    night = np.array([each.hour < 8 for each in at])
    truth = np.where(random.random(ROWS) < 0.1, ~night, night)
    return text_table(
        seen=[each.isoformat() for each in at],
        age=[str(each) for each in random.normal(50, 10, ROWS).round(2)],
        y=[str(int(each)) for each in truth],
        **more,
    )


def _asked(**changes: Any) -> Any:
    usual: dict[str, Any] = {
        "numeric": ("age",), "categorical": (), "datetime": (DatetimeFeature("seen"),), "target": Target("y"),
        "slices": (), "trials": 1, "split": Split(0.25, 7),
    }  # fmt: skip
    return request(**(usual | changes))


def test_auto_takes_dates_for_dates() -> None:
    words = [f"word{row % 150} of {row}" for row in range(ROWS)]
    mixed = ["2026-05-31" if row % 2 else f"ward {row % 3}" for row in range(ROWS)]
    table = _rows(said=words, mixed=mixed)
    found = chosen(_asked(numeric=(), datetime=(), auto=AutoFeatures()), table)
    assert found.datetime == (DatetimeFeature("seen", USUAL_PARTS),)
    assert (found.numeric, found.categorical) == (("age",), ("mixed",))
    assert set(found.left_out) == {"said", "y"}
    mine = DatetimeFeature("seen", ("Hour",))
    assert chosen(_asked(datetime=(mine,), auto=AutoFeatures()), table).datetime == (mine,)


# --- a model of it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["LogisticRegression", "HistGradientBoosting", "RandomForest"])
def test_a_model_learns_from_the_hour_and_serves_it(algorithm: str) -> None:
    table = _rows()
    asked = _asked(candidates=(Candidate(algorithm),), prepare=(Ratio("same", "age", "age"), Clip("age", max=60)))
    rows, signature = split(asked, table)
    assert signature.inputs[1] == Input("seen", "Datetime", example=signature.inputs[1].example, parts=USUAL_PARTS)
    assert rows.features.shape == (ROWS, 4)
    rows.features[:20, 1:] = np.nan
    model, tuned, _ = tune(asked, signature, rows)
    assert tuned.candidates[0].score > 0.6
    onnx, parity = export(asked, signature, model, rows.features)
    assert onnx is not None, parity
    assert parity.rows == ROWS
    held = rows.held
    found = importance(signature, onnx, rows.features[held], rows.target[held], "roc_auc", seed=1)
    assert [each.feature for each in found] == ["seen", "age"], "its parts are permuted together"


def test_its_profile_is_that_of_one_column() -> None:
    table = _rows()
    rows, signature = split(_asked(), table)
    profile = profile_of(_asked(), table, rows, signature)
    [seen] = [column for column in profile.columns if column.name == "seen"]
    assert (seen.kind, seen.missing, seen.distinct) == ("Datetime", 0, table["seen"].nunique())
    assert seen.alone is not None
    assert seen.alone > 0.75, "the best of its parts"
    assert not [finding for finding in profile.findings if finding.column == "seen"], "it is no identifier"


def test_the_joint_distribution_leaves_out_what_moves_with_time() -> None:
    inputs = (Input("a", "Numeric"), Input("b", "Numeric"), Input("seen", "Datetime", parts=("Year", "Hour")))
    signature = Signature("Classification", inputs, "y", ("0", "1"))
    random = np.random.default_rng(2)
    features = random.normal(size=(300, 4)).astype(np.float32)
    found, without = joint_of(signature, features), joint_of(_first(signature, 2), features[:, :2])
    assert found is not None
    assert without is not None
    assert found.distribution == without.distribution
    assert len(found.centre) == 4


def _first(signature: Signature, count: int) -> Signature:
    return msgspec.structs.replace(signature, inputs=signature.inputs[:count])


# --- what is refused ----------------------------------------------------------------------------------------------


def test_no_step_on_values_takes_a_date() -> None:
    asked = _asked(prepare=(Clip("seen", max=3),))
    with pytest.raises(RunError, match=r"data.prepare\[0\].clip: 'seen' is Datetime and not Numeric"):
        check(asked, _rows())
    with pytest.raises(RunError, match="'seen' is Datetime and not Numeric"):
        prepared(split(asked, _rows())[1], asked)


@pytest.mark.parametrize(("cell", "says"), [("soon", "soon$"), ("1780272000", "Unix seconds of a date: leave it out")])
def test_a_column_without_any_date_is_told(cell: str, says: str) -> None:
    with pytest.raises(RunError, match=rf"'seen' is declared datetime, but none of its values .*{says}"):
        check(_asked(), _rows().assign(seen=cell))


def test_a_champion_of_dates_is_asked_where_there_are_dates() -> None:
    trained = Trained(Target("y"))
    good, bad = text_table(age=["1", "2"], seen=["2026-05-31", "soon"]), text_table(age=["1", "2"], seen=["soon", "x"])
    for rows in (good, bad):
        assert difference(trained, trained, ALL, rows.assign(y="1")) == ""
    assert not list(untaken(ALL, good))
    assert list(untaken(ALL, bad)) == ["its input 'seen' is a date, and no held-out row has such a value"]


# --- what is counted of it ----------------------------------------------------------------------------------------


def test_of_a_date_is_counted_whether_it_is_one() -> None:
    table = _rows()
    table.loc[0, "seen"], table.loc[1, "seen"] = None, "soon"
    rows, signature = split(_asked(), table)
    answers = np.column_stack([np.full(ROWS, 0.25), np.full(ROWS, 0.75)])[~rows.held]
    reference = baseline(
        table, rows, signature, OutOfFold(rows.target[~rows.held], answers), Evaluation(1, {}, (), (), (), ())
    )
    [seen] = [each for each in reference.features if each.name == "seen"]
    assert dict(zip(seen.bins, seen.counts, strict=True)) == {MISSING: 1, INVALID: 1, VALID: ROWS - 2, OTHER: 0}
