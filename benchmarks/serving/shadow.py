"""What a shadow costs those who wait for the stable version's answers: p99 with copies off and on, in turn.

Both are our predictor; the switch is the watched setting. The stable one has core 0, the client core 1, where the
shadow takes what is left: it would have a machine of its own.
"""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.serving.load import body, by_wrk
from benchmarks.serving.process import Server
from perennial.contracts.names import MIRROR_FILE

CONNECTIONS = 8
PAIRS = 3
"""For each round of the other measurements."""
LOADS = {"paced": 20, "without a pause": 0}
"""Milliseconds between an answer and the next request of a connection."""
_ON, _OFF = "are mirrored to", "the mirror is off"


def measure_shadow(folder: Path, rounds: int, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """By load: requests a second, median p99 (ms) with copies of every request off and on, and their median ratio.

    The ratio is taken pair by pair: p99 differs more from one minute to the next than by what is measured here.
    """
    with ExitStack() as stack:
        stable = stack.enter_context(Server("stable", folder / "stable"))
        shadow = stack.enter_context(Server("shadow", folder / "shadow", core=1, aside=True))
        found = {}
        for load, pause_ms in LOADS.items():
            pairs, rates = [], []
            for number in range(PAIRS * rounds):
                pair = {}
                for copies in ("off", "on") if number % 2 else ("on", "off"):
                    say(f"pair {number + 1} of {PAIRS * rounds}: requests {load}, copies {copies}")
                    _switch(stable, shadow, on=copies == "on")
                    result = by_wrk(stable.port, CONNECTIONS, seconds, body(), pause_ms)
                    if result.failed:
                        raise SystemExit(f"shadow: {result.failed} of {result.answered} requests failed")
                    pair[copies] = result.p99_ms
                    rates.append(result.answered / result.seconds)
                pairs.append(pair)
            found[load] = {
                "rps": round(median(rates)),
                "p99_ms_off": median(pair["off"] for pair in pairs),
                "p99_ms_on": median(pair["on"] for pair in pairs),
                "ratio": round(median(pair["on"] / pair["off"] for pair in pairs), 3),
            }
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
