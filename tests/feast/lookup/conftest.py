"""A repository that is applied once."""

import pytest

from tests.feast.lookup import shop
from tests.feast.lookup.asking import Shop


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The shop's repository; nobody changes it."""
    folder = tmp_path_factory.mktemp("shop")
    return Shop(folder, shop.apply(folder))
