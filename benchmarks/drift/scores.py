"""From flags to figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.drift import process, real
from benchmarks.drift.detector import Flags
from benchmarks.drift.streams import RIVER, Scenario, listed

DATASET_SHARE = 0.5
"""Share of drifted columns at which Evidently's preset calls the whole data set drifted."""
HEADLINES = {
    "clean_alarm_rate": ("normal-m10000-n1000-0", "alarms"),
    "power_025_n1000": ("normal-m10000-n1000-0.25", "found"),
    "ar1_alarm_rate": ("ar1-0", "alarms"),
    "ar1_power_05": ("ar1-0.5", "found"),
    "seasonal_alarm_rate": ("season-long-0", "alarms"),
    "seasonal_power_05": ("season-long-0.5", "found"),
    "short_season_alarm_rate": ("season-short-0", "alarms"),
    "short_season_power_05": ("season-short-0.5", "found"),
}
"""The figures by which methods are compared: (scenario, figure)."""


def figures(folder: Path, methods: Sequence[str]) -> dict[str, Any]:
    """The results' ``methods``, ``scenarios``, ``streams`` and, with NannyML among ``methods``, ``employment``."""
    answers = process.answers(folder, methods)
    made = [each for each in listed(folder) if not each.name.startswith(RIVER)]
    scenarios = {each.name: _scenario(folder, each, answers) for each in made}
    streams = _streams(folder, methods)
    result = {
        "methods": {name: _method(name, scenarios, streams, answers[name]) for name in methods},
        "scenarios": scenarios,
        "streams": streams,
    }
    if "nannyml" in answers:
        result["employment"] = real.employment(folder, answers["nannyml"]["employment"])
    return result


def _scenario(folder: Path, scenario: Scenario, answers: Mapping[str, Any]) -> dict[str, Any]:
    methods = {}
    for name, answer in answers.items():
        flags = process.flags(folder, name, scenario)
        if flags is not None:
            methods[name] = {**rates(flags, scenario.shift), **answer["scenarios"][scenario.name]}
    windows = max(each.pop("windows") for each in methods.values())
    return {"m": scenario.rows, "n": scenario.size, "shift": scenario.shift, "windows": windows, "methods": methods}


def rates(flags: Flags, shift: float) -> dict[str, Any]:
    """``alarms``: windows with any unshifted feature; ``found``: with the shifted one; ``dataset``: half of all."""
    rows = flags.reshape(-1, flags.shape[2])
    unshifted = rows[:, 1:] if shift else rows
    rates = {
        "windows": len(rows),
        "alarms": round(float(unshifted.any(axis=1).mean()), 4),
        "dataset": round(float((rows.mean(axis=1) >= DATASET_SHARE).mean()), 4),
    }
    return {**rates, "found": round(float(rows[:, 0].mean()), 4)} if shift else rates


def _streams(folder: Path, methods: Sequence[str]) -> dict[str, Any]:
    return {
        each.name.removeprefix(RIVER): {
            name: real.delays(flags) for name in methods if (flags := process.flags(folder, name, each)) is not None
        }
        for each in listed(folder)
        if each.name.startswith(RIVER)
    }


def _method(
    name: str, scenarios: Mapping[str, Any], streams: Mapping[str, Any], answer: Mapping[str, Any]
) -> dict[str, Any]:
    found = {key: scenarios[at]["methods"][name][figure] for key, (at, figure) in HEADLINES.items()}
    clean = scenarios[HEADLINES["clean_alarm_rate"][0]]["methods"][name]
    result = {**found, "clean_dataset_rate": clean["dataset"], "cpu_ms_per_window": clean["cpu_ms"]}
    if "preset_cpu_ms" in answer:
        result |= {key: answer[key] for key in ("preset_cpu_ms", "preset_agrees")}
    return {**result, "streams": real.summed([each[name] for each in streams.values()]), "versions": answer["versions"]}
