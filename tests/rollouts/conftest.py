"""The figures of the matrix: gathered from all processes, printed at the end."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.rollouts.client import ANSWERED, LOST, TALLY
from tests.rollouts.fixtures import ward

__all__ = ["ward"]


@pytest.fixture(autouse=True)
def count_requests(record_property: Any) -> Iterator[None]:
    """Puts the test's requests into its report: the summary adds up those of all processes."""
    TALLY.clear()
    yield
    for what, count in TALLY.items():
        record_property(what, count)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The figures that were measured."""
    requests: Counter[str] = Counter()
    reports = [each for key in ("passed", "failed", "") for each in terminalreporter.stats.get(key, [])]
    if not reports:
        return
    terminalreporter.section("figures")
    for report in reports:
        for what, value in dict(report.user_properties).items():
            if what in {ANSWERED, LOST}:
                requests[what] += value if report.when == "teardown" else 0
            elif report.when == "call":
                terminalreporter.write_line(f"{value:6.1f} {what}")
    terminalreporter.write_line(f"{requests[ANSWERED]} requests of keep-alive clients answered, {requests[LOST]} lost")
