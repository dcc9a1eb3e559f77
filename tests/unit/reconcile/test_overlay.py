"""The pod overlay that a ModelDeployment asks for: judged before anything is made with it, and never in the way."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from perennial.adapters.kubernetes import ApiError, KubernetesApi
from perennial.reconcile.overlay import Overlays
from tests.unit.render.support import an_owner

GOOD = "spec: {nodeSelector: {disk: ssd}}"
OWNER = an_owner({"podOverlay": {"configMap": "mine"}})


class Api:
    """A ConfigMap, and what the API server says to a dry run (None: that it may be)."""

    def __init__(self, text: str, says: ApiError | None = None) -> None:
        self.text, self.says = text, says
        self.tried = 0

    async def get(self, *_of: str) -> Any:
        return {"data": {"pod.yaml": self.text}}

    async def try_create(self, _manifest: Any) -> None:
        self.tried += 1
        if self.says:
            raise self.says


async def judged(overlays: Overlays, api: Api) -> Any:
    overlay = await overlays.of(cast("KubernetesApi", api), OWNER, "serving:1")
    problem = overlay.problem or SimpleNamespace(reason="", message="")
    return SimpleNamespace(patch=overlay.patch, reason=problem.reason, message=problem.message)


@pytest.mark.parametrize(
    "text", ["[" * 3000, "spec: !!int foo", "spec: 0b_", "spec: !!bool maybe", "a: !!timestamp 'x'"]
)
async def test_text_that_is_no_patch_is_a_problem_that_names_its_place(text: str) -> None:
    found = await judged(Overlays(), Api(text))
    assert found.reason == "OverlayInvalid"
    assert found.message.startswith("ConfigMap mine, entry pod.yaml: ")


@pytest.mark.parametrize("status", [0, 404, 409, 429, 500, 503])
async def test_a_dry_run_without_an_answer_is_a_problem_until_the_next_look(status: int) -> None:
    overlays, api = Overlays(), Api(GOOD, ApiError(status, "Why", "read tcp 10.0.0.1:4321: reset"))
    found = await judged(overlays, api)
    assert (found.reason, found.patch) == ("OverlayUnchecked", "")
    assert found.message.startswith("ConfigMap mine, entry pod.yaml: the API server could not check it (Why")

    api.says = ApiError(status, "Why", "read tcp 10.0.0.1:4322: reset")
    assert (await judged(overlays, api)).message == found.message, "the status would be written at each look"

    api.says = None
    assert (await judged(overlays, api)).reason == ""
    assert api.tried == 3


@pytest.mark.parametrize(("status", "looks"), [(400, 1), (422, 1), (403, 2)])
async def test_a_refusal_is_told_in_the_api_servers_words_and_lasts_but_for_a_quotas(status: int, looks: int) -> None:
    overlays, api = Overlays(), Api(GOOD, ApiError(status, "Invalid", "spec.x: no such thing"))
    for _ in range(2):
        found = await judged(overlays, api)
        assert (found.reason, found.message) == (
            "OverlayRefused", "ConfigMap mine, entry pod.yaml: spec.x: no such thing",
        )  # fmt: skip
    assert api.tried == looks


@pytest.mark.parametrize("value", ["[]", "overlay", "overlay-2"])
@pytest.mark.parametrize("name", ["PERENNIAL_ARTIFACTS", "PERENNIAL_VERSION", "PERENNIAL_REVISION"])
async def test_no_value_can_be_guessed_that_another_revision_would_not_have(name: str, value: str) -> None:
    text = f"spec: {{containers: [{{name: predictor, env: [{{name: {name}, value: '{value}'}}]}}]}}"
    found = await judged(Overlays(), Api(text))
    assert found.message.endswith(f"spec.containers[predictor].env[{name}] cannot be changed")
