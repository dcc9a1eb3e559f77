"""One rollout of each kind on the node, beside the story; the whole matrix is `make test-rollouts`."""

import pytest

from tests.rollouts import test_matrix as matrix
from tests.rollouts.fixtures import ward as ward  # noqa: PLC0414 - a fixture is found by its name here
from tests.rollouts.ward import Ward

pytestmark = [
    pytest.mark.xdist_group("strategies"), pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="session"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("strategy", "provider"),
    [("Canary", "Gateway"), ("BlueGreen", "Replicas"), ("Shadow", "Gateway"), ("Recreate", "Replicas")],
)
async def test_a_new_version_takes_over(ward: Ward, strategy: str, provider: str) -> None:
    await matrix.test_promoted(ward, strategy, provider)


async def test_a_bad_version_is_taken_back(ward: Ward, record_property: matrix.Measured) -> None:
    await matrix.test_failed_by_a_bad_measurement(ward, "Canary", "Gateway", record_property)


async def test_a_person_pauses_and_promotes(ward: Ward) -> None:
    await matrix.test_paused_then_promoted(ward, "Canary", "Replicas")
