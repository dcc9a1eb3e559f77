"""How a run stands that Kubeflow Pipelines runs: from what its API says, what the run itself left, and the time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

from perennial.api.common import seconds
from perennial.api.kubeflow import KubeflowRun
from perennial.api.run import Engine
from perennial.api.training import ModelTraining
from perennial.contracts import pipelines
from perennial.contracts.names import STORE_SECRET
from perennial.contracts.pipelines import Component
from perennial.contracts.result import RunOutcome
from perennial.domain.training.run import Ending, Failed, Lost, Ongoing, Stopped

MISSING_GRACE = timedelta(minutes=2)
"""A run, or its workflow, that is not there is looked for so long before it is given up as lost."""
ENDED = frozenset({"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"})
_MESSAGE = 1000


@dataclass(frozen=True)
class Defaults:
    """The operator's Kubeflow Pipelines, from its chart. ``multi_user``: a run is made in its ModelTraining's
    namespace, and its pods run there; otherwise the pods of all run beside Kubeflow itself.
    """

    endpoint: str = ""
    multi_user: bool = False
    experiment: str = ""
    pipeline_root: str = ""
    service_account: str = ""
    caching: bool = False
    ui: str = ""


@dataclass(frozen=True)
class Server:
    """A Kubeflow Pipelines API, with the namespace there ("": it has none) that runs are made in. ``secret_in`` is the
    Kubernetes namespace whose Secret perennial-kubeflow is for it; "" stands for the operator's own credentials.
    """

    endpoint: str
    namespace: str = ""
    secret_in: str = ""


@dataclass(frozen=True)
class Target:
    """Where a run is made, and how it looks there. ``store_secret`` is in the pods' namespace."""

    server: Server
    experiment: str
    pipeline: str
    pipeline_root: str
    service_account: str
    caching: bool
    ui: str
    store_secret: str


@dataclass(frozen=True)
class Task:
    """A component's execution, as far as Kubeflow tells."""

    name: str
    state: str


@dataclass(frozen=True)
class SeenRun:
    """A run as the API shows it. ``states`` are all that it has been in, the present one last."""

    id: str
    name: str
    state: str
    created_at: datetime
    finished_at: datetime | None = None
    error: str = ""
    states: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether it is in a state that it never leaves."""
        return self.state in ENDED


@dataclass(frozen=True)
class Look:
    """What was found of a run. ``refused``: Kubeflow's words, where it did not take it. ``twins`` are other runs of its
    name that have not ended. ``trouble`` (reason, message): nothing can be said, for the API does not answer.
    ``workflow``: whether what executes it is there (None: that is not known). ``failure`` is a component's account;
    ``terminated``: it failed, for somebody ended it.
    """

    run: SeenRun | None = None
    refused: str = ""
    twins: tuple[str, ...] = ()
    trouble: tuple[str, str] | None = None
    workflow: bool | None = None
    failure: RunOutcome | None = None
    terminated: bool = False


@dataclass(frozen=True)
class Checked:
    """What came of asking Kubeflow. ``works``: it answers, is what it is taken for, and lets us see what is there."""

    works: bool
    reason: str
    message: str


@dataclass(frozen=True)
class Side:
    """Kubeflow's part of a snapshot: ``keys`` are the entries of the store's Secret and ``own`` the file of
    spec.pipeline, read before a run is made; ``refusal`` is why that file is not run (reason, message). ``look`` is
    there once a run was made, ``checked`` where a person asks.
    """

    defaults: Defaults = Defaults()
    keys: tuple[str, ...] = ()
    own: bytes = b""
    refusal: tuple[str, str] | None = None
    look: Look | None = None
    checked: Checked | None = None


def target(training: ModelTraining, engine: Engine, defaults: Defaults) -> Target | tuple[str, str]:
    """Where the run is to be made; or why nowhere: (reason, message)."""
    given, namespace = engine.kubeflow, training.metadata.namespace
    own = given is not None and given.endpoint is not None
    endpoint = given.endpoint if given and given.endpoint else defaults.endpoint
    if not endpoint:
        message = (
            "spec.engine.kubeflow.endpoint is not set, and the operator has none: set it, or the chart's "
            "kubeflow.endpoint, or use engine type Embedded"
        )
        return "KubeflowNotConfigured", message
    theirs = namespace if defaults.multi_user else ""
    there = (given.namespace or "") if own and given else theirs
    shared = not own and not defaults.multi_user
    if shared and (why := _not_shared(training, engine)):
        return "KubeflowNamespaceShared", why
    full = f"{namespace}.{training.spec.model}"
    return Target(
        server=Server(endpoint.rstrip("/"), there, namespace if own else ""),
        experiment=(given.experiment if given else None) or defaults.experiment or full,
        pipeline=full,
        pipeline_root=(given.pipeline_root if given else None) or ("" if own else defaults.pipeline_root),
        service_account=(given.service_account if given else None) or ("" if own else defaults.service_account),
        caching=given.caching if given and given.caching is not None else defaults.caching,
        ui=((given.ui if given else None) or ("" if own else defaults.ui)).rstrip("/"),
        store_secret=STORE_SECRET if there == namespace else f"{STORE_SECRET}-{namespace}",
    )


def _not_shared(training: ModelTraining, engine: Engine) -> str:
    """What a run may not ask for whose pods run in the namespace of Kubeflow itself, among everybody's Secrets."""
    spec, pods = training.spec, engine.kubeflow.pods if engine.kubeflow else []
    asked = {
        "engine.kubeflow.pods.secretEnv": any(each.secret_env for each in pods),
        "engine.kubeflow.pods.volumes": any(each.volumes for each in pods),
        "data.source.sql": spec.data.source.sql is not None,
        "tracking.mlflow.secret": bool(spec.tracking and spec.tracking.mlflow.secret),
    }
    named = [name for name, there in asked.items() if there]
    if not named:
        return ""
    return (
        f"spec.{', spec.'.join(named)}: pods of the operator's Kubeflow run in a namespace that all share, and may "
        "have no other Secrets or volumes of it; give spec.engine.kubeflow your own endpoint and namespace, or use "
        "engine type Embedded"
    )


def mismatch(server: Server, *, multi_user: bool) -> str:
    """What is to be set otherwise where the server says that it has users (``multi_user``) or has none, and we take it
    for the contrary; empty where we do not.
    """
    if multi_user == bool(server.namespace):
        return ""
    kind = "it has users (multi_user is true)" if multi_user else "it has no users (multi_user is false)"
    if not server.secret_in:
        return f"{kind}: set the chart's kubeflow.multiUser to {str(multi_user).lower()}"
    if multi_user:
        return f"{kind}: set spec.engine.kubeflow.namespace to the profile's in which runs are to be made"
    return f"{kind}: leave out spec.engine.kubeflow.namespace"


def recorded(where: Target) -> KubeflowRun:
    """What the status says of a run that is about to be made."""
    server = where.server
    return KubeflowRun(endpoint=server.endpoint, own=bool(server.secret_in), namespace=server.namespace)


def server_of(run: KubeflowRun, namespace: str) -> Server:
    """Where the run was made, of a ModelTraining in ``namespace``."""
    return Server(run.endpoint, run.namespace, namespace if run.own else "")


def follow(known: KubeflowRun, look: Look, ui: str, now: datetime) -> KubeflowRun:
    """What the status says of a run after ``look``. ``ui`` is the web interface's address, "" where there is none."""
    seen = look.run
    if look.trouble or look.refused:
        return known
    if seen is None:
        return known.model_copy(update={"missing_since": known.missing_since or now.replace(microsecond=0)})
    gone = look.workflow is False and not seen.ended
    return known.model_copy(
        update={
            "id": seen.id,
            "url": f"{ui}/#/runs/details/{seen.id}" if ui else known.url,
            "missing_since": (known.missing_since or now.replace(microsecond=0)) if gone else None,
        }
    )


def observe(known: KubeflowRun, look: Look, engine: Engine, now: datetime) -> Ending:
    """How the run stands; ``known`` is what :func:`follow` made of ``look``."""
    if look.trouble:
        return Ongoing(*look.trouble, phase="Running")
    if look.refused:
        return Failed("KubeflowRefused", f"Kubeflow did not take the run: {look.refused[:_MESSAGE]}", now)
    seen = look.run
    if known.missing_since is not None and not (seen and seen.ended):
        what = "the run" if seen is None else "the workflow of the run"
        left = known.missing_since + MISSING_GRACE - now
        if left <= timedelta():
            return Lost(f"{what} is gone from Kubeflow", now, disrupted=False)
        return Ongoing("KubeflowRunMissing", f"{what} is not found in Kubeflow: it is given up soon", phase="Running")
    if seen is None:
        return Ongoing()
    if not seen.ended:
        return _under_way(seen, engine, now)
    return _ended(seen, look, seen.finished_at or now)


def _under_way(seen: SeenRun, engine: Engine, now: datetime) -> Ending:
    if now - seen.created_at > timedelta(seconds=seconds(engine.deadline)):
        message = f"the run took longer than spec.engine.deadline ({engine.deadline}): raise it, or search less"
        return Failed("DeadlineExceeded", message, now)
    if seen.state == "PAUSED":
        return Ongoing("KubeflowRunPaused", "somebody has paused the run in Kubeflow", phase="Running")
    return Ongoing()


def _ended(seen: SeenRun, look: Look, at: datetime) -> Ending:
    if seen.state == "SUCCEEDED":
        return Lost("Kubeflow says that the run succeeded", at)
    if seen.state == "SKIPPED":
        return Failed("RunSkipped", "Kubeflow skipped the run: it says no more", at)
    # A server of 2.0 ends what was terminated as FAILED.
    if seen.state == "CANCELED" or "CANCELING" in seen.states or look.terminated:
        return Stopped("somebody terminated the run in Kubeflow", at)
    if (failure := look.failure) and failure.reason:
        where = f"{failure.component} failed: " if failure.component else ""
        return Failed(failure.reason, where + (failure.message or "it does not say why"), at)
    failed = ", ".join(task.name for task in seen.tasks if task.state == "FAILED")
    why = f"Kubeflow says that the run failed{f' at {failed}' if failed else ''}"
    said = f": {seen.error[:_MESSAGE]}" if seen.error else ", and no component left a word"
    return Lost(why + said, at, disrupted=True)


def active(seen: SeenRun) -> list[Component]:
    """The components at work, in their order. Kubeflow tells of more tasks: drivers, loops, the workflow itself."""
    found = {pipelines.stands_for(task.name.removesuffix("-driver")) for task in seen.tasks if task.state == "RUNNING"}
    return [name for name in get_args(Component) if name in found]


def progress(seen: SeenRun) -> str:
    """How far the run is, such as ``tune 4/8``; "" where Kubeflow does not tell."""
    components, found = get_args(Component), active(seen)
    return f"{', '.join(found)} {components.index(found[-1]) + 1}/{len(components)}" if found else ""
