"""What a decision asks to be done, as plain data: the loop does it in order, then writes the status once.

Every step may be repeated: the process can end after any of them, and the next decision, made from what is then there,
asks for the rest. So nothing here says "create and remember": names are deterministic, and a number is reserved in the
status (a plan of its own) before anything is made with it.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

from perennial.api.common import Status


@dataclass(frozen=True)
class Apply:
    """Server-side apply of a child under our field manager, conflicts forced; not of an object of somebody else.

    ``scaled``: somebody else sees to ``spec.replicas``, so that the manifest's number is for the creation alone.
    ``apart``: see :class:`Plan`.
    """

    manifest: dict[str, Any]
    scaled: bool = False
    apart: str = ""


@dataclass(frozen=True)
class Create:
    """Create once; that it exists already is success. For what is written once and never again.

    ``apart``: see :class:`Plan`.
    """

    manifest: dict[str, Any]
    apart: str = ""


@dataclass(frozen=True)
class CreateKey:
    """Create once a Secret ``manifest`` whose entry ``entry`` is 32 random bytes; that it exists already is success."""

    manifest: dict[str, Any]
    entry: str
    apart: str = ""


@dataclass(frozen=True)
class Delete:
    """Delete in the background; that it is gone already is success.

    ``owner`` is a uid: an object that does not belong to it stays, and that there is nothing to delete is remembered.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    owner: str = ""
    apart: str = ""


@dataclass(frozen=True)
class Annotate:
    """Set (or, with None, remove) annotations on an object that somebody else may own, by merge patch."""

    api_version: str
    kind: str
    namespace: str
    name: str
    annotations: dict[str, str | None]


@dataclass(frozen=True)
class Finalizer:
    """The reconciled object bears the finalizer ``name`` (``there``), or does not; its others stay as they are.

    Written with the object's resourceVersion. ``apart``: see :class:`Plan`.
    """

    name: str
    there: bool
    apart: str = ""


@dataclass(frozen=True)
class Submit:
    """Start a run of Kubeflow Pipelines once; that one of its ``name`` is there already is success. ``pipeline`` names
    the uploaded pipeline, whose version is the digest of ``content`` (YAML). ``server`` is a
    :class:`perennial.domain.training.kubeflow.Server`.
    """

    server: Any
    name: str
    description: str
    experiment: str
    pipeline: str
    content: str
    parameters: dict[str, Any]
    root: str = ""
    service_account: str = ""
    apart: str = ""


@dataclass(frozen=True)
class Terminate:
    """End the runs of Kubeflow Pipelines with this ``name``, or of these ``ids`` alone; what has ended stays so."""

    server: Any
    name: str
    ids: tuple[str, ...] = ()
    apart: str = ""


@dataclass(frozen=True)
class Event:
    """A Kubernetes Event about the reconciled object; the same one is written once for each state of that."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


Step = Apply | Create | CreateKey | Delete | Annotate | Finalizer | Submit | Terminate


@dataclass(frozen=True)
class Plan:
    """``steps`` in order, then ``events``, then ``status`` (None: leave it), then again after ``requeue`` seconds.

    A plan whose status changed is followed by another decision at once; ``requeue`` is for time alone.

    Where the API server refuses a step, nothing that follows is done, for it may rest on that step. A step with a name
    in ``apart`` is one that nothing else rests on: its refusal leaves out the steps of that name alone.
    """

    status: Status | None = None
    steps: tuple[Step, ...] = ()
    events: tuple[Event, ...] = ()
    requeue: float | None = None
    outcomes: dict[str, str] = field(default_factory=dict)
    """Labels for the operator's own metrics, such as {"rollout": "Promoted"}."""


def short_hash(*parts: str, length: int = 8) -> str:
    """Hex digits that name a child for ever: a hash of its owner's UID and what makes it differ."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:length]
