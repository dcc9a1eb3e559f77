"""The end of a run: its result becomes a ModelVersion, or its failure a message that says what to do."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from pydantic import ValidationError

from perennial.api.run import Leader, Run
from perennial.api.version import ModelVersion
from perennial.contracts.gates import Verdict
from perennial.contracts.result import RunResult
from perennial.domain.conditions import find
from perennial.domain.gates import judged
from perennial.domain.plan import Create
from perennial.domain.training.record import Malformed, finish_time, is_ours, manifest, read_result, score, version_name
from perennial.domain.training.request import Started, split
from perennial.domain.training.run import Lost, Reported
from perennial.domain.training.state import Draft, Fetched
from perennial.domain.training.status import REGISTERED

_MESSAGE_LIMIT = 4000
_LEADERS = 3


def fail(draft: Draft, run: Run, reason: str, message: str, at: datetime) -> None:
    """Ends ``run`` as failed."""
    if reason == "DeadlineExceeded":
        message = _stuck(draft, run) or message
    message = message[:_MESSAGE_LIMIT]
    draft.set_run(run, phase="Failed", outcome=reason, message=message, finished_at=finish_time(run.finished_at or at))
    draft.event("RunFailed", f"run {run.number}: {reason}: {message}", warning=True)
    draft.outcomes["run"] = reason


def _stuck(draft: Draft, run: Run) -> str:
    """Why a run whose time is over had not even begun; empty where it had."""
    status = draft.training.status
    ready = find(status.conditions, "Ready")
    if not run.launched or status.phase != "Pending" or ready is None:
        return ""
    return f"the run did not begin within spec.engine.deadline: {ready.reason}: {ready.message}"


def register(draft: Draft, run: Run, begun: Started, fetched: Fetched) -> ModelVersion | None:
    """Takes the run one state on: reserves its version's number, or makes the version. Returns the version it made."""
    at = run.finished_at or ended_at(draft)
    if fetched.data is None or fetched.artifact is None:
        reason, message = fetched.broken or nothing(draft)
        fail(draft, run, reason, message, at)
        return None
    try:
        result = read_result(fetched.data, begun)
        versions = draft.snapshot.following.versions
        if run.reserved is None or _taken(draft, run, versions):
            _reserve(draft, run, fetched, versions)
            return None
        return _make(draft, run, begun, result)
    except (Malformed, ValidationError) as error:
        fail(draft, run, "ResultMalformed", str(error), at)
        return None


def ended_at(draft: Draft) -> datetime:
    """When the run under way ended."""
    ending = draft.snapshot.following.ending
    return ending.at if isinstance(ending, Reported | Lost) else draft.now


def nothing(draft: Draft) -> tuple[str, str]:
    """Why there is no result: (reason, message)."""
    ending = draft.snapshot.following.ending
    if isinstance(ending, Lost):
        again = "ask for another run by the annotation perennial.dev/request: train/<model>/<a new id>"
        return "RunLost", f"{ending.why}, and there is no result in the store; {again}"
    return "ResultMissing", "the run says that it succeeded, and its result.json is not in the store"


def _taken(draft: Draft, run: Run, versions: Sequence[ModelVersion]) -> bool:
    """Whether the reserved number's name belongs to another run's version: somebody made it by hand, or restored it."""
    name = version_name(draft.training, run.reserved or 0)
    return any(each.metadata.name == name and not is_ours(each, draft.training, run) for each in versions)


def _reserve(draft: Draft, run: Run, fetched: Fetched, versions: Sequence[ModelVersion]) -> None:
    model = draft.training.spec.model
    names = [each.spec.record.number for each in versions if each.spec.record.model == model]
    number = max([draft.status.version_counter, *names]) + 1
    ending = draft.snapshot.following.ending
    ran = ending.image if isinstance(ending, Reported) and ending.image else run.image
    draft.set_run(
        run,
        reserved=number,
        result=msgspec.to_builtins(fetched.artifact),
        finished_at=finish_time(run.finished_at or ended_at(draft)),
        image=ran,
    )
    draft.set(version_counter=number)
    draft.requeue = 0.0


def _make(draft: Draft, run: Run, begun: Started, result: RunResult) -> ModelVersion:
    verdict = judged(begun.spec, result, begun.request.champion, split(begun.spec))
    made = manifest(draft.training, run, begun, result, verdict, insists=draft.snapshot.following.insists)
    version = ModelVersion.parse(made)
    name, figure = version.metadata.name, score(result, begun).text
    draft.steps.append(Create(made))
    outcome, message = _outcome(name, figure, verdict)
    draft.set_run(
        run,
        phase="Succeeded",
        version=name,
        outcome=outcome,
        message=message[:_MESSAGE_LIMIT],
        score=figure,
        leaderboard=[
            Leader(algorithm=each.algorithm, score=each.score, trials=each.trials)
            for each in version.spec.record.leaderboard[:_LEADERS]
        ],
    )
    draft.set(latest_version=name, latest_score=figure)
    _say(draft, name, version.spec.approval, outcome, message)
    if verdict.champion and verdict.champion.verdict == "Inconclusive":
        draft.event("ChampionInconclusive", f"{name}: {verdict.champion.message}", warning=True)
    if result.tracking and result.tracking.problem:
        draft.event("NotTracked", f"{name}: MLflow: {result.tracking.problem}"[:_MESSAGE_LIMIT], warning=True)
    draft.outcomes["run"] = outcome
    return version


def _outcome(name: str, figure: str, verdict: Verdict) -> tuple[str, str]:
    if verdict.failures:
        return "GateFailed", f"{name} is rejected: {verdict.message}"
    if verdict.champion_kept:
        return "ChampionKept", f"{name} is rejected: {verdict.message}"
    beside = f", {verdict.champion.message}" if verdict.champion else ""
    return REGISTERED, f"{name} is registered: {figure}{beside}"


def _say(draft: Draft, name: str, approval: str, outcome: str, message: str) -> None:
    if outcome == REGISTERED:
        draft.event("VersionRegistered", f"{message} (approval: {approval})")
    else:
        draft.event(outcome, message, warning=True)
