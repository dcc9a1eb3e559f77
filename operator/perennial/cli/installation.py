"""What of an installation is wrong: the operator, a namespace's Secrets, and what ModelTrainings' runs run into."""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from perennial.adapters.kubernetes import ApiError
from perennial.api.common import API_VERSION, Condition, parse_time
from perennial.api.training import ModelTraining
from perennial.cli.check import checked
from perennial.cli.cluster import KINDS, Cluster, Target, connect
from perennial.contracts.names import GROUP, SECRET_KUBEFLOW, STORE_READ_SECRET, STORE_ROOT, STORE_SECRET
from perennial.domain.refusal import KUBEFLOW
from perennial.domain.training.check import CONDITION

OPERATOR = "app.kubernetes.io/name=perennial-operator"
LEASE = f"{GROUP}-operator"
ENVIRONMENT = "PERENNIAL_KUBEFLOW_"
STALE = timedelta(seconds=60)
_STYLES = {"ok": "green", "wrong": "bold red", "not known": "yellow"}
_LOOK_AT = {
    "KubeflowNotConfigured": "engine.kubeflow.endpoint, or the chart's kubeflow.endpoint",
    "KubeflowUnavailable": "the address (engine.kubeflow.endpoint, or the chart's), and its caSecret or ca.crt",
    "KubeflowUnauthorized": f"who asks: the chart's tokenAudience or authSecret, or the Secret {SECRET_KUBEFLOW}",
    "KubeflowForbidden": "what that identity may do there; the chart's multiUser, engine.kubeflow.namespace",
    "KubeflowNotFound": "the path prefix of the endpoint",
    "KubeflowRefused": "the pipeline that it was given: spec.pipeline, engine.kubeflow.pods",
    "KubeflowNamespaceShared": "engine.kubeflow: an endpoint and namespace of your own",
    "KubeflowRunMissing": "who deletes runs or workflows there",
}

Json = dict[str, Any]
Level = Literal["ok", "wrong", "not known"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; ``said`` has what to do where it is wrong."""

    what: str
    level: Level
    said: str = ""


@dataclass(frozen=True)
class Seen:
    """What could be read; None stands for what may not be. Secrets are the names of their entries, by their own name in
    the namespace, or ``<namespace>/<name>`` elsewhere; ``unasked`` is why Kubeflow was not asked, by ModelTraining.
    """

    namespace: str
    kinds: dict[str, bool] = field(default_factory=dict)
    operators: tuple[Json, ...] | None = None
    leases: dict[str, Json | None] = field(default_factory=dict)
    secrets: dict[str, frozenset[str] | None] = field(default_factory=dict)
    forbidden: frozenset[str] = frozenset()
    trainings: tuple[ModelTraining, ...] = ()
    unasked: dict[str, str] = field(default_factory=dict)


def checks(seen: Seen, now: datetime) -> list[Check]:
    """All that is to be said."""
    found = [
        Check(f"kind {name}", "ok" if there else "wrong", "" if there else "install the chart: crds.install=true")
        for name, there in seen.kinds.items()
    ]
    found += _operator(seen, now)
    for name in (STORE_SECRET, STORE_READ_SECRET):
        found.append(_secret(seen, name, "the store's address and credentials", STORE_ROOT))
    for training in seen.trainings:
        found += _training(seen, training)
    return found


def _operator(seen: Seen, now: datetime) -> list[Check]:
    if seen.operators is None:
        return [Check("operator", "not known", "you may not list Deployments of all namespaces")]
    if not seen.operators:
        return [Check("operator", "wrong", "there is none: install the chart")]
    found = []
    for each in seen.operators:
        metadata, ready = each["metadata"], (each.get("status") or {}).get("readyReplicas", 0)
        name = f"operator {metadata['namespace']}/{metadata['name']}"
        said = f"no pod is ready: kubectl -n {metadata['namespace']} describe deploy {metadata['name']}"
        found.append(Check(name, "ok" if ready else "wrong", "" if ready else said))
        lease = seen.leases.get(metadata["namespace"])
        renewed = ((lease or {}).get("spec") or {}).get("renewTime")
        if metadata["namespace"] not in seen.leases:
            found.append(Check(f"{name}: Lease", "not known", "you may not read it"))
        elif renewed is None or now - parse_time(renewed) > STALE:
            found.append(Check(f"{name}: Lease", "wrong", "nobody renews it: no operator works; its log says why"))
        else:
            found.append(
                Check(f"{name}: Lease", "ok", f"held by {lease['spec'].get('holderIdentity', '')}" if lease else "")
            )
    return found


def _secret(seen: Seen, name: str, what: str, *entries: str) -> Check:
    if name in seen.forbidden:
        return Check(f"Secret {name}", "not known", "you may not read it")
    keys = seen.secrets.get(name)
    if keys is None:
        return Check(f"Secret {name}", "wrong", f"it is not there; make it: {what}")
    lacking = [entry for entry in entries if entry not in keys]
    said = f"it lacks {', '.join(lacking)}" if lacking else ""
    return Check(f"Secret {name}", "wrong" if lacking else "ok", said)


def _training(seen: Seen, training: ModelTraining) -> list[Check]:
    name, engine = f"mt/{training.metadata.name}", training.spec.engine
    ready = next((each for each in training.status.conditions if each.type == "Ready"), None)
    if ready is None:
        return [Check(name, "wrong", "no operator has looked at it: is its namespace among the chart's namespaces?")]
    if ready.reason.startswith(KUBEFLOW):
        found = [_look_at(name, ready)]
    else:
        level: Level = "wrong" if ready.status == "False" and ready.reason != "ApprovalPending" else "ok"
        found = [Check(name, level, f"{ready.reason}: {ready.message}")]
    if engine.type != KUBEFLOW:
        return found
    return [*found, *_kubeflow(seen, training, name), _answer(seen, training, f"{name}: Kubeflow")]


def _look_at(what: str, said: Condition) -> Check:
    look = f". Look at {_LOOK_AT[said.reason]}" if said.reason in _LOOK_AT else ""
    return Check(what, "wrong", f"{said.reason}: {said.message}{look}")


def _answer(seen: Seen, training: ModelTraining, what: str) -> Check:
    """What the operator was told when it asked."""
    if why := seen.unasked.get(training.metadata.name):
        return Check(what, "not known", why)
    said = next((each for each in training.status.conditions if each.type == CONDITION), None)
    if said is None:
        return Check(what, "not known", "the operator has not asked it: is it as new as this command?")
    return Check(what, "ok", said.message) if said.status == "True" else _look_at(what, said)


def _kubeflow(seen: Seen, training: ModelTraining, name: str) -> list[Check]:
    given = training.spec.engine.kubeflow
    if given and given.endpoint:
        if SECRET_KUBEFLOW in seen.forbidden or seen.secrets.get(SECRET_KUBEFLOW) is not None:
            return []
        return [
            Check(
                f"{name}: Secret {SECRET_KUBEFLOW}",
                "not known",
                f"it is not there: {given.endpoint} is asked by nobody",
            )
        ]
    if seen.operators is None:
        return []
    settings = [settings_of(each) for each in seen.operators]
    if not any(each.get("ENDPOINT") for each in settings):
        return [Check(f"{name}: kubeflow", "wrong", f"no address: set {_LOOK_AT['KubeflowNotConfigured']}")]
    shared = next((each["NAMESPACE"] for each in settings if each.get("NAMESPACE")), "")
    if not shared:
        return []
    secret = f"{shared}/{STORE_SECRET}-{seen.namespace}"
    return [_secret(seen, secret, "the store's address and credentials, for pods that run there", STORE_ROOT)]


def settings_of(deployment: Json) -> dict[str, str]:
    """An operator's settings of Kubeflow, without their common beginning."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return {
        each["name"].removeprefix(ENVIRONMENT): each.get("value", "")
        for container in containers
        for each in container.get("env") or ()
        if each["name"].startswith(ENVIRONMENT)
    }


async def examine(target: Target, name: str | None, patience: float) -> int:
    """Prints what was found; the exit code is 1 where something is wrong."""
    async with connect(target) as cluster:
        found = checks(await _look(cluster, name, patience), datetime.now(UTC))
    table = Table(box=None, pad_edge=False)
    for title in ("", "What", "Said"):
        table.add_column(title, overflow="fold")
    for each in found:
        table.add_row(Text(each.level, _STYLES[each.level]), Text(each.what), Text(each.said))
    Console(highlight=False).print(table)
    return 1 if any(each.level == "wrong" for each in found) else 0


async def _look(cluster: Cluster, name: str | None, patience: float) -> Seen:
    kinds = {kind.KIND: await _there(cluster, kind.KIND) for kind in KINDS}
    operators = await _allowed(cluster.api.list("apps/v1", "Deployment", None, labels=OPERATOR))
    leases: dict[str, Json | None] = {}
    secrets: dict[str, frozenset[str] | None] = {}
    forbidden: set[str] = set()
    wanted = [(cluster.namespace, each, each) for each in (STORE_SECRET, STORE_READ_SECRET, SECRET_KUBEFLOW)]
    for each in operators or ():
        place = each["metadata"]["namespace"]
        try:
            leases[place] = await cluster.api.get("coordination.k8s.io/v1", "Lease", place, LEASE)
        except ApiError as error:
            _must_be_forbidden(error)
        if shared := settings_of(each).get("NAMESPACE"):
            secret = f"{STORE_SECRET}-{cluster.namespace}"
            wanted.append((shared, secret, f"{shared}/{secret}"))
    for place, secret, label in wanted:
        try:
            raw = await cluster.api.get("v1", "Secret", place, secret)
        except ApiError as error:
            _must_be_forbidden(error)
            forbidden.add(label)
        else:
            secrets[label] = None if raw is None else frozenset(key for key, value in (raw.get("data") or {}).items()
                                                                if base64.b64decode(value))  # fmt: skip
    trainings: list[Json] = []
    if kinds[ModelTraining.KIND]:
        every = await cluster.api.list(API_VERSION, ModelTraining.KIND, cluster.namespace)
        trainings = [await cluster.read(ModelTraining, name)] if name else every
    there = [raw for raw in trainings if raw["spec"].get("engine", {}).get("type") == KUBEFLOW]
    answered, unasked = await checked(cluster, there, patience)
    trainings = [answered.get(raw["metadata"]["name"], raw) for raw in trainings]
    return Seen(
        cluster.namespace, kinds, None if operators is None else tuple(operators), leases, secrets,
        frozenset(forbidden), tuple(map(ModelTraining.parse, trainings)), unasked,
    )  # fmt: skip


async def _there(cluster: Cluster, kind: str) -> bool:
    try:
        await cluster.api.list(API_VERSION, kind, cluster.namespace, metadata_only=True)
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


async def _allowed(listing: Any) -> list[Json] | None:
    try:
        found: list[Json] = await listing
    except ApiError as error:
        _must_be_forbidden(error)
        return None
    return found


def _must_be_forbidden(error: ApiError) -> None:
    if error.status != 403:
        raise error
