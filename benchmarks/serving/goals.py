"""What the figures are held against."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Goal:
    """``value`` should be at most ``limit``, or at least, where ``least`` is set."""

    name: str
    value: float
    limit: float
    least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.value >= self.limit if self.least else self.value <= self.limit

    def line(self) -> str:
        """For the terminal."""
        sign, mark = ("≥" if self.least else "≤"), ("[green]met   " if self.met else "[red]missed")
        return f"{mark}[/]  {self.name}: {self.value:.3g} ({sign} {self.limit:g})"


def goals(servers: dict[str, Any], shadow: dict[str, Any]) -> list[Goal]:
    """Those whose servers were measured. All servers have one core, so requests a second are by core."""
    ours = servers.get("ours")
    if ours is None:
        return []
    found = [
        Goal(f"times the requests a second of {name}", ours["rps"] / servers[name]["rps"], limit, least=True)
        for name, limit in (("kserve_sklearn", 40), ("mlserver_sklearn", 40), ("kserve_onnx", 5), ("mlserver_onnx", 5))
        if name in servers
    ]
    cpu = ours["cpu_s_per_1k"]
    if "constant" in servers:
        found.append(Goal("times the limit's CPU a request", cpu / servers["constant"]["cpu_s_per_1k"], 1.5))
    if "ours_no_counters" in servers:
        share = 100 * (1 - servers["ours_no_counters"]["cpu_s_per_1k"] / cpu)
        found.append(Goal("percent of a request's CPU for counting", share, 5))
    found += [Goal("MiB", ours["rss_mib"], 90), Goal("seconds to ready", ours["ready_s"], 1.5)]
    found += [
        Goal(f"times stable's p99 with a shadow, requests {load}", figures["ratio"], 1.2)
        for load, figures in shadow.items()
    ]
    return found
