"""One predictor for the tests that only ask it something, and its model for those that need no process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from perennial_serving.counters import Counters
from perennial_serving.model import Model, load
from tests.unit.serving.support import DEPLOYMENT, FILES, FIXTURE, VERSION, Server, serving

KEY = b"the key that signs in these tests"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "current").write_bytes(KEY)
    with serving(folder, PERENNIAL_FEEDBACK_KEYS=str(folder), PERENNIAL_MAX_BODY_BYTES="200000") as started:
        yield started


@pytest.fixture(scope="session")
def model() -> Model:
    return load({name: (FIXTURE / name).read_bytes() for name in FILES})


@pytest.fixture
def counters(model: Model) -> Counters:
    return Counters(model, DEPLOYMENT, VERSION)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "current").write_bytes(KEY)
    return folder
