"""The tables in docs/drift-policy.md, read from there: to each row the policy answers what the row says."""

import re
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from perennial.domain.drift.policy import Reaction, Sibling
from tests.unit.drift.policy_support import HOUR, SITUATION, measured, moved, reaction
from tests.unit.drift.support import NOW, action

PAGE = (Path(__file__).parents[3] / "docs" / "drift-policy.md").read_text()
CALLS = {"Rollback": "PerformanceLoss", "Retrain": "Drifting"}
"""The verdict that calls for it."""


def table(heading: str) -> dict[int, list[str]]:
    """The numbered table's rows under ``heading``, by number, without the number."""
    part = PAGE.split(f"{heading}\n", 1)[1].split("\n#", 1)[0]
    found = re.findall(r"^\| (\d+) \|(.*)\|$", part, flags=re.MULTILINE)
    return {int(number): [cell.strip() for cell in cells.split("|")] for number, cells in found}


def outcome(found: Reaction, kind: str) -> str:
    """In the table's words."""
    if any(each.kind == kind for each in found.actions):
        return "asks"
    if any(each.kind == kind for each in found.observed):
        return "is noted"
    if found.human:
        return f"`HumanNeeded`, {found.human[0]}"
    return "waits" if found.waiting else "\u2013"


def situation(**more: Any) -> dict[str, Any]:
    return {"situation": replace(SITUATION, **more)}


def retrained(version: str, ago: float) -> Any:
    return action("Retrain", version, ago=ago).model_copy(update={"verdict": "Drifting"})


LONG_AGO = 3 * 86400
CIRCUMSTANCES: dict[int, list[dict[str, Any]]] = {
    1: [{"verdict": each} for each in ("Healthy", "InsufficientData", "NoTraffic", "NoMetrics")]
    + [{"onPerformanceLoss": "Alert", "onInputDrift": "Alert"}],
    2: [{"consecutive": 1}],
    3: [situation(rolling_out=True)],
    4: [situation(stable_since=NOW - HOUR + timedelta(seconds=1))],
    5: [
        {"actions": [action("Rollback", ago=LONG_AGO)], **situation(stable_since=None)},
        situation(siblings=(Sibling("labels", None, (action("Rollback", ago=7 * 3600),)),)),
    ],
    6: [situation(retraining="run 2 is under way")],
    7: [{"actions": [retrained("heart-v1", LONG_AGO)], **situation(made="heart-v2", rejected=True)}],
    8: [{"actions": [retrained("heart-v0", LONG_AGO)], **situation(made="heart-v1")}],
    9: [
        {"actions": [action("Rollback", "heart-v0", ago=60)]},
        situation(siblings=(Sibling("labels", None, (action("Rollback", "heart-v0", ago=60),)),)),
    ],
    10: [
        {"actions": [action("Retrain", "heart-v0", ago=60)]},
        situation(siblings=(Sibling("labels", None, (action("Retrain", "heart-v0", ago=60),)),)),
    ],
    11: [{"actions": [action("Retrain", "heart-v0", ago=86400 * each) for each in (1, 2, 3)]}],
    12: [{"mode": "Observe"}, {"maintenance": [{"days": ["Mon"], "start": "11:00", "length": "2h"}]}],
    13: [{}],
}
ACTION = table("## The action")
ROWS = [
    pytest.param(kind, circumstance, said, id=f"{number} {kind} {place}")
    for number, cells in ACTION.items()
    for kind, said in zip(("Rollback", "Retrain"), cells[1:], strict=True)
    for place, circumstance in enumerate(CIRCUMSTANCES[number])
    if said
]


@pytest.mark.parametrize(("kind", "circumstance", "said"), ROWS)
def test_each_row_of_the_table_is_so(kind: str, circumstance: dict[str, Any], said: str) -> None:
    found = reaction(**{"verdict": CALLS[kind], **circumstance})
    assert outcome(found, kind) == said


def test_the_table_has_no_row_without_a_circumstance() -> None:
    assert list(ACTION) == list(CIRCUMSTANCES) == list(range(1, 14))


# --- Auto ---------------------------------------------------------------------------------------------------------

AGES = {"is fresh": NOW - 3 * HOUR, "is old": NOW - timedelta(days=1), "nobody knows when": None}
BEFORE = {"worse": measured(0.85), "no worse": measured(0.72), "nobody knows": None}
"""Predecessors of a version whose accuracy is 0.7."""
INPUTS = {"drift": [moved()], "as before": []}
AUTO = table("### Auto: rollback or retrain")


@pytest.mark.parametrize(("age", "before", "inputs"), list(product(AGES, BEFORE, INPUTS)))
def test_auto_does_what_the_first_row_that_applies_says(age: str, before: str, inputs: str) -> None:
    [number, said] = next(
        (number, calls)
        for number, (version, than, drift, calls) in AUTO.items()
        if number > 1 and age in version and than in {"", before} and drift in {"", inputs}
    )
    found = reaction(
        "PerformanceLoss", situation=replace(SITUATION, stable_since=AGES[age], predecessor=BEFORE[before]),
        features=INPUTS[inputs], known={"performance": measured(0.7)}, onPerformanceLoss="Auto", onInputDrift="Alert",
    )  # fmt: skip
    assert [each.kind for each in found.actions] == [said], f"row {number}"


def test_auto_retrains_what_a_window_later_has_not_been_rolled_back() -> None:
    *_, said = AUTO[1]
    fresh = replace(SITUATION, stable_since=AGES["is fresh"], predecessor=BEFORE["worse"])
    wanted = {"onPerformanceLoss": "Auto", "cooldown": "0s"}

    def asked(ago: float, **more: Any) -> list[str]:
        found = reaction(
            "PerformanceLoss", situation=fresh, actions=[action("Rollback", ago=ago)],
            known={"performance": measured(0.7)}, **{**wanted, **more},
        )  # fmt: skip
        return [each.kind for each in found.actions]

    assert asked(3599) == [], "the deployment has a window to do it in"
    assert asked(3600) == [said] == ["Retrain"]
    assert asked(3600, cooldown="2h") == [], "the cooldown holds all the same"
    assert asked(4 * 3600) == ["Rollback"], "that was before it was promoted again"


def test_auto_does_neither_while_a_rollout_is_under_way() -> None:
    for since in AGES.values():
        rolling = replace(SITUATION, stable_since=since, rolling_out=True)
        assert reaction("PerformanceLoss", situation=rolling, onPerformanceLoss="Auto").actions == ()
