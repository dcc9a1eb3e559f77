"""Alibi Detect by its defaults: ``TabularDrift``, Kolmogorov-Smirnov per feature at 0.05 by Bonferroni."""

import numpy as np
from alibi_detect.cd import TabularDrift

from benchmarks.drift.detector import Flags, serve
from benchmarks.drift.streams import Array, Scenario


class Alibi:
    """The features whose p-value makes the batch drift."""

    def __init__(self, reference: Array) -> None:
        self._detector = TabularDrift(reference, p_val=0.05)

    def flags(self, windows: Array) -> Flags:
        """See ``Detector``."""
        return np.array([self._judge(window) for window in windows])

    def _judge(self, window: Array) -> Flags:
        found = self._detector.predict(window)["data"]
        flags: Flags = found["p_val"] < found["threshold"]
        if bool(found["is_drift"]) != bool(flags.any()):
            raise ValueError("the batch drifts by something else than a feature under the threshold")
        return flags


def _make(reference: Array, _: Scenario) -> Alibi:
    return Alibi(reference)


if __name__ == "__main__":
    serve(_make, ("alibi-detect", "scipy", "numpy"))
