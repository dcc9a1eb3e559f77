"""A recorded winner, fitted again: the same data first, the same file at the end."""

from collections.abc import Mapping

from perennial.contracts.names import model_file
from perennial.contracts.request import Artifact, RunRequest
from perennial.contracts.result import Reproduction
from perennial_components.failure import RunError


def require_same_data(request: RunRequest, sha256: str) -> None:
    """Raises RunError (DataRejected) where a replay meets other data than the version was trained on."""
    replay = request.replay
    if replay and replay.data_sha256 != sha256:
        raise RunError(
            "DataRejected",
            f"the data has changed since {replay.version} was trained: their SHA-256 was {replay.data_sha256}"
            f" and is {sha256}; nothing was fitted",
        )


def reproduction(request: RunRequest, artifacts: Mapping[str, Artifact]) -> Reproduction | None:
    """Whether the model among a replay's ``artifacts`` is the recorded one; None where it is no replay."""
    replay = request.replay
    if replay is None:
        return None
    found = artifacts[model_file(artifacts)].sha256
    return Reproduction(replay.version, replay.model_sha256, found, found == replay.model_sha256)


def words(found: Reproduction) -> str:
    """The outcome in a sentence."""
    if found.identical:
        return f"{found.version} is reproduced: its model has the same SHA-256, {found.found}"
    was, now = found.expected, found.found
    return f"{found.version} is not reproduced: its model's SHA-256 is {was}, fitted again it is {now}"
