"""What a person wants to know of a ModelDeployment, taken from its status, its pods and its model's versions."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from perennial.api.common import parse_time
from perennial.api.deployment import ModelDeployment, Revision, RolloutStatus
from perennial.api.rollout import AnalysisMetric
from perennial.api.version import ModelVersion
from perennial.cli.words import span
from perennial.contracts.names import LABEL_DEPLOYMENT, LABEL_REVISION, LABEL_VERSION
from perennial.domain.conditions import find
from perennial.domain.rollout import stages as rollout_stages
from perennial.domain.rollout.pods import is_ready, trouble_of_deployment, trouble_of_pod
from perennial.domain.rollout.quarantine import Quarantined, quarantines
from perennial.domain.rollout.state import Finding

Json = dict[str, Any]
_ANNOTATE = re.compile(r"kubectl annotate md (\S+) --overwrite perennial\.dev/request=([a-z-]+)/\S+/\$\(uuidgen\)")


@dataclass(frozen=True)
class Pod:
    """A predictor pod."""

    name: str
    version: str
    revision: str
    ready: bool
    restarts: int
    node: str
    created: datetime | None
    state: str
    trouble: Finding | None = None


@dataclass(frozen=True)
class Stage:
    """A stage of the rollout: its place among the others, and how long it goes on (None: until something happens)."""

    title: str
    state: str
    """done, now or ahead."""
    left: timedelta | None = None
    note: str = ""


@dataclass(frozen=True)
class View:
    """A ModelDeployment and what belongs to it. ``wanted`` are the pods that each revision should have."""

    deployment: ModelDeployment
    pods: tuple[Pod, ...] = ()
    wanted: dict[str, int] | None = None
    blocked: dict[str, Finding] | None = None
    quarantined: dict[str, Quarantined] | None = None

    def pods_of(self, revision: Revision) -> list[Pod]:
        """The pods of ``revision``, the ready ones first."""
        mine = [pod for pod in self.pods if pod.revision == revision.revision]
        return sorted(mine, key=lambda pod: (not pod.ready, pod.name))

    def metric(self, name: str) -> AnalysisMetric | None:
        """The metric of that name, as the spec has it now."""
        return next((each for each in self.deployment.spec.rollout.analysis.metrics if each.name == name), None)

    def said(self, type_: str) -> str:
        """The message of a condition."""
        condition = find(self.deployment.status.conditions, type_)
        return shorter_command(condition.message) if condition else ""


def view(raw: Json, pods: list[Json], deployments: list[Json], versions: list[Json]) -> View:
    """The view of the ModelDeployment ``raw``; the lists may hold what is another's."""
    # What a newer operator added is not shown, and not an error.
    parsed = ModelDeployment.model_validate(raw, extra="ignore")
    mine = [each for each in deployments if _belongs(each, parsed.metadata.name)]
    known = [
        ModelVersion.model_validate(each, extra="ignore")
        for each in versions
        if each["spec"]["record"]["model"] == parsed.spec.model
    ]
    return View(
        deployment=parsed,
        pods=tuple(_pod(each) for each in pods if _belongs(each, parsed.metadata.name)),
        wanted={_label(each, LABEL_REVISION): each["spec"].get("replicas", 1) for each in mine},
        blocked={_label(each, LABEL_REVISION): why for each in mine if (why := trouble_of_deployment(each))},
        quarantined=quarantines(known, parsed.metadata.name),
    )


def shorter_command(message: str) -> str:
    """``message`` with the annotation that the operator writes out as a command given as this plugin's verb."""
    return _ANNOTATE.sub(r"kubectl perennial \2 \1", message)


def _belongs(raw: Json, deployment: str) -> bool:
    return _label(raw, LABEL_DEPLOYMENT) == deployment


def _label(raw: Json, label: str) -> str:
    return str((raw["metadata"].get("labels") or {}).get(label, ""))


def _pod(raw: Json) -> Pod:
    status, trouble = raw.get("status") or {}, trouble_of_pod(raw)
    containers = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    created = raw["metadata"].get("creationTimestamp")
    if "deletionTimestamp" in raw["metadata"]:
        state = "Terminating"
    elif is_ready(raw):
        state = "Ready"
    else:
        state = trouble.reason if trouble else status.get("phase", "Pending")
    return Pod(
        name=raw["metadata"]["name"],
        version=_label(raw, LABEL_VERSION),
        revision=_label(raw, LABEL_REVISION),
        ready=state == "Ready",
        restarts=sum(each.get("restartCount", 0) for each in containers),
        node=raw["spec"].get("nodeName", ""),
        created=parse_time(created) if created else None,
        state=state,
        trouble=None if state == "Terminating" else trouble,
    )


# --- in one sentence ----------------------------------------------------------------------------------------------


def headline(found: View, now: datetime) -> str:
    """Where the deployment stands, in one sentence."""
    status = found.deployment.status
    if not status.conditions:
        return "the operator has not looked at it yet: is it running?"
    ready, progressing, degraded = map(found.said, ("Ready", "Progressing", "Degraded"))
    if status.rollout is None:
        parts = [ready, "" if status.held else degraded]  # what is held, Ready says, too
    else:
        left = next((stage.left for stage in stages(found, now) if stage.state == "now" and stage.left), None)
        parts = [ready, progressing + (f", {span(left.total_seconds())} left" if left else "")]
    told = [part for number, part in enumerate(parts) if part and not any(part in other for other in parts[:number])]
    stale = (status.observed_generation or 0) < found.deployment.metadata.generation
    return "; ".join(told) + (" (the operator has not seen the newest spec yet)" if stale else "")


# --- the rollout's stages -----------------------------------------------------------------------------------------


def stages(found: View, now: datetime) -> list[Stage]:
    """The stages of the rollout under way: its pods, the strategy's own, the promotion."""
    rollout = found.deployment.status.rollout
    if rollout is None:
        return []
    middle = _middle(found, rollout)
    titles = [("its pods start", None), *middle, ("takes all requests", None)]
    at = min(rollout.step, len(middle)) + 1
    if rollout.promote and rollout.step >= 0:
        at = len(titles) - 1
    made = []
    for index, (title, hold) in enumerate(titles):
        state = "done" if index < at else "ahead" if index > at else "now"
        over = rollout.step_since + timedelta(seconds=hold) - now if hold is not None and state == "now" else None
        left = over if over and over > timedelta(0) else None
        asks = hold is None and 0 < index < len(titles) - 1
        note = _note(rollout, found, asks=asks, over=over is not None and left is None) if state == "now" else ""
        made.append(Stage(title, state, left, note))
    return made


def _note(rollout: RolloutStatus, found: View, *, asks: bool, over: bool) -> str:
    name = found.deployment.metadata.name
    if rollout.paused:
        return f"paused by a person: kubectl perennial resume {name}"
    if asks:
        return f"kubectl perennial promote {name}"
    if found.deployment.status.phase == "Paused":
        return "paused"
    return "its time is over, the analysis is not done" if over and rollout.step >= 0 else ""


def _middle(found: View, rollout: RolloutStatus) -> list[tuple[str, float | None]]:
    """(title, seconds that it is held) of the stages between the first pods and the promotion."""
    spec = found.deployment.spec
    if spec.rollout.strategy != rollout.strategy:
        return []
    return [(stage.words, stage.hold) for stage in rollout_stages.stages(spec, spec.predictor.replicas)]
