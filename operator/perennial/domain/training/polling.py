"""Looks at the data at intervals: when their content has changed, a run is wanted.

What is compared is the SHA-256 over the content. The first one that is seen is the one to compare with; after a run
that ended well it is what that run was trained on. A run is wanted once for each content: where it fails, it is not
repeated until the data, or the spec, change again. A poll that fails says so in the condition DataReachable alone.
"""

from datetime import datetime
from typing import Any

from perennial.api.common import format_time, seconds
from perennial.api.run import DataStatus, Run, Trigger
from perennial.api.training import ModelTraining
from perennial.domain.conditions import condition, without
from perennial.domain.plan import Delete
from perennial.domain.training.feast import unreadable
from perennial.domain.training.request import poll_name, spec_hash, started
from perennial.domain.training.run import Seen, Unseen
from perennial.domain.training.state import Draft, Render, Said

CONDITION = "DataReachable"
FOLLOW_AGAIN = 30.0
_DIGITS = 12


def wait(training: ModelTraining, now: datetime) -> float | None:
    """Seconds until the next poll, 0 where one is due; None where none is to be started now."""
    spec, status = training.spec, training.status
    # Where the spec has changed a run starts for that, and reads the data of that time.
    if spec.data.poll is None or status.data.job or spec.suspend or spec_hash(spec) != status.spec_hash:
        return None
    if status.data.polled_at is None:
        return 0.0
    return max(0.0, seconds(spec.data.poll) - (now - status.data.polled_at).total_seconds())


def look(draft: Draft, render: Render) -> None:
    """Takes in a poll that has ended, or starts one that is due; old polls' Jobs go."""
    before = draft.training.status.data
    interval = draft.training.spec.data.poll
    if interval is None:
        draft.set(conditions=without(draft.status.conditions, CONDITION))
        if before.job:
            _set(draft, job="", spec_hash="")
    elif before.job:
        _take_in(draft, before)
    else:
        _start(draft, render, seconds(interval))
    _sweep(draft, {before.job, draft.status.data.job})


def answer(draft: Draft, *, anew: bool) -> None:
    """A run starts: it reads the data as they are. ``anew``: for another spec, under which nothing is known of them."""
    data = draft.status.data
    if anew:
        _set(draft, wanted="", tried="", trained="", sha256="", rows=None, seen_at=None)
    elif data.wanted:
        _set(draft, wanted="", tried=data.wanted)


def drop(draft: Draft) -> None:
    """No run starts for what is wanted; the next poll that sees it wants it again."""
    _set(draft, wanted="")


def learn(draft: Draft, trained: str) -> None:
    """A run has ended well on the data ``trained``."""
    wanted = draft.status.data.wanted
    _set(draft, trained=trained, tried="", wanted="" if wanted == trained else wanted)


def _take_in(draft: Draft, before: DataStatus) -> None:
    match draft.snapshot.polling.ending:
        case None:
            draft.again(FOLLOW_AGAIN)
        case Unseen(reason, message):
            _set(draft, job="", spec_hash="")
            _tell(draft, ("False", reason, f"the data could not be looked at: {message}; again at the next poll"))
        case Seen(data, at):
            _set(draft, job="", spec_hash="")
            # The Spec run that has begun meanwhile may read other columns: this digest is of another content.
            if before.spec_hash == draft.status.spec_hash == spec_hash(draft.training.spec):
                _compare(draft, data.sha256, data.rows, at)


def _compare(draft: Draft, digest: str, rows: int, at: datetime) -> None:
    known = draft.status.data
    compared = {each for each in (known.trained, known.tried) if each}
    changes: dict[str, Any] = {"wanted": digest if compared and digest not in compared else ""}
    if not compared:
        changes["tried"] = digest
    _set(draft, sha256=digest, rows=rows, seen_at=at.replace(microsecond=0), **changes)
    what = "Changed" if changes["wanted"] else "Unchanged"
    _tell(draft, ("True", what, f"{rows} rows with the SHA-256 {digest[:_DIGITS]}… were seen at {format_time(at)}"))


def _start(draft: Draft, render: Render, interval: float) -> None:
    training, polling = draft.training, draft.snapshot.polling
    left = wait(training, draft.now)
    if left is None:
        return
    if left > 0:
        draft.again(left)
        return
    polled_at = draft.now.replace(microsecond=0)
    if polling.store or not polling.root:
        reason, message = polling.store or ("StoreUnavailable", "the store's address is not known")
        _set(draft, polled_at=polled_at)
        _tell(draft, ("False", reason, message))
        draft.again(interval)
        return
    number = draft.status.data.polls + 1
    name = poll_name(training, number)
    run = Run(number=0, trigger=Trigger(type="Data"), phase="Running", job=name, started_at=polled_at)
    begun = started(training, run, polling.root, None, draft.snapshot.feast_image)
    if why := unreadable(begun.request):
        _set(draft, polled_at=polled_at)
        _tell(draft, ("False", *why))
        draft.again(interval)
        return
    draft.steps += render.poll(training, name, draft.snapshot.image, begun)
    _set(draft, job=name, polls=number, polled_at=polled_at, spec_hash=draft.status.spec_hash)
    draft.again(FOLLOW_AGAIN)


def _sweep(draft: Draft, kept: set[str]) -> None:
    namespace = draft.training.metadata.namespace
    for name in draft.snapshot.polling.jobs:
        if name not in kept:
            draft.steps.append(Delete("v1", "ConfigMap", namespace, name, apart="poll"))
            draft.steps.append(Delete("batch/v1", "Job", namespace, name, apart="poll"))


def _tell(draft: Draft, said: Said) -> None:
    generation = draft.training.metadata.generation
    draft.set(conditions=condition(draft.status.conditions, CONDITION, *said, generation=generation, now=draft.now))


def _set(draft: Draft, **changes: Any) -> None:
    draft.set(data=draft.status.data.model_copy(update=changes))
