"""What holds of a policy whatever happens: two monitors live through arbitrary months on one deployment."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.api.common import seconds
from perennial.api.drift import MonitorSpec
from perennial.api.verdict import Action, MonitorStatus
from perennial.domain.drift.maintenance import maintained_until
from perennial.domain.drift.policy import Reaction, Sibling, react, with_actions
from tests.unit.drift.policy_support import HOUR, SITUATION, breached, moved, signals, spec
from tests.unit.drift.support import NOW

VERDICTS = ["Healthy", "Drifting", "PerformanceLoss", "InsufficientData", "NoTraffic", "NoMetrics"]


@dataclass(frozen=True)
class Hour:
    """What a window shows, and how the deployment stands."""

    verdict: str
    length: int
    drifts: bool
    breached: int
    rolling_out: bool
    promoted: bool
    retraining: bool
    rejected: bool


HOURS = st.lists(
    st.builds(
        Hour, verdict=st.sampled_from(VERDICTS), length=st.integers(1, 30), drifts=st.booleans(),
        breached=st.integers(0, 3), rolling_out=st.booleans(), promoted=st.booleans(), retraining=st.booleans(),
        rejected=st.booleans(),
    ),
    min_size=1, max_size=40,
)  # fmt: skip
SPECS = st.builds(
    spec,
    onInputDrift=st.sampled_from(["Retrain", "Alert"]),
    onPerformanceLoss=st.sampled_from(["Rollback", "Retrain", "RollbackAndRetrain", "Auto", "Alert"]),
    consecutive=st.integers(1, 3),
    cooldown=st.sampled_from(["0s", "6h", "48h"]),
    retrainBudget=st.builds(dict, max=st.integers(0, 4), days=st.integers(1, 14)),
    mode=st.sampled_from(["Act", "Act", "Observe"]),
    signals=st.sampled_from([[], signals("Retrain"), signals("Rollback"), signals("Alert")]),
    maintenance=st.sampled_from([[], [{"days": ["Sat"], "start": "22:00", "length": "30h"}]]),
)


@dataclass
class Watcher:
    """One of the monitors."""

    name: str
    spec: MonitorSpec
    status: MonitorStatus = field(default_factory=MonitorStatus)

    def look(self, hour: Hour, now: datetime, situation: Any, other: "Watcher") -> Reaction:
        before = self.status
        same = before.verdict == hour.verdict
        self.status = before.model_copy(
            update={
                "verdict": hour.verdict, "window_end": now, "version": situation.version,
                "consecutive": before.consecutive + 1 if same else 1, "since": before.since if same else now,
                "features": [moved()] if hour.drifts else [], "signals": [breached(hour.breached)],
            }
        )  # fmt: skip
        sibling = Sibling(other.name, other.status.verdict, tuple(other.status.actions))
        found = react(self.spec, self.status, replace(situation, siblings=(sibling,)), "why", now)
        self.status = with_actions(self.status, found)
        return found


Seen = tuple[Watcher, Hour, datetime, Reaction]


def lived(specs: tuple[MonitorSpec, MonitorSpec], hours: list[Hour]) -> Iterator[Seen]:
    one, other = Watcher("one", specs[0]), Watcher("other", specs[1])
    now, number, promoted = NOW, 1, NOW - 48 * HOUR
    for hour in hours:
        now += timedelta(hours=hour.length)
        if hour.promoted:
            number, promoted = number + 1, now
        situation = replace(
            SITUATION, version=f"heart-v{number}", stable_since=promoted, rolling_out=hour.rolling_out,
            retraining="a run is under way" if hour.retraining else "", rejected=hour.rejected,
        )  # fmt: skip
        for each, beside in ((one, other), (other, one)):
            yield each, hour, now, each.look(hour, now, situation, beside)


def asked(seen: list[Seen], kind: str) -> list[tuple[Watcher, Action]]:
    return [(watcher, each) for watcher, _, _, found in seen for each in found.actions if each.kind == kind]


@given(st.tuples(SPECS, SPECS), HOURS)
@settings(max_examples=150, deadline=None)
def test_what_holds_whatever_happens(specs: tuple[MonitorSpec, MonitorSpec], hours: list[Hour]) -> None:
    seen = list(lived(specs, hours))
    for watcher, hour, now, found in seen:
        done = [*found.actions, *found.observed]
        assert not (done and hour.rolling_out), "an action while a rollout is under way"
        assert not (found.actions and watcher.spec.mode == "Observe"), "a dry run acts"
        assert not (found.actions and maintained_until(watcher.spec.policy.maintenance, now)), "maintenance"
        assert not (found.human and any(each.kind == "Retrain" for each in done)), "a person is asked, and it goes on"
        assert len({each.kind for each in done}) == len(done), "twice the same at once"
    for kind in ("Retrain", "Rollback"):
        cooled(asked(seen, kind))
    budgeted(asked(seen, "Retrain"))
    once([each for _, each in asked(seen, "Rollback")])


def cooled(found: list[tuple[Watcher, Action]]) -> None:
    """No two of a kind within the cooldown of whoever asked for the later, whoever asked for the earlier."""
    for (_, earlier), (watcher, later) in pairwise(found):
        assert later.since - earlier.since >= timedelta(seconds=seconds(watcher.spec.policy.cooldown))


def budgeted(found: list[tuple[Watcher, Action]]) -> None:
    for watcher, last in found:
        budget = watcher.spec.policy.retrain_budget
        mine = [each for who, each in found if who is watcher]
        recent = [each for each in mine if last.since - timedelta(budget.days) < each.since <= last.since]
        assert len(recent) <= budget.max


def once(found: list[Action]) -> None:
    """A version is rolled back once a promotion; here each is promoted once."""
    assert len({each.version for each in found}) == len(found)


@given(SPECS, HOURS)
@settings(max_examples=50, deadline=None)
def test_the_same_months_give_the_same_actions(wanted: MonitorSpec, hours: list[Hour]) -> None:
    first, again = (
        [(found.actions, found.observed) for _, _, _, found in lived((wanted, wanted), hours)] for _ in range(2)
    )
    assert first == again
