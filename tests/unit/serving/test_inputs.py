"""What a request may look like, and what each mistake is told."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.contracts.signature import Input, Signature, category_of
from perennial_serving.inputs import Decoder, InputError, Rows
from perennial_serving.model import Model
from perennial_serving.protocol import InferRequest, InputTensor
from perennial_serving.usual import UsualReader
from tests.unit.serving.support import PATIENT, named

SIGNATURE = Signature(
    task="Classification",
    inputs=(Input("age", "Numeric"), Input("dose", "Numeric"), Input("sex", "Categorical", ("0", "1", "unknown"))),
    target="y",
    classes=("0", "1"),
)
DECODER = Decoder(SIGNATURE)


def tensor(name: str, data: list[Any], datatype: str = "FP64", shape: list[int] | None = None) -> InputTensor:
    return InputTensor(name, [len(data)] if shape is None else shape, datatype, data)


def decode(age: Any = 60, dose: Any = 1.5, sex: Any = "1") -> Rows:
    return DECODER.decode([tensor("age", [age]), tensor("dose", [dose]), tensor("sex", [sex])])


def refused(tensors: list[InputTensor]) -> InputError:
    with pytest.raises(InputError) as caught:
        DECODER.decode(tensors)
    return caught.value


GOOD = [tensor("age", [60]), tensor("dose", [1.5]), tensor("sex", ["1"], "BYTES")]


def test_columns_come_in_any_order_and_enter_in_the_signatures() -> None:
    assert DECODER.decode(GOOD[::-1]) == [[60.0, 1.5, 1.0]]


def test_null_is_missing() -> None:
    rows = decode(age=None, sex=None)
    assert math.isnan(rows[0][0])
    assert rows[0][2] == -1


def test_nan_is_missing() -> None:
    rows = decode(age=math.nan, sex=math.nan)
    assert math.isnan(rows[0][0])
    assert rows[0][2] == -1


@pytest.mark.parametrize("value", ["1", " 1 ", "1.0", 1, 1.0, True])
def test_one_category_has_many_spellings(value: Any) -> None:
    assert decode(sex=value)[0][2] == 1


@pytest.mark.parametrize("shape", [[2], [2, 1]])
@pytest.mark.parametrize("data", [[60, 61], [[60], [61]]])
def test_a_column_may_be_flat_or_nested(shape: list[int], data: list[Any]) -> None:
    rows = DECODER.decode([
        tensor("age", data, shape=shape), tensor("dose", [1, 2]), tensor("sex", ["0", "1"], "BYTES"),
    ])  # fmt: skip
    assert [row[0] for row in rows] == [60, 61]


@pytest.mark.parametrize("nested", [True, False])
def test_one_tensor_of_all_features(nested: bool) -> None:
    data: list[Any] = [60, 1.5, 1, None, math.nan, None]
    rows = DECODER.decode([tensor("features", [data[:3], data[3:]] if nested else data, shape=[2, 3])])
    assert rows[0] == [60.0, 1.5, 1.0]
    assert np.isnan(rows[1][:2]).all()
    assert rows[1][2] == -1


def test_a_float32_counts_as_the_number_that_was_written() -> None:
    sent = float(np.float32(2.3))
    assert sent != 2.3
    assert decode(dose=sent)[0][1] == sent
    rows = DECODER.decode([tensor("age", [60]), tensor("dose", [sent], "FP32"), tensor("sex", ["1"], "BYTES")])
    assert rows[0][1] == 2.3


@pytest.mark.parametrize(
    ("wrong", "says", "invalid"),
    [
        (tensor("age", ["old"]), 'age: "old" is not a number', {0: 1}),
        (tensor("age", [1e39]), "age: 1e39 is not a number that a float32 can hold", {0: 1}),
        (tensor("age", [{}]), "age: {} is not a number", {0: 1}),
        (tensor("age", ["60"], "BYTES"), 'age: datatype "BYTES" does not fit; allowed: "BOOL", "FP16"', {0: 1}),
        (tensor("age", [60, 61]), "sex: shape [1] is neither [2] nor [2,1]", {1: 1, 2: 1}),
        (tensor("age", [60], shape=[1, 1, 1]), "age: shape [1, 1, 1] is neither", {0: 1}),
        (tensor("age", [60, 61], shape=[1]), "age: 2 values do not fill shape [1]", {0: 2}),
        (tensor("age", [[60], [61]], shape=[9 * 10**18]), "age: 2 values do not fill shape [9", {0: 2, 1: 1, 2: 1}),
        (tensor("age", [], shape=[0]), "age: shape [0] has no row", {0: 1, 1: 1, 2: 1}),
        (tensor("sex", ["7"], "BYTES"), 'sex: "7" is no known category; allowed: "0", "1", "unknown"', {2: 1}),
        (tensor("sex", [{"a": 1}]), 'sex: {"a":1} is no known category', {2: 1}),
        (tensor("sex", [2], "COMPLEX"), 'sex: datatype "COMPLEX" does not fit', {2: 1}),
    ],
)
def test_a_wrong_column_is_named_and_counted(wrong: InputTensor, says: str, invalid: dict[int, int]) -> None:
    error = refused([wrong if item.name == wrong.name else item for item in GOOD])
    assert says in str(error)
    assert error.invalid == invalid


def test_every_wrong_feature_is_named_at_once() -> None:
    error = refused([tensor("age", ["old"]), tensor("dose", [True, "x", 1], shape=[3]), tensor("sex", ["7"], "BYTES")])
    assert "dose: shape [3]" in str(error)
    error = refused([tensor("age", ["old"]), tensor("dose", ["much"]), tensor("sex", ["7"], "BYTES")])
    assert all(f"{name}: " in str(error) for name in ("age", "dose", "sex"))
    assert error.invalid == {0: 1, 1: 1, 2: 1}


@pytest.mark.parametrize("rows", [3, 5])
def test_wrong_values_are_counted_one_by_one(rows: int) -> None:
    ages, sexes = [*["old"] * (rows - 1), 60], [*["9", "8"], *["1"] * (rows - 2)]
    error = refused([tensor("age", ages), tensor("dose", [1] * rows), tensor("sex", sexes)])
    assert error.invalid == {0: rows - 1, 2: 2}


def test_a_missing_column_is_an_error_that_names_it() -> None:
    error = refused(GOOD[1:])
    assert 'missing input "age"' in str(error)
    assert error.invalid == {}


def test_an_unknown_column_is_an_error_that_names_the_nearest() -> None:
    assert 'unknown input "ages"; the nearest is "age"' in str(refused([*GOOD, tensor("ages", [1])]))


def test_a_column_twice_is_an_error() -> None:
    assert "age: is there twice" in str(refused([*GOOD, GOOD[0]]))


def test_no_inputs_at_all() -> None:
    assert 'missing input "age", "dose", "sex"' in str(refused([]))


@pytest.mark.parametrize("shape", [[3], [1, 2], [0, 3], [1, 3, 1]])
def test_features_of_another_shape(shape: list[int]) -> None:
    assert "is not [N,3]" in str(refused([tensor("features", [60, 1.5, 1], shape=shape)]))


def test_features_as_text() -> None:
    assert "datatype BYTES is not a number's" in str(refused([tensor("features", ["60"] * 3, "BYTES", [1, 3])]))


def test_a_long_list_of_categories_is_cut() -> None:
    many = Input("icd", "Categorical", tuple(f"code {number}" for number in range(30)))
    decoder = Decoder(msgspec.structs.replace(SIGNATURE, inputs=(many,)))
    with pytest.raises(InputError, match="and 10 more"):
        decoder.decode([tensor("icd", ["x"], "BYTES")])


NUMBERS = st.one_of(st.none(), st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6))
SEXES = st.sampled_from([None, 0, 1, 1.0, "0", "1.0", True, "unknown"])


@given(st.lists(st.tuples(NUMBERS, NUMBERS, SEXES), min_size=4, max_size=12))
def test_many_rows_decode_as_few_rows_do(patients: list[tuple[Any, Any, Any]]) -> None:
    """The path by numpy and the path by loop are one."""

    def asked(rows: list[tuple[Any, Any, Any]]) -> Rows:
        columns = zip(("age", "dose", "sex"), zip(*rows, strict=True), strict=True)
        return DECODER.decode([tensor(name, list(values)) for name, values in columns])

    together, alone = asked(patients), [asked([patient]) for patient in patients]
    assert isinstance(together, np.ndarray)
    np.testing.assert_array_equal(together, [rows[0] for rows in alone])


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=4), st.booleans()))
def test_a_category_is_known_exactly_when_the_contract_says(value: Any) -> None:
    known = category_of(value) in SIGNATURE.inputs[2].categories
    if known:
        assert decode(sex=value)[0][2] == SIGNATURE.inputs[2].categories.index(category_of(value))
    else:
        with pytest.raises(InputError):
            decode(sex=value)


def test_the_fixtures_model_takes_its_patient(model: Model) -> None:
    request = msgspec.convert(named(PATIENT)["inputs"], list[InputTensor])
    prediction = model.predict(np.array(model.decoder.decode(request)))
    assert 0 < prediction.positive[0] < 1


PLAIN = named(PATIENT)


@pytest.mark.parametrize(
    ("more", "usual"),
    [
        ({}, True),
        ({"id": "7", "parameters": {"content_type": "pd"}, "outputs": None}, True),
        ({"parameters": {"binary_data_output": True}}, False),
        ({"outputs": [{"name": "probability"}]}, False),
        ({"inputs": PLAIN["inputs"][:-1]}, False),
        ({"inputs": [*PLAIN["inputs"][:-1], PLAIN["inputs"][0]]}, False),
        ({"inputs": named(PATIENT, PATIENT)["inputs"]}, False),
        ({"inputs": named(PATIENT, age="FP32")["inputs"]}, False),
        ({"inputs": named(PATIENT | {"age": 1e39})["inputs"]}, False),
        ({"inputs": named(PATIENT | {"thal": "none of them"})["inputs"]}, False),
    ],
)
def test_the_fast_reader_takes_what_it_understands_in_full(model: Model, more: dict[str, Any], usual: bool) -> None:
    body = msgspec.json.encode(PLAIN | more)
    assert (UsualReader(model.signature).read(body) is not None) is usual


@given(st.data())
def test_the_fast_reader_reads_as_the_general_one(model: Model, data: st.DataObject) -> None:
    values = st.one_of(
        st.none(), st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6), st.sampled_from(["0", "1", "3.0", "6"])
    )
    patient = {name: data.draw(values) for name in data.draw(st.permutations(list(PATIENT)))}
    body = msgspec.json.encode(named(patient))
    read = UsualReader(model.signature).read(body)
    try:
        general = model.decoder.decode(msgspec.json.decode(body, type=InferRequest).inputs)
    except InputError:
        assert read is None
        return
    if read is not None:
        np.testing.assert_array_equal(np.array([read.row], dtype=float), np.array(general, dtype=float))
