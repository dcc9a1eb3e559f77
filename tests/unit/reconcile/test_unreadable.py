"""An object that the definition lets in and that is none to us says so, instead of failing each look without a word."""

import copy
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from perennial.api.common import Object
from perennial.api.deployment import ModelDeployment
from perennial.api.training import ModelTraining
from perennial.domain.plan import Plan
from perennial.domain.unreadable import plan_for
from perennial.reconcile.loop import Reconciler
from perennial.reconcile.registry import readable
from perennial.telemetry import Metrics
from tests.unit.training.support import NOW, spec

Json = dict[str, Any]
WRONG = spec(candidates=[{"algorithm": "Ridge", "parameters": {"alpha": [], "tol": {}}}], tuning={"trials": 0})
RAW: Json = {
    "apiVersion": "perennial.dev/v1alpha1", "kind": "ModelTraining",
    "metadata": {"name": "heart", "namespace": "cardio", "uid": "u", "generation": 3, "resourceVersion": "1"},
}  # fmt: skip


class Api:
    """One object, and what is written of it."""

    def __init__(self, spec: Json, **status: Any) -> None:
        self.raw = {**RAW, "spec": spec, "status": status}
        self.events: list[str] = []

    async def get(self, *_place: str) -> Json:
        return copy.deepcopy(self.raw)

    async def put_status(self, raw: Json, status: Json) -> Json:
        self.raw = {**raw, "status": status, "metadata": {**raw["metadata"], "resourceVersion": "2"}}
        return self.raw

    async def event(self, _raw: Json, event: Any, _now: Any) -> None:
        self.events.append(event.message)


class Parses:
    """A controller that reads its object, and then ``others``."""

    kind = ModelTraining

    def __init__(self, *others: tuple[type[Object], Json]) -> None:
        self.others = others

    async def gather(self, _context: Any, raw: Json, _now: Any) -> ModelTraining:
        for kind, other in self.others:
            kind.parse(other)
        return ModelTraining.parse(raw)

    def decide(self, _snapshot: Any, _now: Any) -> Plan:
        return Plan()


async def looked_at(api: Api, controller: Parses | None = None) -> Json:
    """The condition Ready after one look."""
    context: Any = SimpleNamespace(api=api)
    made = {"ModelTraining": controller or Parses()}
    await Reconciler(context, cast("Any", made), cast("Any", api), Metrics(), lambda: NOW).reconcile(
        ("ModelTraining", "cardio", "heart")
    )
    return cast("Json", next(iter(api.raw["status"].get("conditions", ())), {}))


async def test_each_field_that_cannot_be_read_is_named() -> None:
    api = Api(WRONG, runCounter=4, phase="Succeeded")
    ready = await looked_at(api)
    assert (ready["status"], ready["reason"], ready["observedGeneration"]) == ("False", "SpecInvalid", 3)
    assert ready["message"] == (
        "spec.candidates[0].parameters.alpha: must be a number, text or truth; "
        "spec.candidates[0].parameters.tol: must be a number, text or truth; "
        "spec.tuning.trials: Input should be greater than or equal to 1"
    )
    assert (api.raw["status"]["runCounter"], api.raw["status"]["observedGeneration"]) == (4, 3)
    before = copy.deepcopy(api.raw)
    await looked_at(api)
    assert (api.raw, len(api.events)) == (before, 1)


async def test_a_status_that_cannot_be_read_either_is_begun_anew() -> None:
    assert (await looked_at(Api(WRONG, runCounter="four")))["reason"] == "SpecInvalid"


async def test_what_can_be_read_is_left_alone_and_another_objects_fault_is_not_its_own() -> None:
    api = Api(spec())
    assert plan_for(ModelTraining, api.raw, NOW) is None
    assert await looked_at(api) == {}
    wrong = (ModelDeployment, {"metadata": {"name": "x"}, "spec": {}})
    with pytest.raises(ValidationError):
        await looked_at(api, Parses(wrong))
    assert api.raw["status"] == {}


def test_what_cannot_be_read_is_passed_over_where_others_are_looked_for() -> None:
    good = {**RAW, "spec": spec()}
    assert readable(ModelTraining, [{**RAW, "spec": WRONG}, good]) == [ModelTraining.parse(good)]
