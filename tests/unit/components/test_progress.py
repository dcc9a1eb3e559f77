"""How far a run is, told as it goes on; a store that fails or hangs costs a run next to nothing."""

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from perennial.contracts import objects
from perennial.contracts.progress import Progress
from perennial_components import progress
from perennial_components.failure import reported


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(progress, "_Writing", type("_Writing", (), {"last": -progress.EVERY, "given_up": False}))
    yield
    progress.end()


def told(folder: Path) -> Progress:
    return msgspec.json.decode((folder / "out" / "progress.json").read_bytes(), type=Progress)


def test_each_component_is_told_as_it_starts(tmp_path: Path) -> None:
    progress.begin(f"file://{tmp_path}/out/", 8, tmp_path)
    for place, name in enumerate(("ingest", "check"), start=1):
        with reported(name):
            found = told(tmp_path)
            assert (found.component, found.index, found.components) == (name, place, 8)
            assert (found.trial, found.best) == (0, None)


def test_a_search_is_told_no_more_often_than_every_five_seconds(tmp_path: Path) -> None:
    progress.begin(f"file://{tmp_path}/out", 8, tmp_path)
    progress.starts("tune")
    started = progress._Writing.last
    progress.searching(1, 20, "roc_auc", None, clock=lambda: started + 4.9)
    assert told(tmp_path).trial == 0
    progress.searching(7, 20, "roc_auc", 0.9, clock=lambda: started + 5)
    found = told(tmp_path)
    assert (found.component, found.trial, found.trials, found.metric, found.best) == ("tune", 7, 20, "roc_auc", 0.9)


def test_outside_of_the_runner_nothing_is_told(tmp_path: Path) -> None:
    progress.starts("ingest")
    progress.searching(1, 2, "roc_auc", None)
    assert not list(tmp_path.iterdir())


def test_a_store_that_fails_is_tried_once_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = []

    def refuse(uri: str, *_: object) -> None:
        tried.append(uri)
        raise OSError("no")

    monkeypatch.setattr(objects, "write", refuse)
    progress.begin(f"file://{tmp_path}/out", 8, tmp_path)
    progress.starts("ingest")
    progress.starts("check")
    assert len(tried) == 1
    assert capsys.readouterr().err == "it is not told how far the run is: OSError\n"


def test_a_store_that_hangs_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    release = threading.Event()
    monkeypatch.setattr(objects, "write", lambda *_: release.wait(60))
    monkeypatch.setattr(progress, "_PATIENCE", 0.01)
    progress.begin(f"file://{tmp_path}/out", 8, tmp_path)
    progress.starts("ingest")
    progress.starts("check")
    release.set()
    assert capsys.readouterr().err == "it is not told how far the run is: the store takes its time\n"
