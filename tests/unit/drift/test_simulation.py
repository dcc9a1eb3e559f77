"""False alarms and power on the demo's patients and on normal features; `make bench-drift` has the full figures."""

import numpy as np
import pytest

from benchmarks.drift.simulation import HOSPITALS, Normal, baseline, judge, patients, rates, resampled

WINDOWS = 40


@pytest.mark.parametrize(("chunks", "size"), [(2, 1200), (3, 400), (3, 2400), (24, 1000)])
def test_the_patients_of_training_are_healthy_at_every_window(chunks: int, size: int) -> None:
    rows = patients("cleveland")
    windows = resampled(baseline(rows), rows, size, chunks, np.random.default_rng(1))
    assert rates(baseline(rows), windows, WINDOWS).alarms == 0


@pytest.mark.parametrize(("chunks", "size"), [(2, 1200), (3, 400), (24, 1000)])
def test_other_hospitals_patients_drift_at_once(chunks: int, size: int) -> None:
    reference = baseline(patients("cleveland"))
    windows = resampled(reference, patients(*HOSPITALS[1:]), size, chunks, np.random.default_rng(2))
    for _ in range(10):
        found = {each.test.feature for each in judge(reference, next(windows)) if each.drifting}
        assert len(found) >= 5
        assert "chol" in found


@pytest.mark.parametrize("chunks", [2, 3, 24])
def test_all_hospitals_patients_are_healthy_once_all_are_known(chunks: int) -> None:
    rows = patients(*HOSPITALS)
    windows = resampled(baseline(rows), rows, 1200, chunks, np.random.default_rng(3))
    assert rates(baseline(rows), windows, WINDOWS).alarms == 0


@pytest.mark.parametrize(
    ("setup", "most", "least"),
    [
        (Normal(1000), 0.05, None),
        (Normal(10_000, shift=0.1), None, 0.0),
        (Normal(1000, shift=0.25), None, 0.9),
        (Normal(200, shift=0.5), None, 0.8),
    ],
    ids=["clean", "a shift too small to matter", "a quarter of a deviation", "half of one, few rows"],
)
def test_normal_features(setup: Normal, most: float | None, least: float | None) -> None:
    rng = np.random.default_rng(4)
    reference = setup.reference(rng)
    windows = setup.windows(reference, rng)
    found = [judge(reference, next(windows)) for _ in range(WINDOWS)]
    if most is not None:
        assert sum(any(each.drifting for each in findings) for findings in found) <= most * WINDOWS
    elif least == 0:
        assert sum(findings[0].adjusted < 0.01 for findings in found) >= 0.8 * WINDOWS, "significant"
        assert sum(findings[0].drifting for findings in found) <= 0.1 * WINDOWS, "but small"
    else:
        assert least is not None
        assert sum(findings[0].drifting for findings in found) >= least * WINDOWS
