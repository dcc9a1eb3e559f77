"""Features that are texts: the terms of training rows, counted alike in training and in serving."""

import re
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.contracts.baseline import INVALID, MISSING, OTHER, VALID
from perennial.contracts.prepare import Clip
from perennial.contracts.request import AutoFeatures, Candidate, Split, Target, TextFeature
from perennial.contracts.signature import Input, Signature
from perennial.contracts.texts import TermCounts, terms_of
from perennial_components.baseline.core import baseline
from perennial_components.check.core import check
from perennial_components.check.profile import profile_of
from perennial_components.evaluate.comparable import untaken
from perennial_components.evaluate.importance import importance
from perennial_components.export.core import export
from perennial_components.failure import RunError
from perennial_components.records import Evaluation
from perennial_components.split.core import split
from perennial_components.split.encoding import encode, signature_of
from perennial_components.storage import OutOfFold
from perennial_components.tune.auto import chosen
from perennial_components.tune.core import tune
from tests.unit.components.support import request, text_table

ROWS = 240
TERMS = ("ache", "chest", "fine", "über")
TEXT = Signature("Classification", (Input("age", "Numeric"), Input("said", "Text", terms=TERMS)), "y", ("0", "1"))


def _rows() -> Any:
    random = np.random.default_rng(5)
    sick = random.random(ROWS) < 0.4
    said = [
        " ".join(random.choice(["chest", "pain", "breath"] if each else ["fine", "walks", "sleeps"], 3)) + f" no{row}"
        for row, each in enumerate(sick)
    ]
    return text_table(
        said=[None if row % 40 == 0 else text for row, text in enumerate(said)],
        age=[str(each) for each in random.normal(50, 10, ROWS).round(2)],
        y=[str(int(each)) for each in np.where(random.random(ROWS) < 0.1, ~sick, sick)],
    )


def _asked(**changes: Any) -> Any:
    usual: dict[str, Any] = {
        "numeric": ("age",), "categorical": (), "text": (TextFeature("said"),), "target": Target("y"), "slices": (),
        "trials": 1, "split": Split(0.25, 7),
    }  # fmt: skip
    return request(**(usual | changes))


def test_terms_are_words_of_two_letters_in_lower_case() -> None:
    assert terms_of("A CHEST-ache, Über 2 x_1; a b") == ["chest", "ache", "über", "x_1"]


@given(st.text() | st.lists(st.sampled_from(["chest", "Ache", "x", "fine.", "ÜBER"])).map(" ".join))
def test_each_known_term_is_counted_as_often_as_it_occurs(text: str) -> None:
    wanted = Counter(re.findall(r"\w\w+", text.lower()))
    assert TermCounts(TERMS)(text) == [wanted[term] for term in TERMS]


def test_the_tensor_has_a_column_for_each_term() -> None:
    found = encode(TEXT, text_table(age=["63", "41", "7"], said=["Chest ache, chest!", None, "well"]))
    np.testing.assert_array_equal(found[0], [63, 1, 2, 0, 0])
    assert np.isnan(found[1, 1:]).all()
    np.testing.assert_array_equal(found[2, 1:], np.zeros(4))


def test_texts_alone_have_terms() -> None:
    for wrong in (b'"kind":"Text"', b'"kind":"Numeric","terms":["a"]'):
        with pytest.raises(msgspec.ValidationError, match="input 'a': a Text has terms, and nothing else has"):
            msgspec.json.decode(b'{"name":"a",' + wrong + b"}", type=Input)


def test_held_out_rows_have_no_say_in_the_terms() -> None:
    table = text_table(
        said=["chest ache", "chest", "ache once", "secret", "secret"], age=["1"] * 5, y=["0", "1", "0", "1", "0"]
    )
    held = np.array([False, False, False, True, True])
    [_, said] = signature_of(_asked(), table, held).inputs
    assert said.terms == ("ache", "chest")
    [_, said] = signature_of(_asked(text=(TextFeature("said", 1, 1),)), table, held).inputs
    assert said.terms == ("ache",)
    asked, table = _asked(split=Split(0.25, 7, key=("age",))), _rows()
    rows, _ = split(asked, table)
    table.loc[rows.held, "said"] = table["said"][rows.held] + " later"
    rows, signature = split(asked, table)
    seen = table["said"][~rows.held].dropna()
    assert set(signature.inputs[1].terms) == {"chest", "pain", "breath", "fine", "walks", "sleeps"}
    assert signature.inputs[1].example in set(seen)


def test_a_column_without_terms_is_refused() -> None:
    with pytest.raises(RunError, match=r"column 'said' has no term .* in 2 training rows \(minRows\)") as error:
        split(_asked(), _rows().assign(said=text_table(said=[f"no{row}" for row in range(ROWS)])["said"]))
    assert error.value.reason == "DataRejected"


def test_auto_leaves_a_named_text_as_named_and_takes_none_by_itself() -> None:
    found = chosen(_asked(numeric=(), auto=AutoFeatures()), _rows())
    assert (found.numeric, "said" in found.left_out) == (("age",), False)
    assert "said" in chosen(_asked(numeric=(), text=(), auto=AutoFeatures()), _rows()).left_out


def test_no_step_on_values_takes_a_text() -> None:
    with pytest.raises(RunError, match=r"data.prepare\[0\].clip: 'said' is Text and not Numeric"):
        check(_asked(prepare=(Clip("said", max=3),)), _rows())


@pytest.mark.parametrize("algorithm", ["LogisticRegression", "HistGradientBoosting", "RandomForest", "MLP"])
def test_a_model_learns_from_words_and_answers_alike_as_onnx(algorithm: str) -> None:
    asked = _asked(candidates=(Candidate(algorithm),), prepare=(Clip("age", max=60),))
    rows, signature = split(asked, _rows())
    model, tuned, _ = tune(asked, signature, rows)
    assert tuned.candidates[0].score > 0.8
    unknown = rows.features.copy()
    unknown[:, 1:] = 0
    onnx, parity = export(asked, signature, model, np.vstack([rows.features, unknown]))
    assert onnx is not None, parity
    assert parity.rows == 2 * ROWS
    found = importance(signature, onnx, rows.features[rows.held], rows.target[rows.held], "roc_auc", seed=1)
    assert [each.feature for each in found] == ["said", "age"], "its terms are permuted together"


@pytest.mark.parametrize("algorithm", ["LogisticRegression", "HistGradientBoosting"])
def test_folds_without_any_text_are_fitted(algorithm: str) -> None:
    asked = _asked(candidates=(Candidate(algorithm),))
    rows, signature = split(asked, _rows())
    rows.features[np.flatnonzero(~rows.held)[1:], 1:] = np.nan
    model, _, _ = tune(asked, signature, rows)
    onnx, parity = export(asked, signature, model, rows.features)
    assert onnx is not None, parity


def test_linear_models_see_tf_idf_of_the_rows_they_are_fitted_on() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    asked = _asked(numeric=(), candidates=(Candidate("LogisticRegression"),))
    table = _rows()
    rows, signature = split(asked, table)
    model, *_ = tune(asked, signature, rows)
    usual = TfidfVectorizer(vocabulary=signature.inputs[0].terms).fit(table["said"][~rows.held].fillna(""))
    wanted = usual.transform(table["said"].fillna("")).toarray()
    np.testing.assert_allclose(model[0].transform(rows.features), wanted, atol=1e-6)


def test_of_a_text_is_counted_whether_there_is_one() -> None:
    table = _rows()
    rows, signature = split(_asked(), table)
    answers = np.column_stack([np.full(ROWS, 0.25), np.full(ROWS, 0.75)])[~rows.held]
    reference = baseline(
        table, rows, signature, OutOfFold(rows.target[~rows.held], answers), Evaluation(1, {}, (), (), (), ())
    )
    [said] = [each for each in reference.features if each.name == "said"]
    assert dict(zip(said.bins, said.counts, strict=True)) == {MISSING: 6, INVALID: 0, VALID: ROWS - 6, OTHER: 0}
    [column] = [each for each in profile_of(_asked(), table, rows, signature).columns if each.name == "said"]
    assert (column.kind, column.missing, column.top, column.alone) == ("Text", 6, (), None)
    assert not list(untaken(signature, table))
