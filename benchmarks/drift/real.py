"""What is known of real data and of others' streams: when a change came, and how good the model really was."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drift.detector import Flags
from benchmarks.drift.streams import BEFORE, STREAM_SIZE, Array

sys.path.append(str(Path(__file__).parents[2] / "components"))

from perennial_components.baseline.calibration import calibration_points

EMPLOYMENT_CHUNK = 5000


def delays(flags: Flags) -> dict[str, Any]:
    """From the flags (R, W, F) of R streams: false alarms are windows before the change, the delay is that of the first
    alarm after it, in rows from the change to that window's end.
    """
    alarms: Flags = np.asarray(flags.any(axis=2))
    before, after = alarms[:, :BEFORE], alarms[:, BEFORE:]
    found = after.any(axis=1)
    rows = (after.argmax(axis=1)[found] + 1) * STREAM_SIZE
    return {
        "changes": len(alarms), "missed": int((~found).sum()),
        "delay_rows": float(np.median(rows)) if found.any() else None,
        "false": int(before.sum()), "clean_windows": before.size,
    }  # fmt: skip


def summed(streams: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All streams together; the delay is the mean of the streams' medians."""
    waited = [each["delay_rows"] for each in streams if each["delay_rows"] is not None]
    totals = {key: sum(each[key] for each in streams) for key in ("changes", "missed", "false", "clean_windows")}
    return {**totals, "delay_rows": round(float(np.mean(waited))) if waited else None}


def employment(folder: Path, nannyml: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy by chunk of 5,000 rows: real, estimated by counters as a monitor does, and estimated by NannyML.

    A loss is where the real accuracy lies under NannyML's threshold (mean less three standard deviations of the
    reference's chunks); an estimate finds it when it lies under that threshold itself.
    """
    ours = _by_counters(folder)
    real, threshold = np.array(nannyml["real"]), nannyml["threshold"]
    if not np.allclose(ours["real"], real, atol=1e-3):
        raise ValueError("the chunks are not those of NannyML")
    losses = real < threshold
    methods = {
        name: {
            "mean_absolute_error": round(float(np.abs(values - real).mean()), 4),
            "largest_error": round(float(np.abs(values - real).max()), 4),
            "correlation": round(float(np.corrcoef(values, real)[0, 1]), 3),
            "found": int((losses & (values < threshold)).sum()),
            "false": int((~losses & (values < threshold)).sum()),
            "estimated": [round(float(value), 4) for value in values],
        }
        for name, values in (("ours", ours["estimated"]), ("nannyml", np.array(nannyml["estimated"])))
    }
    held_out = {"mean_absolute_error": round(float(np.abs(ours["held_out"] - real).mean()), 4)}
    return {
        "chunks": len(real), "rows_a_chunk": EMPLOYMENT_CHUNK, "threshold": threshold, "losses": int(losses.sum()),
        "real": nannyml["real"], "methods": {**methods, "reference_accuracy": held_out},
    }  # fmt: skip


def _by_counters(folder: Path) -> dict[str, Any]:
    """Estimated accuracy of a chunk from four counts alone: predictions by class, N0 and N1, and the sums of calibrated
    probabilities among them, S0 and S1: (N0 - S0 + S1) / (N0 + N1).
    """
    data = np.load(folder / "employment.npz")
    happened = data["reference_truth"] == 1
    points = np.array(calibration_points(data["reference_probability"], happened))
    calibrated = np.interp(data["analysis_probability"], points[:, 0], points[:, 1])
    positive, truth = data["analysis_predicted"] == 1, data["analysis_truth"] == 1
    starts = np.arange(0, len(truth), EMPLOYMENT_CHUNK)

    def total(values: Array) -> Array:
        sums: Array = np.add.reduceat(values.astype(np.float64), starts)
        return sums

    rows = total(np.ones(len(truth)))
    right = total(~positive) - total(calibrated * ~positive) + total(calibrated * positive)
    held_out = float(((data["reference_predicted"] == 1) == happened).mean())
    return {"estimated": right / rows, "real": total(positive == truth) / rows, "held_out": held_out}
