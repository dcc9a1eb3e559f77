"""What is measured, beside whom, and what is left out because it is undefined."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contracts import objects
from perennial.contracts.prepare import Cast, Clip, DropDuplicates, Filter, Log, Rename, Step
from perennial.contracts.request import Artifact, Champion, Split, Target
from perennial.contracts.result import CLASSIFICATION_METRICS, ChampionMetrics
from perennial.contracts.signature import Input, Signature
from perennial_components.baseline.calibration import calibration_points
from perennial_components.evaluate.champion import compare
from perennial_components.evaluate.comparable import Trained, difference
from perennial_components.evaluate.core import evaluate, verified_reader
from perennial_components.evaluate.held import Held
from perennial_components.evaluate.importance import importance
from perennial_components.evaluate.metrics import measure
from perennial_components.export.core import convert
from perennial_components.failure import RunError
from perennial_components.inference import answers_of
from perennial_components.tune.core import tune
from tests.unit.components.support import DATA, prepared, request, text_table


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Champion:
    """A model trained on Cleveland alone, in a store."""
    folder = tmp_path_factory.mktemp("champion")
    _, rows, signature = prepared(request())
    model, _, _ = tune(request(trials=1), signature, rows)
    written = objects.write(f"file://{folder}/model.onnx", convert(model, 13, "m"), {})
    its = objects.write(f"file://{folder}/signature.json", msgspec.json.encode(signature), {})
    return Champion("heart-disease-v1", written, its, Split(0.25, 7))


@pytest.fixture(scope="module")
def everyone() -> Any:
    asked = request(source=f"file://{DATA}/*.csv", slices=("sex", "age", "ca"))
    table, rows, signature = prepared(asked)
    model, _, out_of_fold = tune(asked, signature, rows)
    return asked, table, rows, signature, convert(model, 13, "m"), out_of_fold


def test_challenger_and_champion_on_the_same_rows(everyone: Any, champion: Champion) -> None:
    asked, table, rows, signature, model, _ = everyone
    asked = msgspec.structs.replace(asked, champion=champion)
    found = evaluate(asked, table, rows, signature, model, verified_reader({}))
    assert set(found.metrics) == set(CLASSIFICATION_METRICS)
    assert found.rows == int(rows.held.sum()) == sum(map(sum, found.confusion))
    assert found.champion is not None
    assert found.champion.inconclusive == ""
    assert found.champion.rows == found.rows
    assert found.champion.metrics["roc_auc"] < found.metrics["roc_auc"], "the others' patients are new to the champion"
    assert sum(part.rows for part in found.calibration) == found.rows
    assert found.roc[0] == (0.0, 0.0)
    assert found.roc[-1] == (1.0, 1.0)


def test_slices_cover_the_held_out_rows(everyone: Any) -> None:
    asked, table, rows, signature, model, _ = everyone
    found = evaluate(asked, table, rows, signature, model, verified_reader({}))
    by_column = {name: [part for part in found.slices if part.column == name] for name in asked.slices}
    assert [part.value for part in by_column["sex"]] == ["0", "1"]
    assert "(missing)" in [part.value for part in by_column["ca"]]
    assert 2 < len(by_column["age"]) < 8, "many numbers are cut into ranges"
    assert all(sum(part.rows for part in parts) == found.rows for parts in by_column.values())


def meeting(everyone: Any, champion: Champion, **changes: object) -> ChampionMetrics:
    asked, table, rows, signature, model, _ = everyone
    asked = msgspec.structs.replace(asked, champion=champion, **changes)
    answers = answers_of("Classification", model, rows.features[rows.held])
    return compare(asked, Held(table[rows.held], rows.target[rows.held], answers), signature, verified_reader({}))


def inconclusive(everyone: Any, champion: Champion, **changes: object) -> str:
    found = meeting(everyone, champion, **changes)
    assert found.metrics == {}
    return found.inconclusive


def test_when_the_champion_cannot_be_compared(everyone: Any, champion: Champion, tmp_path: Path) -> None:
    assert "split settings differ" in inconclusive(everyone, champion, split=Split(0.25, 8))
    forged = msgspec.structs.replace(champion, model=Artifact(champion.model.uri, "0" * 64))
    assert "recorded is 000" in inconclusive(everyone, forged)
    gone = msgspec.structs.replace(champion, model=Artifact(f"file://{tmp_path}/gone.onnx", "0" * 64))
    assert inconclusive(everyone, gone).startswith("its files cannot be used: ")
    asked, table, rows, signature, model, out_of_fold = everyone
    fewer = (asked, table.drop(columns=["thal", "ca"]), rows, signature, model, out_of_fold)
    assert inconclusive(fewer, champion) == "its inputs ca, thal are not in the data"
    other = Signature("Classification", (), "num", ("no", "yes"))
    its = objects.write(f"file://{tmp_path}/signature.json", msgspec.json.encode(other), {})
    assert inconclusive(everyone, msgspec.structs.replace(champion, signature=its)) == "it predicts num as no, yes"


@pytest.mark.parametrize(
    ("trained", "now", "why"),
    [
        ({}, {"target": Target("num", above=2)}, "it predicts num > 0, this one num > 2"),
        ({"prepare": (Rename("years", "age"),)}, {}, "its column 'age' was made of 'years', now it is of 'age'"),
        ({"prepare": (Rename("n", "num"),)}, {}, "its column 'num' was made of 'n', now it is of 'num'"),
        (
            {"prepare": (Cast("sex", "Boolean"),)},
            {},
            "its input 'sex' was read as Boolean when it was trained, now it is not cast: it does not know no and yes",
        ),
        (
            {"prepare": (Cast("onset", "Datetime"), Rename("onset", "age"))},
            {"prepare": (Rename("onset", "age"),)},
            "its input 'age' was read as Datetime when it was trained, now it is not cast: it does not know 2026-05-31",
        ),
    ],
)
def test_a_champion_that_learned_something_else_of_a_column_is_not_compared(
    everyone: Any, champion: Champion, tmp_path: Path, trained: dict[str, Any], now: dict[str, Any], why: str
) -> None:
    asked, table, *rest = everyone
    some = table.assign(sex=table["sex"].where(table["age"] != "50", "yes").where(table["age"] != "51", "no"))
    some = some.assign(age=some["age"].where(some["age"] != "52", "2026-05-31"))
    kept = objects.write(f"file://{tmp_path}/request.json", msgspec.json.encode(request(**trained)), {})
    assert inconclusive((asked, some, *rest), msgspec.structs.replace(champion, request=kept), **now) == why


@pytest.mark.parametrize(
    "trained",
    [
        {},
        {"prepare": (Cast("age", "Number"), Cast("chol", "Integer"), Cast("sex", "Boolean"), Cast("cp", "Text"))},
        {"prepare": (DropDuplicates(), Filter("age", min=30.0), Clip("age", max=80.0), Log("chol"))},
        {"prepare": (Cast("unused", "Boolean"), Rename("one", "other"))},
        {"source": "s3://elsewhere/x.csv", "numeric": ("age",), "target": Target("num", above=0.0)},
    ],
)
def test_steps_that_leave_a_cell_what_it_is_let_two_models_meet(
    everyone: Any, champion: Champion, tmp_path: Path, trained: dict[str, Any]
) -> None:
    kept = objects.write(f"file://{tmp_path}/request.json", msgspec.json.encode(request(**trained)), {})
    found = meeting(everyone, msgspec.structs.replace(champion, request=kept))
    assert (found.inconclusive, set(found.metrics)) == ("", set(CLASSIFICATION_METRICS))


def test_a_champion_that_takes_no_value_of_a_column_is_not_compared(everyone: Any, champion: Champion) -> None:
    asked, table, *rest = everyone
    recoded = table.assign(sex=table["sex"].map({"0": "female", "1": "male"}), age="old")
    assert inconclusive((asked, recoded, *rest), champion) == (
        "its input 'age' is a number, and no held-out row has such a value; "
        "its input 'sex' is one of 0, 1, and no held-out row has such a value"
    )
    empty = table.assign(ca=table["ca"].where(table["ca"].isna()))
    assert meeting((asked, empty, *rest), champion).metrics, "a column without a value says nothing against it"


@settings(deadline=None)
@given(st.lists(st.sampled_from([
    Cast("sex", "Boolean"), Cast("age", "Datetime"), Rename("sex", "gender"), Rename("gender", "sex"),
    Filter("age", min=1.0), DropDuplicates(), Clip("age", min=0.0), Cast("age", "Integer", "Missing"),
]), max_size=5))  # fmt: skip
def test_a_model_meets_one_that_was_prepared_alike(steps: list[Step]) -> None:
    signature = Signature("Classification", (Input("age", "Numeric"), Input("sex", "Categorical")), "num", ("0", "1"))
    trained, rows = Trained(Target("num", above=0), tuple(steps)), text_table(age=["true", "1"], sex=["x", None])
    assert difference(trained, trained, signature, rows) == ""
    more = Trained(trained.target, (*trained.prepare, Cast("age", "Boolean")))
    assert difference(trained, more, signature, rows) != ""
    assert difference(more, trained, signature, rows) != ""
    assert difference(more, trained, signature, text_table(age=["1", None], sex=["x", None])) == ""


@pytest.mark.parametrize("wrong", ["nothing", "another form", "fewer inputs"])
def test_a_champion_that_cannot_be_asked_fails_no_run(
    everyone: Any, champion: Champion, tmp_path: Path, wrong: str
) -> None:
    content = objects.read(champion.model.uri, {})
    if wrong == "nothing":
        content = b"nothing"
    elif wrong == "another form":
        graph = onnx.load_from_string(content)
        graph.graph.input.append(onnx.helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1]))
        content = graph.SerializeToString()
    else:
        its = msgspec.json.decode(objects.read(champion.signature.uri, {}), type=Signature)
        fewer = msgspec.json.encode(msgspec.structs.replace(its, inputs=its.inputs[:-1]))
        written = objects.write(f"file://{tmp_path}/signature.json", fewer, {})
        champion = msgspec.structs.replace(champion, signature=written)
    model = objects.write(f"file://{tmp_path}/model.onnx", content, {})
    assert "it cannot be asked: " in inconclusive(everyone, msgspec.structs.replace(champion, model=model))


def test_undefined_metrics_are_left_out() -> None:
    only_negative = measure(np.zeros(4, dtype=np.int64), np.array([[0.9, 0.1]] * 4))
    assert set(only_negative) == {"accuracy", "log_loss", "brier", "calibration_error"}
    assert measure(np.zeros(0, dtype=np.int64), np.zeros((0, 2))) == {}


def test_figures_by_hand() -> None:
    target = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    positive = np.array([0.9, 0.8, 0.3, 0.7, 0.1, 0.1, 0.2, 0.2])
    found = measure(target, np.column_stack([1 - positive, positive]))
    assert found["accuracy"] == 0.75
    assert found["precision"] == found["recall"] == pytest.approx(2 / 3)
    assert found["roc_auc"] == pytest.approx(14 / 15)
    assert found["brier"] == pytest.approx(np.mean((positive - target) ** 2))


@pytest.mark.parametrize("rows", [300, 5000])
def test_calibration_is_monotone_and_keeps_the_mean(rows: int) -> None:
    random = np.random.default_rng(1)
    raw = random.random(rows)
    happened = random.random(rows) < raw**2
    points = calibration_points(raw, happened)
    x, y = (np.array(values) for values in zip(*points, strict=True))
    assert (x[0], x[-1]) == (0.0, 1.0)
    assert np.all(np.diff(x) > 0)
    assert np.all(np.diff(y) >= 0)
    assert np.interp(raw, x, y).mean() == pytest.approx(happened.mean(), abs=0.02)
    assert np.interp(0.5, x, y) == pytest.approx(0.25, abs=0.08)


def test_scores_worse_than_chance_say_only_how_often() -> None:
    raw = np.linspace(0.01, 0.99, 200)
    assert {y for _, y in calibration_points(raw, raw < 0.4)} == {0.4}


def test_a_store_that_is_away_is_no_verdict_on_the_champion(everyone: Any) -> None:
    away = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    read = verified_reader({**away, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "x"})
    with pytest.raises(RunError, match=r"s3://a/b cannot be read") as error:
        read(Artifact("s3://a/b", "0" * 64))
    assert error.value.reason == "StoreUnavailable"


def test_what_a_report_shows_of_a_classification(everyone: Any) -> None:
    asked, table, rows, signature, model, _ = everyone
    found = evaluate(asked, table, rows, signature, model, verified_reader({}))
    assert [line.label for line in found.classes] == ["0", "1", "macro avg", "weighted avg"]
    assert found.classes[1].recall == pytest.approx(found.metrics["recall"])
    assert sum(line.rows for line in found.classes[:2]) == found.rows
    assert found.precision_recall[0] == (0.0, 1.0)
    assert found.precision_recall[-1][0] == 1.0
    assert {item.feature for item in found.importance} == {item.name for item in signature.inputs}
    means = [item.mean for item in found.importance]
    assert means == sorted(means, reverse=True)
    assert set(found.intervals) == set(found.metrics)
    by_sex = [part for part in found.slices if part.column == "sex"]
    assert all(0 < part.metrics["selection_rate"] < 1 for part in by_sex)
    assert all(part.intervals["accuracy"].low < part.metrics["accuracy"] for part in by_sex)


def test_a_feature_that_the_model_does_not_read_has_no_importance() -> None:
    asked = request()
    _, rows, signature = prepared(asked)
    plain = np.where(np.isnan(rows.features), 0, rows.features)
    used = np.zeros_like(plain)
    used[:, 3] = plain[:, 3]
    model, _, _ = tune(request(trials=1), signature, msgspec.structs.replace(rows, features=used))
    served = convert(model, used.shape[1], "m")
    held = rows.held
    found = importance(signature, served, used[held], rows.target[held], "roc_auc", 7)
    assert found[0].feature == signature.inputs[3].name
    assert found[0].mean > 0.05
    assert all(item.mean == 0 for item in found[1:])
    lower = importance(signature, served, used[held], rows.target[held], "log_loss", 7)
    assert lower[0].mean > 0, "a permuted column makes the loss greater, and that is worse"
