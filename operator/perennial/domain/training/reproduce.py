"""A run that fits the recorded winner of a version again and says whether its model file is the same.

It is asked what the run that made the version was asked (its file request.json, whose digest the version has), in the
image that this one ran in, without a search and without a champion. It makes no version and answers no other trigger,
and what becomes of it says nothing about how ready the training is.
"""

import msgspec

from perennial.api.run import Run
from perennial.api.version import ModelVersion
from perennial.contracts.request import RunRequest
from perennial.contracts.result import RunResult
from perennial.domain.training import triggers
from perennial.domain.training.record import finish_time
from perennial.domain.training.register import ended_at, fail, nothing
from perennial.domain.training.request import Started, output, replay_of
from perennial.domain.training.state import Draft, Fetched

REPRODUCED, DIFFERS = "Reproduced", "Differs"


def wanted(draft: Draft, request: triggers.Request | None) -> ModelVersion | None:
    """The version that ``request`` asks to be reproduced; one that cannot be is refused."""
    if request is None or request.verb != triggers.REPRODUCE or request.id == draft.status.handled_request:
        return None
    versions = draft.snapshot.beginning.versions
    found = next((each for each in versions if each.metadata.name == request.about), None)
    model = draft.training.spec.model
    if found is None or found.spec.record.model != model:
        triggers.refuse(draft, request, f"there is no ModelVersion {request.about} of the model {model}")
        return None
    return found


def started(draft: Draft, run: Run) -> Started | None:
    """The run as it starts now; it has failed where what the version's run was asked is not known any more."""
    beginning, metadata = draft.snapshot.beginning, draft.training.metadata
    try:
        original = msgspec.json.decode(beginning.original or b"", type=RunRequest)
    except msgspec.DecodeError:
        original = None
    if original is None or beginning.reproduced is None:
        message = (
            f"what the run that made {run.reproduces} was asked is not in the store, or not in a form that this "
            "operator reads: the version can be trained anew, not reproduced"
        )
        fail(draft, run, "RequestMissing", message, draft.now)
        return None
    folder = output(beginning.root, metadata.namespace, metadata.name, run.number)
    request = replay_of(original, beginning.reproduced, run.number, folder)
    return Started(request=request, spec=draft.training.spec)


def conclude(draft: Draft, run: Run, begun: Started, fetched: Fetched) -> None:
    """Ends ``run`` by what it has found."""
    at = run.finished_at or ended_at(draft)
    if fetched.data is None:
        fail(draft, run, *(fetched.broken or nothing(draft)), at)
        return
    try:
        found = msgspec.json.decode(fetched.data, type=RunResult).reproduction
    except msgspec.DecodeError as error:
        fail(draft, run, "ResultMalformed", f"result.json cannot be read: {error}", at)
        return
    if found is None or begun.request.replay is None:
        fail(draft, run, "ResultMalformed", "result.json does not say whether the model is the same", at)
        return
    recorded = begun.request.replay.model_sha256
    same = found.found == recorded
    message = (
        f"{run.reproduces} is reproduced: fitted again, its model has the same SHA-256, {recorded}"
        if same
        else f"{run.reproduces} is not reproduced: its model's SHA-256 is {recorded}, fitted again it is {found.found}"
    )
    outcome = REPRODUCED if same else DIFFERS
    draft.set_run(run, phase="Succeeded", outcome=outcome, message=message, finished_at=finish_time(at))
    draft.event(outcome, f"run {run.number}: {message}", warning=not same)
    draft.outcomes["run"] = outcome
    draft.again(0.0)
