"""A Regression's errors as a real Prometheus holds them, beside a version that predicts classes: one query for both."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from perennial.adapters.prometheus import Prometheus
from perennial.api.drift import Performance
from perennial.contracts import names
from perennial.contracts.baseline import VALUE
from perennial.domain.drift.performance import Held, judge_estimate, judge_labels
from perennial.domain.drift.window import Chunk, Layout, read_chunks
from perennial.reconcile.counters import Span, ask
from tests.drift.prometheus import fill, prometheus
from tests.drift.world import CHUNKS, INTERVAL, SCRAPES, STEP, Array

BEGIN = 1_700_006_400.0
SUBJECTS = [("ward/diabetes", "v1"), ("ward/heart", "v1")]
_OF = 'deployment="{}",version="v1",pod="{}"'


def rows(seed: int) -> Array:
    """Errors (scrapes, 5) of what a pod predicts between scrapes, beginning a chunk before the window."""
    return np.random.default_rng(seed).normal(size=((CHUNKS + 1) * SCRAPES, 5)) * 40


def counters(pod: str, errors: Array) -> Iterator[tuple[str, str, Array]]:
    """(Metric, labels, increments by scrape): half of the rows get a label; half as much error was expected."""
    of, shown = _OF.format("ward/diabetes", pod), errors[:, ::2]
    yield names.METRIC_PREDICTED, f'{of},predicted="{VALUE}"', np.full(len(errors), 5.0)
    yield names.METRIC_FEEDBACK, f'{of},predicted="{VALUE}",actual="{VALUE}"', np.full(len(errors), 3.0)
    for kind, every, labelled in (
        (names.ABSOLUTE, np.abs(errors), np.abs(shown)), (names.SQUARED, errors**2, shown**2)
    ):  # fmt: skip
        yield names.METRIC_EXPECTED_LOSS, f'{of},loss="{kind}"', every.sum(axis=1) / 2
        yield names.METRIC_FEEDBACK_ERROR, f'{of},error="{kind}"', labelled.sum(axis=1)


def classes() -> Iterator[tuple[str, str, Array]]:
    of, one = _OF.format("ward/heart", "a"), np.ones((CHUNKS + 1) * SCRAPES)
    yield names.METRIC_PREDICTED, f'{of},predicted="1"', one
    yield names.METRIC_FEEDBACK, f'{of},predicted="1",actual="0"', one


def written(path: Path, pods: dict[str, Array]) -> Path:
    made = [each for pod, errors in pods.items() for each in counters(pod, errors)] + list(classes())
    with path.open("w") as file:
        for metric in dict.fromkeys(name for name, _, _ in made):
            file.write(f"# TYPE {metric.removesuffix('_total')} counter\n")
            for _, labels, added in (each for each in made if each[0] == metric):
                # The first scrape shows 0, whatever was counted before it.
                shown = np.concatenate([[0.0], added.cumsum()[1:]])
                for at, value in enumerate(shown):
                    file.write(f"{metric}{{{labels}}} {float(value)!r} {BEGIN - STEP + (at + 1) * INTERVAL:.3f}\n")
        file.write("# EOF\n")
    return path


@pytest.mark.timeout(600)
async def test_two_pods_errors_are_added_up_to_the_last_digit(tmp_path: Path) -> None:
    pods = {"a": rows(1), "b": rows(2)}
    blocks, step = tmp_path / "blocks", round(STEP * 1000)
    fill(blocks, written(tmp_path / "samples.txt", pods))
    span = Span(step, round(BEGIN * 1000), round(BEGIN * 1000) + CHUNKS * step)
    starts = range(span.first, span.end, step)
    async with prometheus(blocks) as url, Prometheus(url, timeout=60) as client:
        answers = await ask(client, SUBJECTS, span)
    numbers, others = (
        list(read_chunks(Layout.of(()), starts, step, answers[each]).values()) for each in SUBJECTS
    )  # fmt: skip
    whole = np.concatenate([each.reshape(CHUNKS + 1, SCRAPES, 5) for each in pods.values()], axis=1)[1:]
    assert_counted(numbers, whole)
    assert [(each.errors, each.expected, each.labels) for each in others] == [({}, {}, SCRAPES)] * CHUNKS
    for metric, total in (("mae", np.abs(whole).mean()), ("rmse", np.sqrt((whole**2).mean()))):
        held = Held(float(total) / 1.5, (), "", task="Regression")
        found = judge_labels(numbers, held, Performance(metric=metric))
        assert found.value == pytest.approx(total, rel=0.1)
        assert found.loss
        guess = judge_estimate(numbers, held, Performance(metric=metric, source="Estimated"))
        assert guess.value == pytest.approx(total * {"mae": 0.5, "rmse": 0.5**0.5}[metric], rel=1e-5)


def assert_counted(found: list[Chunk], errors: Array) -> None:
    """``errors`` (chunks, scrapes of both pods, 5)."""
    every, labelled = errors.reshape(CHUNKS, -1), errors[..., ::2].reshape(CHUNKS, -1)
    for at, each in enumerate(found):
        assert (each.predictions, each.labels) == (every.shape[1], labelled.shape[1])
        assert each.errors == pytest.approx(
            {names.ABSOLUTE: np.abs(labelled[at]).sum(), names.SQUARED: (labelled[at] ** 2).sum()}
        )
        assert each.expected == pytest.approx(
            {names.ABSOLUTE: np.abs(every[at]).sum() / 2, names.SQUARED: (every[at] ** 2).sum() / 2}
        )
