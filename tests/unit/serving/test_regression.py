"""A model that predicts a number, by every protocol: its answers, its counts, its labels, its shadow."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jsonschema_rs import validator_for

from perennial.contracts.token import Claim, sign
from perennial_serving.counters import MAX_OTHER_VERSIONS, MAX_SERIES, SHADOW_SERIES, Counters
from perennial_serving.feedback import Feedback, KeyRing
from perennial_serving.grpc_generated import open_inference_pb2 as messages
from perennial_serving.mirror_counts import Incomparable, ShadowCounts
from perennial_serving.model import Model, Prediction, load
from perennial_serving.protocol import FeedbackItem
from perennial_serving.scorers import ModelError
from tests.unit.serving.conftest import KEY
from tests.unit.serving.mounted import mount
from tests.unit.serving.support import (
    CLIENT,
    DEPLOYMENT,
    MODEL,
    VERSION,
    Server,
    artifacts,
    free_port,
    outputs,
    samples,
    serving,
    total,
    until,
)
from tests.unit.serving.test_grpc import Caller
from tests.unit.serving.test_mirror import counted, mirrored, other_version, reply, target, told
from tests.unit.serving.test_mirror import settings as mirror

FOLDER = Path(__file__).parent / "fixture_regression"
NAMES = ("model.onnx", "signature.json", "baseline.json")
PATIENT: dict[str, Any] = {"age": 59, "bmi": 32.1, "bp": 101, "s1": 157, "s5": 4.8598, "sex": "2"}
EXPECTED, ERROR = "perennial_expected_loss_sum_total", "perennial_feedback_error_sum_total"


def files(*names: str) -> dict[str, bytes]:
    return {name: (FOLDER / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def model() -> Model:
    return load(files(*NAMES))


@pytest.fixture
def counters(model: Model) -> Counters:
    return Counters(model, DEPLOYMENT, VERSION)


@pytest.fixture(scope="module")
def grpc_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watched")
    mount(folder, {})
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, grpc_port: int, watched: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("regression")
    (folder / "current").write_bytes(KEY)
    where = {"PERENNIAL_ARTIFACTS": json.dumps(artifacts(FOLDER, NAMES)), "PERENNIAL_MODEL_DIR": str(FOLDER)}
    where |= {"PERENNIAL_GRPC_PORT": str(grpc_port), "PERENNIAL_WATCHED_DIR": str(watched)}
    with serving(folder, PERENNIAL_FEEDBACK_KEYS=str(folder), **where) as started:
        yield started


def asked(*patients: dict[str, Any], **more: Any) -> dict[str, Any]:
    inputs = [
        {"name": name, "shape": [len(patients)], "datatype": "BYTES" if name == "sex" else "FP64",
         "data": [patient[name] for patient in patients]}
        for name in PATIENT
    ]  # fmt: skip
    return {"inputs": inputs, **more}


def look(counters: Counters) -> str:
    return counters.render(scraper=False).decode()


# --- answers ------------------------------------------------------------------------------------------------------


def test_the_answer_is_a_number_and_a_token(server: Server) -> None:
    answer = outputs(server.infer(asked(PATIENT)))
    assert list(answer) == ["prediction", "feedback_token"]
    assert 50 < answer["prediction"][0] < 300


def test_every_protocol_gives_the_same_number(server: Server, model: Model) -> None:
    usual = outputs(server.infer(asked(PATIENT)))["prediction"][0]
    general = outputs(server.infer(asked(PATIENT, PATIENT)))["prediction"]
    v1 = CLIENT.post(f"{server.url}/v1/models/heart-disease:predict", json={"instances": [PATIENT]}).json()
    matrix = np.array([[PATIENT[name] for name in PATIENT if name != "sex"] + [1.0]])
    assert general == [usual, usual]
    assert v1["predictions"][0]["prediction"] == usual
    assert model.predict(matrix).probability == [usual]


@pytest.mark.parametrize("raw", [False, True])
def test_the_same_number_by_grpc(server: Server, grpc_port: int, raw: bool) -> None:
    caller, usual = Caller(f"localhost:{grpc_port}"), outputs(server.infer(asked(PATIENT)))["prediction"]
    request = messages.ModelInferRequest(model_name=MODEL)
    for name, value in PATIENT.items():
        tensor = request.inputs.add(name=name, datatype="BYTES" if name == "sex" else "FP64", shape=[1])
        if raw:
            content = struct.pack("<I", len(value)) + value.encode() if name == "sex" else struct.pack("<d", value)
            request.raw_input_contents.append(content)
        elif name == "sex":
            tensor.contents.bytes_contents.append(value.encode())
        else:
            tensor.contents.fp64_contents.append(value)
    answer = caller.call("ModelInfer", request)
    assert [(each.name, each.datatype) for each in answer.outputs] == [
        ("prediction", "FP64"),
        ("feedback_token", "BYTES"),
    ]
    given = struct.unpack("<d", answer.raw_output_contents[0]) if raw else answer.outputs[0].contents.fp64_contents
    assert list(given) == usual
    about = caller.call("ModelMetadata", messages.ModelMetadataRequest(name=MODEL))
    assert [(each.name, each.datatype) for each in about.outputs] == [
        ("prediction", "FP64"),
        ("feedback_token", "BYTES"),
    ]


def test_what_is_asked_for_is_answered_and_no_class(server: Server) -> None:
    answer = outputs(server.infer(asked(PATIENT, outputs=[{"name": "prediction"}])))
    assert list(answer) == ["prediction"]
    refused = server.infer(asked(PATIENT, outputs=[{"name": "probability"}]))
    assert refused.status_code == 400
    assert refused.json()["error"] == 'unknown output "probability"; there are "prediction", "feedback_token"'


def test_binary_answers(server: Server) -> None:
    response = server.infer(asked(PATIENT, parameters={"binary_data_output": True}))
    head = json.loads(response.content[: int(response.headers["inference-header-content-length"])])
    assert head["outputs"][0]["name"] == "prediction"
    assert head["outputs"][0]["parameters"] == {"binary_data_size": 8}


def test_the_metadata_and_the_document_speak_of_a_number(server: Server) -> None:
    told = CLIENT.get(f"{server.url}/v2/models/heart-disease").json()
    assert told["outputs"][0] == {"name": "prediction", "datatype": "FP64", "shape": [-1]}
    document = CLIENT.get(f"{server.url}/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert schemas["Feedback"]["properties"]["feedback"]["items"]["properties"]["actual"]["type"] == "number"
    root = {"$ref": "#/components/schemas/Prediction", "components": document["components"]}
    validator_for(root).validate(server.infer(asked(PATIENT)).json())
    assert CLIENT.get(f"{server.url}/docs").status_code == 200


# --- files --------------------------------------------------------------------------------------------------------


def test_an_estimator_without_graph_gives_the_same_numbers(model: Model) -> None:
    fitted = load(files("model.skops", "signature.json", "baseline.json"))
    matrix = np.array([[59, 32.1, 101, 157, 4.86, 1], [30, np.nan, 80, 200, 4.0, -1]])
    assert fitted.predict(matrix).probability == pytest.approx(model.predict(matrix).probability, rel=1e-5)


def test_files_that_do_not_fit_a_regression_are_refused() -> None:
    given = files(*NAMES)
    signature = json.loads(given["signature.json"])
    with pytest.raises(ModelError, match="has no classes"):
        load({**given, "signature.json": json.dumps({**signature, "classes": ["0", "1"]}).encode()})
    classes = {**signature, "task": "Classification", "classes": ["0", "1"]}
    with pytest.raises(ModelError, match="expected losses, so it is a Regression's"):
        load({**given, "signature.json": json.dumps(classes).encode()})


@pytest.mark.parametrize(
    ("part", "change", "why"),
    [
        ("losses", [], "has no losses"),
        ("predicted", {"bins": ["0", "1"]}, r"predicted has the bins \['0', '1'\]"),
        ("prediction", {"quantiles": []}, "has no quantiles"),
        ("prediction", {"edges": []}, "with 0 edges"),
        ("prediction", {"edges": [0.0, 64.0]}, "with 2 edges"),
        ("prediction", {"kind": "Categorical"}, "is Categorical"),
    ],
)
def test_a_baseline_without_a_part_of_a_regression_is_refused(part: str, change: Any, why: str) -> None:
    baseline = json.loads(files("baseline.json")["baseline.json"])
    baseline[part] = {**baseline[part], **change} if isinstance(change, dict) else change
    with pytest.raises(ModelError, match=rf"^baseline\.json: .*{why}"):
        load({**files(*NAMES), "baseline.json": json.dumps(baseline).encode()})


def test_a_classifier_is_no_regression() -> None:
    import skops.io
    from sklearn.linear_model import RidgeClassifier

    fitted = RidgeClassifier().fit(np.eye(6, dtype=np.float32), [0, 1, 0, 1, 0, 1])
    given = {"model.skops": skops.io.dumps(fitted), **files("signature.json", "baseline.json")}
    with pytest.raises(ModelError, match=r"model\.skops: a RidgeClassifier predicts classes"):
        load(given)


def test_a_graph_of_two_numbers_a_row_is_no_regression() -> None:
    other = (FOLDER.parent / "fixture" / "model.onnx").read_bytes()  # takes 13 features, gives two probabilities
    heart = json.loads((FOLDER.parent / "fixture" / "signature.json").read_bytes())
    signature = {**heart, "task": "Regression", "classes": [], "positive": 0}
    features = json.loads((FOLDER.parent / "fixture" / "baseline.json").read_bytes())["features"]
    baseline = {**json.loads(files("baseline.json")["baseline.json"]), "features": features, "joint": None}
    about = {"signature.json": json.dumps(signature).encode(), "baseline.json": json.dumps(baseline).encode()}
    with pytest.raises(ModelError, match=r"model\.onnx: gives 2 numbers for a row"):
        load({"model.onnx": other, **about})


def test_an_answer_that_is_no_number_is_the_models_fault(model: Model) -> None:
    with np.errstate(over="ignore"), pytest.raises(ModelError, match="no number"):
        model.predict(np.array([[59, 3e38, 3e38, 3e38, 3e38, 1]]) * 1e30)


# --- counts -------------------------------------------------------------------------------------------------------


@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(-500, 1000)))
def test_counts_and_expected_errors_add_up(model: Model, values: np.ndarray) -> None:
    counters = Counters(model, DEPLOYMENT, VERSION)
    numbers = values.tolist()
    matrix = np.tile(np.array([[59, 32.1, 101, 157, 4.86, 1.0]]), (len(numbers), 1))
    for part in (slice(0, 7), slice(7, None)):
        some = numbers[part]
        counters.predictions(matrix[part], Prediction([0] * len(some), some, some))
    text = look(counters)
    assert total(text, "perennial_predictions_total", predicted="value") == len(numbers)
    assert total(text, "perennial_prediction_observations_total") == len(numbers)
    points = np.array(model.baseline.losses)
    for place, kind in ((1, "absolute"), (2, "squared")):
        wanted = np.interp(values, points[:, 0], points[:, place]).sum()
        assert total(text, EXPECTED, loss=kind) == pytest.approx(wanted)


def test_there_is_nothing_of_classes_in_what_is_exposed(counters: Counters) -> None:
    text = look(counters)
    assert "perennial_calibrated_probability" not in text
    assert "log_loss" not in text
    told = samples(text)
    for name in (EXPECTED, ERROR):
        assert len([1 for series, _ in told if series == name]) == 2


def test_new_series_are_shown_as_zero_first(counters: Counters) -> None:
    counters.feedback(VERSION, 0, 0, error=3.0)
    first, second = (counters.render(scraper=True).decode() for _ in range(2))
    assert total(first, ERROR) == 0
    assert total(second, ERROR, error="squared") == 9


# --- labels -------------------------------------------------------------------------------------------------------


@pytest.fixture
def feedback(keys: Path, counters: Counters, model: Model) -> Feedback:
    return Feedback(
        keys=KeyRing(str(keys)), counters=counters, signature=model.signature, deployment=DEPLOYMENT,
        version=VERSION, lifetime=60,
    )  # fmt: skip


def test_a_label_tells_how_far_off_the_prediction_was(feedback: Feedback, counters: Counters) -> None:
    tokens = feedback.tokens(Prediction([0, 0], [150.25, 1e-7], [150.25, 1e-7]))
    items = [FeedbackItem(tokens[0], 160.25), FeedbackItem(tokens[1], "-2")]
    assert feedback.take(items).accepted == 2
    text = look(counters)
    assert total(text, "perennial_feedback_total", predicted="value", actual="value") == 2
    assert total(text, ERROR, error="absolute") == pytest.approx(12)
    assert total(text, ERROR, error="squared") == pytest.approx(104)


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=30)
@given(st.lists(st.tuples(FLOATS, FLOATS), max_size=8))
def test_errors_add_up_whatever_the_numbers_are(
    model: Model, tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[float, float]]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "signing"
    folder.mkdir(exist_ok=True)
    (folder / "current").write_bytes(KEY)
    counters = Counters(model, DEPLOYMENT, VERSION)
    feedback = Feedback(
        keys=KeyRing(str(folder)), counters=counters, signature=model.signature, deployment=DEPLOYMENT,
        version=VERSION, lifetime=60,
    )  # fmt: skip
    predicted = [number for number, _ in pairs]
    tokens = feedback.tokens(Prediction([0] * len(pairs), predicted, predicted))
    items = [FeedbackItem(token, actual) for token, (_, actual) in zip(tokens, pairs, strict=True)]
    assert feedback.take(items).accepted == len(pairs)
    text = look(counters)
    # A token has the nine digits that tell two float32 apart, not all of the float64 that a caller reads.
    near = 1e-8 * sum(map(abs, predicted))
    wanted = sum(abs(number - actual) for number, actual in pairs)
    assert total(text, ERROR, error="absolute") == pytest.approx(wanted, rel=1e-12, abs=near)
    assert total(text, "perennial_feedback_total") == len(pairs)


def test_labels_of_other_versions_count_for_them_and_stay_bounded(feedback: Feedback, counters: Counters) -> None:
    before = counters.series
    for version in range(2 * MAX_OTHER_VERSIONS):
        token = sign(KEY, Claim(DEPLOYMENT, f"other-{version}", "value", 4_000_000_000, f"r{version}.-140.5"))
        feedback.take([FeedbackItem(token, -150)])
    text = look(counters)
    assert total(text, ERROR, version="other-0", error="absolute") == 9.5
    assert total(text, ERROR, version=VERSION) == 0
    assert total(text, "perennial_feedback_rejected_total", reason="too_many_versions") == MAX_OTHER_VERSIONS
    assert counters.series == before + 5 * MAX_OTHER_VERSIONS


def test_other_versions_get_no_more_series_than_there_is_room_for(
    model: Model, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_shares = counters.series - look(counters).count("perennial_baseline_share{")
    monkeypatch.setattr("perennial_serving.counters.MAX_SERIES", without_shares + SHADOW_SERIES + 14)
    tight = Counters(model, DEPLOYMENT, VERSION)
    assert [tight.feedback(f"other-{version}", 0, 0, error=1.0) for version in range(3)] == [True, True, False]
    assert tight.series == without_shares + 10
    assert counters.series <= MAX_SERIES


@pytest.mark.parametrize("actual", ["high", "nan", "inf", "", "1_000", True, 1e200, -1e39, 10**400])
def test_what_is_no_number_is_refused(feedback: Feedback, counters: Counters, actual: Any) -> None:
    token = feedback.token(Prediction([0], [150.0], [150.0]))
    response = feedback.take([FeedbackItem(token, actual)])
    assert [refusal.reason for refusal in response.reasons] == ["not_a_number"]
    assert total(look(counters), "perennial_feedback_rejected_total", reason="not_a_number") == 1
    assert feedback.take([FeedbackItem(token, 151)]).accepted == 1, "its token is still good"


def test_a_token_of_a_classification_is_refused(feedback: Feedback) -> None:
    token = sign(KEY, Claim(DEPLOYMENT, "v0", "1", 4_000_000_000, "r.7500"))
    assert [refusal.reason for refusal in feedback.take([FeedbackItem(token, 1)]).reasons] == ["unknown_class"]


def test_labels_over_http(server: Server) -> None:
    token = outputs(server.infer(asked(PATIENT)))["feedback_token"][0]
    answer: httpx.Response = CLIENT.post(server.feedback_url, json={"feedback": [{"token": token, "actual": 150.5}]})
    assert answer.json() == {"accepted": 1, "rejected": 0}


# --- shadow -------------------------------------------------------------------------------------------------------


def answer(*values: float, name: str = "prediction") -> bytes:
    made = [{"name": name, "shape": [len(values)], "datatype": "FP64", "data": list(values)}]
    return msgspec.json.encode({"model_name": "m", "model_version": "v", "outputs": made})


def test_numbers_agree_within_a_twentieth_of_the_spread(model: Model) -> None:
    assert 30 < model.spread < 80
    counts = ShadowCounts()
    counts.compare_numbers([100.0, 100.0], 40.0, answer(101.9, 102.1))
    assert counts.rows == {"agree": 1, "differ": 1}
    assert counts.difference_sum == pytest.approx(0.1)


def test_a_shadow_of_another_kind_cannot_be_compared() -> None:
    counts = ShadowCounts()
    for theirs in (answer(0.5, name="probability"), answer(1.0, 2.0), b"{"):
        with pytest.raises(Incomparable):
            counts.compare_numbers([100.0], 40.0, theirs)
    assert counts.rows == {"agree": 0, "differ": 0}


def test_a_shadow_is_compared_and_one_of_another_task_told_once(server: Server, watched: Path) -> None:
    ours = outputs(server.infer(asked(PATIENT)))["prediction"][0]
    answers = [lambda handler, _: reply(handler, answer(ours + 1)), other_version, other_version]

    def replies(handler: Any, body: bytes) -> None:
        answers.pop(0)(handler, body)

    with target(replies) as other, mirrored(server, watched, mirror(other.url, version="other")):
        for _ in range(3):
            assert server.infer(asked(PATIENT)).status_code == 200
        until(lambda: counted(server, "perennial_shadow_requests_total", shadow="other", result="failed") == 2)
    assert counted(server, "perennial_shadow_rows_total", shadow="other", result="agree") == 1
    assert counted(server, "perennial_shadow_rows_total", shadow="other") == 1
    assert told(server, "cannot be compared") == 1
