"""What Prometheus reads."""

import weakref
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from perennial.contracts.baseline import bin_index
from perennial.contracts.joint import JointError
from perennial_serving import counters as module
from perennial_serving.counters import (
    MAX_OTHER_VERSIONS,
    MAX_SERIES,
    SETTLED_ROWS,
    SHADOW_SERIES,
    Calibration,
    Counters,
)
from perennial_serving.exposition import labels
from perennial_serving.mirror import _REMEMBERED
from perennial_serving.mirror_counts import ShadowCounts, exposition
from perennial_serving.model import Model, Prediction
from perennial_serving.protocol import InputTensor
from perennial_serving.usage import Usage
from tests.unit.serving.support import DEPLOYMENT, PATIENT, VERSION, named, samples, total

OF_ITSELF = {
    "perennial_baseline_share", "process_cpu_seconds_total", "process_resident_memory_bytes",
    "perennial_cpu_limit_cores", "perennial_memory_limit_bytes",
}  # fmt: skip
"""What is no count of requests, and stands at its value from the start."""


SUMMARIES = ("perennial_feedback_delay_seconds", "perennial_feedback_log_loss")


def look(counters: Counters, *, scraper: bool = False) -> str:
    return counters.render(scraper=scraper).decode()


def rows_of(model: Model, *patients: dict[str, Any]) -> NDArray[np.float64]:
    rows = model.decoder.decode(msgspec.convert(named(*patients)["inputs"], list[InputTensor]))
    return np.array(rows, dtype=np.float64)


def test_every_series_is_there_at_zero_from_the_start(counters: Counters, model: Model) -> None:
    found = samples(look(counters))
    assert len(found) == counters.series < MAX_SERIES
    counted = {name: value for name, value in found.items() if name[0] not in OF_ITSELF}
    assert set(counted.values()) == {0.0}
    names = {name for name, _ in counted}
    assert names == {
        "perennial_requests_total", "perennial_feature_observations_total", "perennial_request_duration_seconds_bucket",
        "perennial_request_duration_seconds_sum", "perennial_request_duration_seconds_count",
        "perennial_prediction_observations_total", "perennial_predictions_total",
        "perennial_calibrated_probability_sum_total", "perennial_feedback_total", "perennial_feedback_rejected_total",
        "perennial_joint_observations_total", "perennial_feedback_delay_seconds_sum",
        "perennial_feedback_delay_seconds_count", "perennial_feedback_log_loss_sum",
        "perennial_feedback_log_loss_count",
    }  # fmt: skip
    for _, pairs in found:
        assert {("deployment", DEPLOYMENT), ("version", VERSION)} <= pairs
    bins = {dict(pairs)["bin"] for name, pairs in found if ("feature", "age") in pairs}
    assert bins == set(model.baseline.features[0].bins)


def test_the_revision_is_a_label_of_every_series(model: Model) -> None:
    told = samples(look(Counters(model, DEPLOYMENT, VERSION, "a1b2")))
    assert all(("revision", "a1b2") in pairs for _, pairs in told)


def test_each_family_is_described_once_and_stands_together(counters: Counters) -> None:
    families = [line.split()[2] for line in look(counters).splitlines() if line.startswith("# TYPE")]
    assert len(families) == len(set(families))
    assert set(families) >= {"perennial_joint_observations_total", "perennial_feedback_log_loss"}
    family = ""
    for line in look(counters).splitlines():
        family = line.split()[2] if line.startswith("#") else family
        assert line.startswith(("#", family))


@pytest.mark.parametrize("rows", [1, 3, 4, 50])
def test_each_value_counts_in_the_contracts_bin(rows: int, counters: Counters, model: Model) -> None:
    patients = [PATIENT | {"age": 20 + 2 * row, "chol": None, "cp": str(1 + row % 4)} for row in range(rows)]
    decoded = rows_of(model, *patients)
    counters.predictions(decoded, model.predict(decoded))
    text = look(counters)
    age, cp = model.baseline.features[0], next(item for item in model.baseline.features if item.name == "cp")
    for distribution, values in ((age, [p["age"] for p in patients]), (cp, [p["cp"] for p in patients])):
        expected = np.bincount([bin_index(distribution, value) for value in values], minlength=len(distribution.bins))
        for name, count in zip(distribution.bins, expected, strict=True):
            counted = total(text, "perennial_feature_observations_total", feature=distribution.name, bin=name)
            assert counted == count, (distribution.name, name)
    assert total(text, "perennial_feature_observations_total", feature="chol", bin="__missing__") == rows
    assert total(text, "perennial_prediction_observations_total") == rows
    assert total(text, "perennial_predictions_total") == rows


@pytest.mark.parametrize("rows", [1, 50])
def test_each_row_counts_by_its_distance_from_training(rows: int, counters: Counters, model: Model) -> None:
    joint = model.baseline.joint
    assert joint is not None
    patients = [PATIENT | {"age": 20 + 2 * row, "chol": None, "cp": str(1 + row % 4)} for row in range(rows)]
    decoded = rows_of(model, *patients)
    counters.predictions(decoded, model.predict(decoded))
    places = [bin_index(joint.distribution, error) for error in JointError(joint)(decoded)]
    expected = np.bincount(places, minlength=len(joint.distribution.bins))
    for name, count in zip(joint.distribution.bins, expected, strict=True):
        assert total(look(counters), "perennial_joint_observations_total", bin=name) == count


def test_a_row_as_no_patient_was_lies_above(counters: Counters, model: Model) -> None:
    odd = rows_of(model, PATIENT | {"age": 29, "thalach": 71, "chol": 564, "oldpeak": 6.2, "trestbps": 200})
    counters.predictions(odd, model.predict(odd))
    assert total(look(counters), "perennial_joint_observations_total", bin="__above__") == 1
    assert total(look(counters), "perennial_feature_observations_total", bin="__above__") == 0, "each value is usual"


def test_a_baseline_without_joint_counts_none(model: Model) -> None:
    plain = Model(model.scorer, model.signature, msgspec.structs.replace(model.baseline, joint=None))
    counters = Counters(plain, DEPLOYMENT, VERSION)
    decoded = rows_of(model, PATIENT)
    counters.predictions(decoded, model.predict(decoded))
    assert "joint" not in look(counters)
    assert total(look(counters), "perennial_predictions_total") == 1


def test_the_baselines_shares_are_told_beside_what_is_counted(counters: Counters, model: Model) -> None:
    found = samples(look(counters, scraper=True))
    shares = {
        (dict(pairs)["feature"], dict(pairs)["bin"]): value
        for (name, pairs), value in found.items()
        if name == "perennial_baseline_share"
    }
    assert shares["age", "[29,42)"] == pytest.approx(28 / 303, abs=1e-6)
    counted = {
        (dict(pairs)["feature"], dict(pairs)["bin"])
        for name, pairs in found
        if name == "perennial_feature_observations_total"
    }
    assert {pair for pair in shares if not pair[0].startswith("__")} == counted
    for feature in {feature for feature, _ in shares}:
        assert sum(value for (of, _), value in shares.items() if of == feature) == pytest.approx(1, abs=1e-4)
    assert {of for of, _ in shares} - {item.name for item in model.signature.inputs} == {"__prediction__", "__joint__"}


def test_shares_give_way_where_there_are_too_many_series(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts and labels are what verdicts rest on; shares are for people."""
    all_told = Counters(model, DEPLOYMENT, VERSION).series
    with_versions = all_told + SHADOW_SERIES + MAX_OTHER_VERSIONS * 8
    monkeypatch.setattr(module, "MAX_SERIES", with_versions)
    assert "perennial_baseline_share" in look(Counters(model, DEPLOYMENT, VERSION))
    monkeypatch.setattr(module, "MAX_SERIES", with_versions - 1)
    counters = Counters(model, DEPLOYMENT, VERSION)
    assert "perennial_baseline_share" not in look(counters)
    assert sum(counters.feedback(f"v{number}", 0, 0) for number in range(20)) == MAX_OTHER_VERSIONS


def test_the_process_and_its_limits_are_told(model: Model, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "memory.max").write_text("268435456\n")
    counters = Counters(model, DEPLOYMENT, VERSION, "a1b2", Usage(tmp_path))
    text = look(counters, scraper=True)
    told = {name: total(text, name, deployment=DEPLOYMENT, version=VERSION, revision="a1b2") for name in OF_ITSELF}
    assert (told["perennial_cpu_limit_cores"], told["perennial_memory_limit_bytes"]) == (1.5, 268435456)
    assert told["process_cpu_seconds_total"] > 0
    assert told["process_resident_memory_bytes"] > 2**20


def test_predictions_are_counted_with_their_calibrated_probability(counters: Counters, model: Model) -> None:
    decoded = rows_of(model, PATIENT, PATIENT)
    counters.predictions(decoded, Prediction([1, 0], [0.75, 0.25], [0.75, 0.25]))
    text = look(counters)
    x, y = zip(*model.baseline.calibration, strict=True)
    for label, p in (("1", 0.75), ("0", 0.25)):
        assert total(text, "perennial_predictions_total", predicted=label) == 1
        calibrated = total(text, "perennial_calibrated_probability_sum_total", predicted=label)
        assert calibrated == pytest.approx(np.interp(p, x, y))


@pytest.mark.parametrize(("p", "calibrated"), [(0.0, 0.1), (0.2, 0.1), (0.4, 0.3), (0.6, 0.5), (0.9, 0.5)])
def test_calibration_is_linear_between_its_points(p: float, calibrated: float) -> None:
    assert Calibration([(0.2, 0.1), (0.6, 0.5)])(np.array([p])) == pytest.approx([calibrated])


def test_without_calibration_a_probability_stays_what_it_is() -> None:
    assert Calibration(())(np.array([0.3])) == [0.3]


def test_what_is_counted_in_blocks_adds_up(counters: Counters, model: Model) -> None:
    decoded = rows_of(model, PATIENT, PATIENT | {"age": None})
    for _ in range(SETTLED_ROWS + 1):
        counters.predictions(decoded, model.predict(decoded))
    text = look(counters)
    assert total(text, "perennial_feature_observations_total", feature="age") == 2 * (SETTLED_ROWS + 1)
    assert total(text, "perennial_feature_observations_total", feature="age", bin="__missing__") == SETTLED_ROWS + 1
    assert total(text, "perennial_predictions_total") == 2 * (SETTLED_ROWS + 1)
    again = samples(look(counters))
    counts = {series: value for series, value in samples(text).items() if series[0] not in OF_ITSELF}
    assert counts.items() <= again.items(), "a look changes nothing"


def test_what_was_not_answered_is_not_kept(counters: Counters, model: Model) -> None:
    """An empty view would keep the whole of the matrix it is a view of."""
    for _ in range(3):
        matrix = np.zeros((1000, 13))
        counters.predictions(matrix[:0], Prediction([], [], []))
        whole = weakref.ref(matrix)
        del matrix
        assert whole() is None
    assert total(look(counters), "perennial_predictions_total") == 0


def test_the_callers_mistakes_are_no_latency_of_ours(counters: Counters) -> None:
    for code, seconds in (
        (200, 0.0005),
        (200, 0.04),
        (500, 20.0),
        (400, 0.0001),
        (413, 9.0),
        (429, 0.0001),
        (499, 9.0),
    ):
        counters.request(code, seconds)
    text = look(counters)
    assert total(text, "perennial_requests_total", code="200") == 2
    assert total(text, "perennial_requests_total", code="400") == 1
    assert total(text, "perennial_request_duration_seconds_count") == 3
    assert total(text, "perennial_request_duration_seconds_sum") == pytest.approx(20.0405)
    at_most = {
        limit: total(text, "perennial_request_duration_seconds_bucket", le=limit)
        for limit in ("0.0005", "0.03", "0.04", "10.0", "+Inf")
    }
    assert at_most == {"0.0005": 1, "0.03": 1, "0.04": 2, "10.0": 2, "+Inf": 3}


def test_refused_values_count_as_invalid(counters: Counters) -> None:
    counters.invalid({0: 2})
    assert total(look(counters), "perennial_feature_observations_total", feature="age", bin="__invalid__") == 2


def test_prometheus_sees_zero_before_it_sees_a_count_and_nobody_else_is_kept_waiting(counters: Counters) -> None:
    counters.request(200, 0.001)
    assert total(look(counters), "perennial_requests_total") == 1
    assert total(look(counters, scraper=True), "perennial_requests_total") == 0
    assert total(look(counters, scraper=True), "perennial_requests_total") == 1


def test_feedback_for_another_version_starts_at_zero_too(counters: Counters) -> None:
    look(counters, scraper=True)
    counters.feedback("v0", 1, 0, delay=3.0, loss=0.7)
    counters.feedback(VERSION, 1, 1)
    first = look(counters, scraper=True)
    assert total(first, "perennial_feedback_total", version="v0") == 0
    for summary in SUMMARIES:
        assert total(first, f"{summary}_sum", version="v0") == total(first, f"{summary}_count", version="v0") == 0
    assert total(first, "perennial_feedback_total", version=VERSION, predicted="1", actual="1") == 1
    counters.feedback("v0", 1, 0)
    second = look(counters, scraper=True)
    assert total(second, "perennial_feedback_total", version="v0", predicted="1", actual="0") == 2
    assert [total(second, f"{summary}_sum", version="v0") for summary in SUMMARIES] == [3.0, 0.7]
    assert [total(second, f"{summary}_count", version="v0") for summary in SUMMARIES] == [2, 1]


def test_versions_with_feedback_are_bounded(counters: Counters) -> None:
    assert all(counters.feedback(f"v{number}", 0, 0) for number in range(MAX_OTHER_VERSIONS))
    assert not counters.feedback("one too many", 0, 0)
    assert counters.feedback(VERSION, 0, 0)


@pytest.mark.parametrize(("classes", "others"), [(2, MAX_OTHER_VERSIONS), (20, 3), (60, 0)])
def test_many_classes_leave_room_for_fewer_versions(classes: int, others: int, model: Model) -> None:
    signature = msgspec.structs.replace(model.signature, classes=tuple(map(str, range(classes))))
    many = Counters(Model(model.scorer, signature, model.baseline), DEPLOYMENT, VERSION)
    before = many.series
    assert sum(many.feedback(f"v{number}", 0, 0) for number in range(20)) == others
    assert many.feedback(VERSION, 0, 0)
    assert many.series <= max(before, MAX_SERIES - SHADOW_SERIES)


def test_the_shadows_take_no_more_than_their_part() -> None:
    shown = exposition({}, {f"v{number}": ShadowCounts() for number in range(_REMEMBERED)}, scraper=False)
    assert len(samples(shown.decode())) <= SHADOW_SERIES


@given(st.text())
def test_labels_survive_escaping(value: str) -> None:
    text = f"x{{{labels(name=value)}}} 1"
    if "\r" in value or len(text.splitlines()) > 1:  # Prometheus ends lines at \n alone, the test's reader at more
        return
    assert samples(text) == {("x", frozenset({("name", value)})): 1.0}


def test_awkward_labels() -> None:
    assert labels(bin='a"b\\c\nd') == r'bin="a\"b\\c\nd"'
