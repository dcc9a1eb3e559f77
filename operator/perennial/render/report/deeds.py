"""What was done and why, and what came before: the part of a report that is taken from conditions and actions."""

from dataclasses import dataclass
from datetime import datetime

from perennial.api.verdict import Action, MonitorStatus
from perennial.domain.conditions import find
from perennial.domain.drift.story import Story
from perennial.render.report.words import CAUSES, STATES, wanted_by

WAITS = "No action yet: "
SHOWN = 5
_CONCERNS = (
    ("HumanNeeded", "A person has to decide"),
    ("LabelsSuspect", "The labels are not trusted"),
    ("SignalsBreached", "Out of bounds"),
    ("MonitorsDisagree", "Monitors disagree"),
)


@dataclass(frozen=True)
class Deed:
    """``look`` is a colour's class; ``at`` is None where it is so now."""

    look: str
    title: str
    text: str = ""
    at: datetime | None = None


@dataclass(frozen=True)
class Segment:
    """A stretch of the strip of verdicts: from ``left`` over ``width``, in percent."""

    left: float
    width: float
    look: str
    text: str


def deeds(story: Story) -> list[Deed]:
    """What a person has to do first, then what was done since this verdict, then what is waited for and why."""
    status, spec = story.status, story.spec
    found = [
        Deed("bad" if type_ == "HumanNeeded" else "change", words, said.message)
        for type_, words in _CONCERNS
        if (said := find(status.conditions, type_)) is not None and said.status == "True"
    ]
    done = [_asked(each) for each in status.actions[:SHOWN] if _belongs(each, status)]
    imagined = [_asked(each, observed=True) for each in status.observed[:SHOWN] if _belongs(each, status)]
    waits = _waits(status)
    wish = wanted_by(spec, status)
    found += [*done, *imagined]
    if waits:
        found.append(Deed("unknown", "Nothing more yet" if done else "Nothing yet", waits))
    elif wish and not done and not imagined:
        alert = wish.endswith("Alert")
        said_so = "People are told (Events, alerts), and nothing else happens" if alert else "Nothing was asked for"
        found.append(Deed("unknown", said_so, wish))
    if spec.mode == "Observe":
        found.append(Deed("unknown", "The monitor only watches", "mode: Observe"))
    if not found:
        found.append(Deed("good" if status.verdict == "Healthy" else "unknown", "Nothing had to be done"))
    return found


def stale(story: Story) -> str:
    """Why there is no newer verdict than the one that is shown; empty where it is new."""
    ready = find(story.status.conditions, "Ready")
    known = {"Judged", *(verdict for verdict in STATES if verdict)}
    return ready.message if ready is not None and ready.reason not in known else ""


def timeline(story: Story) -> list[Deed]:
    """Verdicts and actions, the newest first."""
    status = story.status
    found: list[tuple[datetime, int, Deed]] = []
    if status.since is not None:
        now = STATES[status.verdict]
        found.append((status.since, 1, Deed(now.look, f"{now.name}: {status.version}", _why(status), status.since)))
    for each in status.history:
        state = STATES[each.verdict]
        why = ". ".join(filter(None, (each.worst, each.performance, CAUSES.get(each.cause, "").split(":")[0])))
        found.append((each.since, 1, Deed(state.look, f"{state.name}: {each.version}", why, each.since)))
    found += [(each.since, 2, _asked(each)) for each in status.actions[:20]]
    found += [(each.since, 2, _asked(each, observed=True)) for each in status.observed]
    return [deed for _, _, deed in sorted(found, key=lambda each: each[:2], reverse=True)]


def strip(story: Story) -> list[Segment]:
    """The verdicts over time as a strip, oldest first."""
    status = story.status
    spans = [(each.since, each.until, each.verdict, each.version) for each in reversed(status.history)]
    if status.since is not None:
        spans.append((status.since, None, status.verdict or "InsufficientData", status.version))
    if not spans:
        return []
    first = min(since for since, _, _, _ in spans)
    length = max((story.at - first).total_seconds(), 1.0)
    found = []
    for since, until, verdict, version in spans:
        begun, ended = ((each - first).total_seconds() / length * 100 for each in (since, until or story.at))
        state = STATES[verdict]
        found.append(
            Segment(round(begun, 2), round(max(ended - begun, 0.4), 2), state.look, f"{version}: {state.name}")
        )
    return found


def _why(status: MonitorStatus) -> str:
    return ". ".join(filter(None, (status.worst, (CAUSES.get(status.cause or "") or "").split(":")[0])))


def _belongs(action: Action, status: MonitorStatus) -> bool:
    """Whether it is about the version that is judged, and not about an earlier verdict on it."""
    return action.version == status.version and (status.since is None or action.since >= status.since)


def _asked(action: Action, *, observed: bool = False) -> Deed:
    said = "would have been asked for" if observed else "was asked for"
    look = "unknown" if observed else "act"
    return Deed(look, f"A {action.kind.lower()} of {action.version} {said}", action.reason, action.since)


def _waits(status: MonitorStatus) -> str:
    ready = find(status.conditions, "Ready")
    return ready.message.partition(WAITS)[2] if ready is not None else ""
