"""A model that takes dates: the fixture's, with one in place of three of its numbers; and one that takes a text."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.contracts.baseline import INVALID, MISSING, OTHER, VALID, Distribution
from perennial.contracts.datetimes import USUAL_PARTS, parts_of
from perennial.contracts.signature import Input
from perennial.contracts.texts import TermCounts
from perennial_serving.counters import Counters
from perennial_serving.inputs import MANY_ROWS, InputError
from perennial_serving.model import Model, load
from perennial_serving.protocol import InferRequest, InputTensor
from perennial_serving.usual import UsualReader, reader
from tests.unit.serving.support import (
    CLIENT,
    DEPLOYMENT,
    FILES,
    FIXTURE,
    MODEL,
    PATIENT,
    VERSION,
    Server,
    artifacts,
    named,
    outputs,
    serving,
    total,
)

DATED: dict[str, Any] = {"age": 63, "seen": "2026-05-31T08:30:00Z"} | dict(list(PATIENT.items())[4:])
FEATURES = "perennial_feature_observations_total"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("dated")
    model = load({name: (FIXTURE / name).read_bytes() for name in FILES})
    (made / "model.onnx").write_bytes((FIXTURE / "model.onnx").read_bytes())
    inputs = model.signature.inputs
    seen = Input("seen", "Datetime", example="2026-05-31", parts=USUAL_PARTS)
    signature = msgspec.structs.replace(model.signature, inputs=(inputs[0], seen, *inputs[4:]))
    (made / "signature.json").write_bytes(msgspec.json.encode(signature))
    counted = Distribution("seen", "Categorical", (MISSING, INVALID, VALID, OTHER), (1, 0, 302, 0))
    features = (*model.baseline.features, counted)
    joint = model.baseline.joint
    assert joint is not None
    centre, scale = [*joint.centre], [*joint.scale]
    centre[1:4], scale[1:4] = [1, 4, 0], [0.01] * 3  # any other month, day or hour would be far from training
    joint = msgspec.structs.replace(joint, centre=tuple(centre), scale=tuple(scale))
    baseline = msgspec.structs.replace(model.baseline, features=features, joint=joint)
    (made / "baseline.json").write_bytes(msgspec.json.encode(baseline))
    return made


@pytest.fixture(scope="module")
def dated(folder: Path) -> Model:
    return load({name: (folder / name).read_bytes() for name in FILES})


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    where = {"PERENNIAL_ARTIFACTS": msgspec.json.encode(artifacts(folder)).decode(), "PERENNIAL_MODEL_DIR": str(folder)}
    with serving(tmp_path_factory.mktemp("server"), **where) as started:
        yield started


def decoded(model: Model, *patients: dict[str, Any]) -> Any:
    return model.decoder.decode(msgspec.convert(named(*patients, seen="BYTES")["inputs"], list[InputTensor]))


@pytest.mark.parametrize("rows", [1, MANY_ROWS])
def test_a_date_becomes_its_parts_where_it_stands(rows: int, dated: Model) -> None:
    found = np.array(decoded(dated, *[DATED] * rows), dtype=float)
    assert found.shape == (rows, 13)
    assert found[-1, :5].tolist() == [63, 5, 7, 8, 2.3]
    missing = np.array(decoded(dated, *[DATED | {"seen": None}] * rows), dtype=float)
    assert np.isnan(missing[:, 1:4]).all()


@pytest.mark.parametrize("sent", ["soon", "", 1780272000, True, {}])
def test_what_is_no_date_is_refused_and_counted(sent: Any, dated: Model) -> None:
    with pytest.raises(InputError, match="is no ISO 8601 date such as") as refused:
        decoded(dated, DATED, DATED | {"seen": sent})
    counters = Counters(dated, DEPLOYMENT, VERSION)
    counters.invalid(refused.value.invalid)
    assert total(counters.render(scraper=False).decode(), FEATURES, feature="seen", bin=INVALID) == 1


def test_a_tensor_of_numbers_holds_no_date(dated: Model) -> None:
    with pytest.raises(InputError, match="features: dates and texts are no numbers; send a tensor for each of"):
        dated.decoder.decode([InputTensor("features", [1, 13], "FP64", [1.0] * 13)])


_DATES = st.one_of(
    st.none(), st.datetimes().map(lambda at: at.isoformat()), st.dates().map(str), st.sampled_from(["soon", 7, "2026"])
)


@given(_DATES)
def test_the_fast_reader_reads_dates_as_the_general_one(dated: Model, seen: Any) -> None:
    body = msgspec.json.encode(named(DATED | {"seen": seen}, seen="BYTES"))
    read = reader(dated.signature).read(body)
    try:
        general = dated.decoder.decode(msgspec.json.decode(body, type=InferRequest).inputs)
    except InputError:
        assert read is None
        return
    assert read is not None
    np.testing.assert_array_equal(np.array([read.row], dtype=float), np.array(general, dtype=float))
    if seen is not None:
        assert general[0][1:4] == parts_of(seen, USUAL_PARTS)


def test_without_dates_the_reader_is_the_plain_one(model: Model) -> None:
    assert type(reader(model.signature)) is UsualReader


def test_of_a_date_is_counted_whether_it_is_one(dated: Model) -> None:
    counters = Counters(dated, DEPLOYMENT, VERSION)
    rows = np.array(decoded(dated, DATED, DATED | {"seen": None}, DATED | {"seen": "1999-01-01"}), dtype=float)
    kept = rows.copy()
    counters.predictions(rows, dated.predict(rows))
    text = counters.render(scraper=False).decode()
    assert total(text, FEATURES, feature="seen", bin=VALID) == 2
    assert total(text, FEATURES, feature="seen", bin=MISSING) == 1
    assert total(text, FEATURES, feature="age") == total(text, "perennial_joint_observations_total") == 3
    np.testing.assert_array_equal(rows, kept)


def test_a_date_moves_no_row_away_from_training(dated: Model) -> None:
    def distances(seen: str) -> str:
        counters = Counters(dated, DEPLOYMENT, VERSION)
        rows = np.array(decoded(dated, DATED | {"seen": seen}), dtype=float)
        counters.predictions(rows, dated.predict(rows))
        lines = counters.render(scraper=False).decode().splitlines()
        return "\n".join(line for line in lines if line.startswith("perennial_joint"))

    assert distances("2026-01-01T00:00") == distances("2026-12-27T23:59")


def test_it_is_asked_and_described(server: Server) -> None:
    one = outputs(server.infer(named(DATED, seen="BYTES")))["probability"][0]
    night = DATED | {"seen": "2026-05-31 23:59"}
    several = outputs(server.infer(named(*[DATED, night] * MANY_ROWS, seen="BYTES")))["probability"]
    assert several[0] == pytest.approx(one)
    assert not math.isclose(several[1], one, rel_tol=1e-3), "the hour tells"
    answer = CLIENT.post(f"{server.url}/v1/models/{MODEL}:predict", json={"instances": [DATED]}).raise_for_status()
    assert answer.json()["predictions"][0]["probability"] == pytest.approx(one)
    refused = server.infer(named(DATED | {"seen": "31.05.2026"}, seen="BYTES"))
    assert refused.status_code == 400
    assert refused.json()["error"].startswith('seen: "31.05.2026" is no ISO 8601 date')
    assert total(server.metrics(), FEATURES, feature="seen", bin=VALID) == 2 + 2 * MANY_ROWS
    about = CLIENT.get(f"{server.url}/v2/models/{MODEL}").json()["inputs"]
    assert {"name": "seen", "datatype": "BYTES", "shape": [-1]} in about
    schemas = CLIENT.get(f"{server.url}/openapi.json").json()["components"]["schemas"]
    assert schemas["Instances"]["properties"]["instances"]["anyOf"][0]["items"]["properties"]["seen"] == {
        "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}, {"type": "null"}]
    }
    assert len(schemas["Inference"]["properties"]["inputs"]["anyOf"]) == 1, "no tensor of numbers holds a date"


# --- texts --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told(dated: Model) -> Model:
    said = Input("seen", "Text", example="chest pain", terms=("ache", "chest", "pain"))
    inputs = tuple(said if item.name == "seen" else item for item in dated.signature.inputs)
    signature = msgspec.structs.replace(dated.signature, inputs=inputs)
    files = {name: (FIXTURE / name).read_bytes() for name in FILES}
    files["signature.json"], files["baseline.json"] = map(msgspec.json.encode, (signature, dated.baseline))
    return load(files)


@pytest.mark.parametrize("rows", [1, MANY_ROWS])
def test_a_text_becomes_the_counts_of_its_terms(rows: int, told: Model) -> None:
    text = "Chest-PAIN, chest!"
    found = np.array(decoded(told, *[DATED | {"seen": text}] * rows), dtype=float)
    assert found.shape == (rows, 13)
    assert found[-1, 1:4].tolist() == TermCounts(("ache", "chest", "pain"))(text) == [0, 2, 1]
    assert np.isnan(np.array(decoded(told, *[DATED | {"seen": None}] * rows), dtype=float)[:, 1:4]).all()


@given(st.none() | st.text() | st.sampled_from(["chest pain", 7, 1.5]))
def test_the_fast_reader_reads_texts_as_the_general_one(told: Model, seen: Any) -> None:
    body = msgspec.json.encode(named(DATED | {"seen": seen}, seen="BYTES"))
    read = reader(told.signature).read(body)
    try:
        general = told.decoder.decode(msgspec.json.decode(body, type=InferRequest).inputs)
    except InputError:
        assert not isinstance(seen, str | None)
        assert read is None
        return
    assert read is not None
    np.testing.assert_array_equal(np.array([read.row], dtype=float), np.array(general, dtype=float))


def test_of_a_text_is_counted_whether_there_is_one(told: Model) -> None:
    counters = Counters(told, DEPLOYMENT, VERSION)
    rows = np.array(decoded(told, DATED | {"seen": "chest"}, DATED | {"seen": ""}, DATED | {"seen": None}), dtype=float)
    counters.predictions(rows, told.predict(rows))
    text = counters.render(scraper=False).decode()
    assert total(text, FEATURES, feature="seen", bin=VALID) == 2
    assert total(text, FEATURES, feature="seen", bin=MISSING) == 1
