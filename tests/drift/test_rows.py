"""A thousand windows as a real Prometheus holds them, against the rows that were counted: n and the verdict."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from perennial.adapters.prometheus import Prometheus
from perennial.contracts import names
from perennial.domain.drift.queries import Family
from perennial.domain.drift.statistics import examine, judge_features
from perennial.domain.drift.window import Layout, read_chunks
from perennial.reconcile.counters import Span, ask
from tests.drift.prometheus import fill, prometheus
from tests.drift.world import CHUNKS, STEP, Array, Window, reference, window

BEGIN = 1_700_006_400.0
WINDOWS = 500
KNOWN = reference()


def written(folder: Path, windows: Iterable[Window]) -> Path:
    path = folder / "samples.txt"
    with path.open("w") as file:
        file.write(f"# TYPE {names.METRIC_FEATURES.removesuffix('_total')} counter\n")
        for each in windows:
            file.writelines(f"{line}\n" for line in each.lines(BEGIN))
        file.write("# EOF\n")
    return path


async def counted(folder: Path, windows: list[Window]) -> dict[str, Array]:
    """Counts (chunks, bins) by deployment, as a monitor reads them."""
    blocks = folder / "blocks"
    fill(blocks, written(folder, windows))
    layout, step = Layout.of((KNOWN,)), round(STEP * 1000)
    span = Span(step, round(BEGIN * 1000), round(BEGIN * 1000) + CHUNKS * step)
    starts = range(span.first, span.end, step)
    found = {}
    async with prometheus(blocks) as url, Prometheus(url, timeout=60) as client:
        for at in range(0, len(windows), 25):
            subjects = [(each.name, "v1") for each in windows[at : at + 25]]
            answers = await ask(client, subjects, span, (Family.FEATURES,))
            for subject in subjects:
                chunks = read_chunks(layout, starts, step, answers.get(subject, ()))
                found[subject[0]] = np.stack([chunks[start].counts for start in starts])
    return found


def drifts(counts: Array) -> bool | None:
    [test] = examine([(KNOWN, counts)])
    return None if test is None else judge_features([test], alpha=0.01, tolerance=0.02)[0].drifting


def agreement(windows: list[Window], found: dict[str, Array], truth: Callable[[Window], Array]) -> float:
    return float(np.mean([drifts(found[each.name]) == drifts(truth(each)) for each in windows]))


@pytest.mark.timeout(600)
async def test_pods_that_are_read_before_they_end_are_counted_to_the_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    windows = [window(f"calm/w{at}", rng, rough=False) for at in range(WINDOWS)]
    found = await counted(tmp_path, windows)
    for each in windows:
        assert found[each.name].tolist() == each.by_scrape().tolist(), each.name
    assert agreement(windows, found, Window.by_scrape) == 1.0
    assert agreement(windows, found, Window.by_time) >= 0.99
    assert 0.2 < np.mean([bool(drifts(each)) for each in found.values()]) < 0.8, "both verdicts occur"


@pytest.mark.timeout(600)
async def test_restarts_and_missing_scrapes_lose_no_more_than_a_scrape_holds(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    windows = [window(f"rough/w{at}", rng, rough=True) for at in range(WINDOWS)]
    found = await counted(tmp_path, windows)
    for each in windows:
        assert abs(found[each.name].sum() - each.by_time().sum()) <= each.at_edges() + 1e-6, each.name
    assert agreement(windows, found, Window.by_time) >= 0.99
