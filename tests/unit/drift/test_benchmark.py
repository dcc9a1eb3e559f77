"""That `make bench-drift` gives every method the rows that it says, and counts right what they answer."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.drift import real, report
from benchmarks.drift.__main__ import DOCUMENT, RESULTS
from benchmarks.drift.chart import chart
from benchmarks.drift.scores import HEADLINES, rates
from benchmarks.drift.streams import BEFORE, LONG, WINDOWS, Scenario, autoregressive, listed, seasonal, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("rows")
    write(made, 4)
    return made


def test_every_headline_has_its_scenario(folder: Path) -> None:
    names = {each.name for each in listed(folder)}
    assert {name for name, _ in HEADLINES.values()} <= names


def test_a_shift_moves_the_first_feature_alone_of_the_same_rows(folder: Path) -> None:
    known = {each.name: each for each in listed(folder)}
    reference, clean = next(known["normal-m1000-n200-0"].read(folder))
    same, shifted = next(known["normal-m1000-n200-0.25"].read(folder))
    assert (reference == same).all()
    moved = (shifted - clean).mean(axis=(0, 1))
    assert moved == pytest.approx([0.25, *[0.0] * 19])


def test_rows_of_time_follow_the_reference_without_a_gap(folder: Path) -> None:
    scenario = next(each for each in listed(folder) if each.name == "ar1-0")
    reference, windows = next(scenario.read(folder))
    last, first = np.concatenate([reference, *windows[:-1]]), windows[:, 0]
    before = np.stack([reference[-1], *(window[-1] for window in windows[:-1])])
    # Neighbours differ by sqrt(2 (1 - 0.9)), rows of different times by sqrt(2).
    assert (first - before).std() < 0.7 * last.std()


def test_autoregressive_rows_are_as_correlated_as_they_say_and_of_variance_one() -> None:
    rows = autoregressive(20_000, np.random.default_rng(1))
    assert rows.std() == pytest.approx(1, abs=0.03)
    assert (rows[1:] * rows[:-1]).mean() == pytest.approx(0.9, abs=0.05)


def test_a_long_season_makes_windows_differ_and_whole_seasons_alike() -> None:
    rows = seasonal(2 * LONG, LONG, np.random.default_rng(1)).reshape(2, 10, LONG // 10, -1).mean(axis=2)
    assert np.ptp(rows, axis=1).min() > 1.5
    assert np.abs(rows[0] - rows[1]).max() < 0.3


def test_alarms_are_those_of_unshifted_features_and_the_shifted_one_is_found() -> None:
    flags = np.zeros((1, 4, 20), dtype=bool)
    flags[0, :3, 0] = True
    flags[0, 0, 5] = True
    assert rates(flags, 0.25) == {"windows": 4, "alarms": 0.25, "dataset": 0.0, "found": 0.75}
    assert rates(flags, 0.0) == {"windows": 4, "alarms": 0.75, "dataset": 0.0}


def test_half_of_the_columns_drift_the_data_set() -> None:
    flags = np.zeros((1, 2, 4), dtype=bool)
    flags[0, 0, :2] = True
    assert rates(flags, 0.0)["dataset"] == 0.5


def test_delay_is_to_the_end_of_the_first_window_that_alarms_after_the_change() -> None:
    flags = np.zeros((3, WINDOWS, 2), dtype=bool)
    flags[0, BEFORE, 0] = flags[1, BEFORE + 2, 1] = True
    flags[1, BEFORE - 1, 0] = flags[2, 0, 0] = True
    found = real.delays(flags)
    assert found == {"changes": 3, "missed": 1, "delay_rows": 2000.0, "false": 2, "clean_windows": 3 * BEFORE}
    nothing = real.delays(np.zeros((1, WINDOWS, 2), dtype=bool))
    assert (nothing["missed"], nothing["delay_rows"]) == (1, None)
    together = real.summed([found, nothing])
    assert together == {"changes": 4, "missed": 2, "delay_rows": 2000, "false": 2, "clean_windows": 4 * BEFORE}


def test_counters_estimate_what_calibrated_rows_would(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    parts = {}
    for part, rows in (("reference", 40_000), ("analysis", 2 * real.EMPLOYMENT_CHUNK)):
        probability = rng.uniform(size=rows)
        parts |= {
            f"{part}_probability": probability, f"{part}_predicted": (probability > 0.5).astype(float),
            f"{part}_truth": (rng.uniform(size=rows) < probability).astype(float),
        }  # fmt: skip
    np.savez(tmp_path / "employment.npz", **parts)
    right = (parts["analysis_predicted"] == parts["analysis_truth"]).reshape(2, -1).mean(axis=1)
    found = real.employment(tmp_path, {"real": right.tolist(), "estimated": right.tolist(), "threshold": 0.5})
    sure = np.maximum(parts["analysis_probability"], 1 - parts["analysis_probability"]).reshape(2, -1).mean(axis=1)
    assert found["methods"]["ours"]["estimated"] == pytest.approx(sure.tolist(), abs=0.01)
    assert (found["losses"], found["methods"]["ours"]["false"]) == (0, 0)
    with pytest.raises(ValueError, match="chunks"):
        real.employment(tmp_path, {"real": [0.1, 0.2], "estimated": [0.1, 0.2], "threshold": 0.5})


def test_a_method_without_an_answer_leaves_a_gap_in_the_table() -> None:
    scenarios = {
        f"normal-m1000-n200-{shift:g}": {
            "m": 1000, "n": 200, "shift": shift,
            "methods": {"ours": {"alarms": 0.0, "found": 1.0}},
        }
        for shift in (0.0, 0.1, 0.25, 0.5)
    }  # fmt: skip
    rows = report.sizes(scenarios).rows
    assert [cell.text for cell in rows[0]] == ["1,000", "200", "Perennial", "0.0%", "100%", "100%", "100%"]
    assert [cell.text for cell in rows[1]] == ["", "", "Evidently", "-", "-", "-", "-"]


def test_the_document_is_that_of_the_results() -> None:
    results = json.loads(RESULTS.read_text())
    assert DOCUMENT.read_text() == report.document(results)
    assert DOCUMENT.with_suffix(".svg").read_text() == chart(results["methods"], report.NAMES)


def test_scenarios_are_read_as_they_were_written(folder: Path) -> None:
    assert Scenario("season-long-0", "season-long-m.npy", "season-long-n.npy", 5 * LONG, 1000) in listed(folder)
