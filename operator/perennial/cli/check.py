"""Has the operator ask Kubeflow, for several ModelTrainings at once: it may reach what a person's machine cannot."""

import asyncio
from typing import Any

from perennial.adapters.kubernetes import ApiError
from perennial.api.common import API_VERSION
from perennial.api.training import ModelTraining
from perennial.cli.cluster import Cluster
from perennial.cli.request import annotate
from perennial.contracts.names import ANNOTATION_REQUEST
from perennial.domain.training.triggers import CHECK

Json = dict[str, Any]


async def checked(cluster: Cluster, trainings: list[Json], patience: float) -> tuple[dict[str, Json], dict[str, str]]:
    """Asks, and waits up to ``patience`` seconds: the objects that were answered, and why others were not, by name.

    Raises ApiError.
    """
    unasked = {raw["metadata"]["name"]: why for raw in trainings if (why := _against(raw))}
    waiting: dict[str, str] = {}
    for raw in trainings:
        name = raw["metadata"]["name"]
        if name in unasked:
            continue
        try:
            waiting[name] = await annotate(cluster, ModelTraining, name, f"{CHECK}/{raw['spec']['model']}")
        except ApiError as error:
            if error.status not in {403, 404}:
                raise
            unasked[name] = "you may not ask for it" if error.status == 403 else "it was deleted"
    answered: dict[str, Json] = {}
    try:
        async with asyncio.timeout(patience):
            await _wait(cluster, waiting, answered, unasked)
    except TimeoutError:
        unasked |= dict.fromkeys(waiting, f"no operator answered within {patience:g} s: is it running?")
    return answered, unasked


def _against(raw: Json) -> str:
    """Why it is not to be asked; empty where it may be."""
    if raw["metadata"].get("deletionTimestamp"):
        return "it is being deleted"
    stands = (raw["metadata"].get("annotations") or {}).get(ANNOTATION_REQUEST, "")
    verb, _, rest = stands.partition("/")
    heard = (raw.get("status") or {}).get("handledRequest") in {*stands.split("/")[2:3], stands}
    if not rest or heard or verb == CHECK:
        return ""
    return f"a request to {verb} waits to be heard, and this one would take its place: ask again after it"


async def _wait(cluster: Cluster, waiting: dict[str, str], answered: dict[str, Json], unasked: dict[str, str]) -> None:
    """Moves each of ``waiting`` (id by name) to where it belongs, until none is left."""
    if not waiting:
        return
    async for change in cluster.api.watch(API_VERSION, ModelTraining.KIND, cluster.namespace, metadata_only=False):
        if change.type == "Synced" or (name := change.object["metadata"]["name"]) not in waiting:
            continue
        identity, stands = waiting[name], (change.object["metadata"].get("annotations") or {}).get(ANNOTATION_REQUEST)
        if change.type == "Deleted":
            unasked[name] = "it was deleted"
        elif (change.object.get("status") or {}).get("handledRequest") == identity:
            answered[name] = change.object
        elif identity not in (stands or ""):
            unasked[name] = "somebody else's request took the place of this one"
        else:
            continue
        del waiting[name]
        if not waiting:
            return
