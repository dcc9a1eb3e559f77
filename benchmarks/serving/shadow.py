"""What a shadow costs those who wait for the stable version's answers: p99 with copies off and on, in turn.

Both are our predictor; the switch is the watched setting. The stable one has core 0, client and shadow share core 1.
"""

import json
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.serving.load import body, by_wrk
from benchmarks.serving.process import Server
from perennial.contracts.names import MIRROR_FILE

CONNECTIONS = 8
LOADS = {"paced": 20, "without a pause": 0}
"""Milliseconds between an answer and the next request of a connection."""
_ON, _OFF = "are mirrored to", "the mirror is off"


def measure_shadow(folder: Path, rounds: int, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """By load: requests a second and median p99 (ms) with copies of every request off and on, and their ratio."""
    with ExitStack() as stack:
        stable = stack.enter_context(Server("stable", folder / "stable"))
        shadow = stack.enter_context(Server("shadow", folder / "shadow", core=1))
        found = {}
        for load, pause_ms in LOADS.items():
            p99: dict[str, list[float]] = {"off": [], "on": []}
            rates = []
            for number in range(rounds):
                for copies, times in p99.items():
                    say(f"round {number + 1} of {rounds}: requests {load}, copies {copies}")
                    _switch(stable, shadow, on=copies == "on")
                    result = by_wrk(stable.port, CONNECTIONS, seconds, body(), pause_ms)
                    if result.failed:
                        raise SystemExit(f"shadow: {result.failed} of {result.answered} requests failed")
                    times.append(result.p99_ms)
                    rates.append(result.answered / result.seconds)
            off, on = (statistics.median(times) for times in p99.values())
            rate = round(statistics.median(rates))
            found[load] = {"rps": rate, "p99_ms_off": off, "p99_ms_on": on, "ratio": round(on / off, 3)}
        return found


def _switch(stable: Server, shadow: Server, *, on: bool) -> None:
    """Writes or removes the setting as Kubernetes would, and waits until the predictor has taken it."""
    setting, word = stable.folder / MIRROR_FILE, _ON if on else _OFF
    if on == setting.exists():
        return
    before = stable.log.read_text().count(word)
    if on:
        wanted = {"target": f"http://127.0.0.1:{shadow.port}", "share": 100, "version": "heart-disease-shadow"}
        part = setting.with_suffix(".part")
        part.write_text(json.dumps(wanted))
        part.rename(setting)
    else:
        setting.unlink()
    deadline = time.monotonic() + 10
    while stable.log.read_text().count(word) == before:
        if time.monotonic() > deadline:
            raise SystemExit(f"the predictor did not take the setting: {stable.log.read_text()[-2000:]}")
        time.sleep(0.05)
