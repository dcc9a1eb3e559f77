"""Evidently by its defaults: the tests that ``DataDriftPreset()`` chooses for each column, without the charts it draws.

The tests are chosen and made by Evidently itself. One window of every scenario is also given to the whole preset, which
must answer alike: with its charts, all of them would take an hour.
"""

from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.legacy.calculations.stattests.registry import get_stattest
from evidently.legacy.core import ColumnType
from evidently.presets import DataDriftPreset

from benchmarks.drift.detector import Flags, serve
from benchmarks.drift.streams import Array, Scenario, listed


class Evidently:
    """The columns that drift."""

    def __init__(self, reference: Array) -> None:
        self._columns = [f"x{at}" for at in range(reference.shape[1])]
        self._reference = self._frame(reference)

    def flags(self, windows: Array) -> Flags:
        """See ``Detector``."""
        return np.array([self._judge(self._frame(window)) for window in windows])

    def preset(self, window: Array) -> list[bool]:
        """The same of one window (n, F) by the whole preset."""
        definition = DataDefinition(numerical_columns=self._columns)
        known, current = (
            Dataset.from_pandas(each, data_definition=definition) for each in (self._reference, self._frame(window))
        )
        answer = Report([DataDriftPreset()]).run(current, known).dict()
        metrics = {each["config"]["column"]: each for each in answer["metrics"] if "column" in each["config"]}
        return [_drifts(metrics[name]) for name in self._columns]

    def _frame(self, rows: Array) -> pd.DataFrame:
        return pd.DataFrame(rows, columns=self._columns)

    def _judge(self, current: pd.DataFrame) -> list[bool]:
        found = []
        for name in self._columns:
            before, now = self._reference[name], current[name]
            test = get_stattest(before, now, ColumnType.Numerical, None)
            found.append(bool(test(before, now, ColumnType.Numerical, None).drifted))
        return found


def _drifts(metric: dict[str, Any]) -> bool:
    config, value = metric["config"], float(metric["value"])
    # Distances alarm above their threshold, p-values below.
    return bool(value < config["threshold"] if "p_value" in config["method"] else value >= config["threshold"])


def _make(reference: Array, _: Scenario) -> Evidently:
    return Evidently(reference)


def _check(folder: Path) -> dict[str, Any]:
    """CPU time a window of the whole preset. Raises ValueError where it answers otherwise."""
    seconds = []
    for scenario in listed(folder):
        reference, windows = next(scenario.read(folder))
        detector = Evidently(reference)
        began = process_time()
        whole = detector.preset(windows[0])
        seconds.append(process_time() - began)
        if whole != detector.flags(windows[:1])[0].tolist():
            raise ValueError(f"{scenario.name}: the whole preset answers otherwise")
    return {"preset_cpu_ms": round(1000 * median(seconds)), "preset_agrees": len(seconds)}


if __name__ == "__main__":
    serve(_make, ("evidently", "scipy", "numpy", "pandas"), _check)
