"""What kind of change it is, and that only what the stable version of one's own deployment counted tells of it."""

import random
from collections.abc import Sequence

from hack.demo.patients import Patient
from tests.drift.node.scene import LABELS, condition, ended, kinds, known, moment, others, scene
from tests.drift.node.stream import Draw, anyone, mistaken, truth
from tests.rollouts.ward import Ward


async def prior_shift_and_concept_drift_are_told_apart(ward: Ward) -> None:
    """First many more are sick, and are recognised as before; then as many as ever, and labels say otherwise."""
    columns = list(known(ward)[0].features)
    async with scene(ward) as here:
        await here.play.serving()
        # Sick patients look different too: only who looks at nothing but labels sees that it is their number alone.
        await here.monitor("labels", performance=LABELS, inputs={"exclude": columns, "joint": False})
        await here.monitor("all", performance=LABELS)
        stream = await here.stream(_mostly_sick(known(ward)), truth)
        async with stream.flowing():
            prior = await here.until("labels", lambda status: status.get("cause") == "PriorShift")
            assert prior["worst"] == "__label__"
            assert "each is recognised as before (prior shift)" in condition(prior)["message"]
            inputs = await here.until("all", lambda status: status.get("cause"))
            assert inputs["cause"] == "InputDrift"
            stream.draw, stream.label = anyone(known(ward)), mistaken(0.35)
            concept = await here.until("all", lambda status: status.get("cause") == "ConceptDrift")
            assert concept["verdict"] == "PerformanceLoss"
            assert "inputs are as before: what they mean has changed (concept drift)" in condition(concept)["message"]
        assert kinds(concept) == [], "Alert asks for nothing"


def _mostly_sick(patients: Sequence[Patient]) -> Draw:
    """Nine in ten."""
    sick = [each for each in patients if each.sick == "1"]
    well = [each for each in patients if each.sick == "0"]

    def draw(dice: random.Random) -> Patient:
        return dice.choice(sick if dice.random() < 0.9 else well)

    return draw


async def a_shadow_and_a_neighbour_of_the_same_name_move_no_verdict(ward: Ward) -> None:
    """Other hospitals' patients come to a shadow, and to another tenant's deployment of the same name."""
    next_door = Ward(ward.stage.neighbour, ward.everybody, ward.folder, ward.record, ward.models)  # type: ignore[attr-defined]
    shadowed = {"rollout": {"strategy": "Shadow", "shadow": {"share": 100, "pause": {}}}}
    async with scene(ward, shadowed, name="same") as here, scene(next_door, name="same") as there:
        for each in (here, there):
            await each.play.serving()
            await each.monitor("watch", policy={"onInputDrift": "Alert"})
        stream, elsewhere = await here.stream(anyone(known(ward))), await there.stream(anyone(others(ward)))
        async with stream.flowing(), elsewhere.flowing():
            second = await here.play.version()
            await here.play.step(second)
            shadow = await here.stream(anyone(others(ward)), preview=True)
            async with shadow.flowing():
                since = moment()
                drifting = await there.verdict("watch", "Drifting")
                calm = await here.verdict("watch", "Healthy", after=since)
            assert drifting["version"] == calm["version"] == "same-v1"
            assert here.verdicts("watch") <= {"InsufficientData", "Healthy"}
            assert there.verdicts("watch") <= {"InsufficientData", "Drifting"}
            assert shadow.rows(second) > 1000, "the shadow has counted other hospitals' patients"
            end = ended(calm)
            assert abs(calm["observations"] - stream.rows("same-v1", end - 60, end)) < 100
