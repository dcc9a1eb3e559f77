"""Having the operator ask Kubeflow: what others asked is not pushed aside."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from perennial.adapters.kubernetes import ApiError, Change
from perennial.cli.check import checked
from perennial.cli.cluster import Cluster
from perennial.contracts.names import ANNOTATION_REQUEST

Json = dict[str, Any]


def raw(asked: str = "", handled: str = "", name: str = "heart", **metadata: Any) -> Json:
    return {
        "metadata": {"name": name, "annotations": {ANNOTATION_REQUEST: asked} if asked else {}, **metadata},
        "spec": {"model": name}, "status": {"handledRequest": handled},
    }  # fmt: skip


class Api:
    """Of the API server what a check needs. ``answers``: the operator is there."""

    def __init__(self, *, answers: bool = True, refuses: int = 0) -> None:
        self.answers, self.refuses, self.asked = answers, refuses, {}  # type: ignore[var-annotated]

    async def whoami(self) -> str:
        return "ada"

    async def annotate(self, _version: str, _kind: str, _namespace: str, name: str, annotations: Json) -> None:
        if self.refuses:
            raise ApiError(self.refuses, "Forbidden", "may not")
        self.asked[name] = annotations[ANNOTATION_REQUEST]

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[Change]:
        for name, asked in self.asked.items():
            yield Change("Applied", raw(asked, name=name))
            if self.answers:
                yield Change("Applied", raw(asked, asked.split("/")[2], name=name))
        await asyncio.Event().wait()


async def check(api: Api, *raws: Json, patience: float = 5.0) -> tuple[dict[str, Json], dict[str, str]]:
    return await checked(Cluster(api, "cardio", asyncio.Event()), list(raws), patience)  # type: ignore[arg-type]


async def test_all_are_asked_at_once_and_come_back_answered() -> None:
    api = Api()
    answered, unasked = await check(api, raw(name="heart"), raw("train/liver/t1/ada", "t1", name="liver"))
    assert (set(answered), unasked) == ({"heart", "liver"}, {})
    assert api.asked["liver"].startswith("check/liver/")
    assert api.asked["liver"].endswith("/ada")


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (raw("train/heart/t2/ada", "t1"), "a request to train waits"),
        (raw(deletionTimestamp="2026-11-25T12:00:00Z"), "being deleted"),
    ],
)
async def test_some_are_left_alone(there: Json, words: str) -> None:
    api = Api()
    answered, unasked = await check(api, there)
    assert (answered, api.asked) == ({}, {})
    assert words in unasked["heart"]


async def test_a_check_that_nobody_heard_is_asked_again() -> None:
    assert "heart" in (await check(Api(), raw("check/heart/c0", "t1")))[0]


async def test_without_an_operator_or_the_right_it_is_said() -> None:
    assert "no operator answered" in (await check(Api(answers=False), raw(), patience=0.05))[1]["heart"]
    assert (await check(Api(refuses=403), raw()))[1] == {"heart": "you may not ask for it"}
