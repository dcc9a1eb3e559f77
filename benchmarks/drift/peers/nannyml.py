"""NannyML by its defaults: Jensen-Shannon distances against thresholds from the reference's own chunks; and CBPE, its
estimate of the accuracy without labels.
"""

from pathlib import Path
from typing import Any

import nannyml as nml
import numpy as np
import pandas as pd

from benchmarks.drift.detector import Flags, serve
from benchmarks.drift.streams import Array, Scenario

FEWEST, USUAL = 5, 10
"""Chunks of a reference from which thresholds can be told; those that NannyML makes where nothing is said."""
EMPLOYMENT_CHUNK = 5000
TRUTH, PREDICTED, PROBABILITY = "employed", "prediction", "predicted_probability"


class NannyML:
    """The columns with an alert in any of the window's chunks: one, as long as the reference has five like it."""

    def __init__(self, reference: Array, size: int) -> None:
        self._columns = [f"x{at}" for at in range(reference.shape[1])]
        self._chunk = chunk_rows(len(reference), size)
        calculator = nml.UnivariateDriftCalculator(column_names=self._columns, chunk_size=self._chunk)
        self._calculator = calculator.fit(pd.DataFrame(reference, columns=self._columns))

    def flags(self, windows: Array) -> Flags:
        """See ``Detector``."""
        rows = pd.DataFrame(windows.reshape(-1, windows.shape[2]), columns=self._columns)
        found = self._calculator.calculate(rows).filter(period="analysis").to_df()
        alerts = np.stack([found[name]["jensen_shannon"]["alert"].to_numpy(dtype=bool) for name in self._columns], 1)
        result: Flags = alerts.reshape(len(windows), -1, windows.shape[2]).any(axis=1)
        return result


def chunk_rows(rows: int, size: int) -> int:
    """Of a reference of ``rows`` and windows of ``size``."""
    return size if rows >= FEWEST * size else rows // USUAL


def employment() -> dict[str, Any]:
    """Estimated and real accuracy by chunk of the employment data, and their alerts."""
    reference, analysis, truth = nml.load_us_census_ma_employment_data()
    columns = {"y_true": TRUTH, "y_pred": PREDICTED, "y_pred_proba": PROBABILITY}
    wanted = {**columns, "metrics": ["accuracy"], "problem_type": "classification_binary"}
    estimator = nml.CBPE(chunk_size=EMPLOYMENT_CHUNK, **wanted).fit(reference)
    real = nml.PerformanceCalculator(chunk_size=EMPLOYMENT_CHUNK, **wanted).fit(reference)
    estimated = estimator.estimate(analysis).filter(period="analysis").to_df()["accuracy"]
    known = real.calculate(analysis.merge(truth, on="id")).filter(period="analysis").to_df()["accuracy"]
    return {
        "estimated": estimated["value"].round(4).tolist(), "estimated_alert": estimated["alert"].tolist(),
        "real": known["value"].round(4).tolist(), "real_alert": known["alert"].tolist(),
        "threshold": round(float(known["lower_threshold"].iloc[0]), 4),
    }  # fmt: skip


def _finish(_: Path) -> dict[str, Any]:
    return {"employment": employment()}


def _make(reference: Array, scenario: Scenario) -> NannyML | None:
    # Windows that are larger than the reference would be cut into chunks far smaller than themselves.
    return NannyML(reference, scenario.size) if scenario.size <= scenario.rows else None


if __name__ == "__main__":
    serve(_make, ("nannyml", "scipy", "numpy", "pandas"), _finish)
