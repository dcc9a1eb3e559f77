"""A predictor in its own environment, asked by clients that others wrote."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.serving.support import Server, free_port, serving

PYTHON = Path(__file__).parents[2] / ".venvs" / "serving" / "bin" / "python"
KEY = b"the key that signs in these tests"


def _without_its_server(name: str) -> None:
    """Makes the parts of the package ``name`` importable without all that its server needs."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package = ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = package


for _name in ("kserve", "mlserver"):
    _without_its_server(_name)


@pytest.fixture(scope="session")
def grpc_address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, grpc_address: str) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "current").write_bytes(KEY)
    port = grpc_address.partition(":")[2]
    with serving(folder, python=PYTHON, PERENNIAL_FEEDBACK_KEYS=str(folder), PERENNIAL_GRPC_PORT=port) as started:
        yield started
