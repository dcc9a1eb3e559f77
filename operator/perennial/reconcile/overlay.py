"""The pod overlay that a ModelDeployment asks for now: read, merged, and judged before anything is made with it."""

import hashlib
import logging
from collections import OrderedDict
from typing import Any

from perennial.adapters.kubernetes import ApiError, KubernetesApi
from perennial.api.deployment import ModelDeployment, Revision
from perennial.api.version import ArtifactRecord
from perennial.contracts.names import FILE_MODEL
from perennial.domain.rollout.state import Finding, Overlay
from perennial.domain.rollout.target import configuration
from perennial.render import predictor
from perennial.render.overlay import OverlayError, canonical, parse
from perennial.render.security import violations

MISSING = "OverlayMissing"
INVALID = "OverlayInvalid"
REFUSED = "OverlayRefused"
UNCHECKED = "OverlayUnchecked"

_PROBES = ("overlay", "overlay-2")
_REMEMBERED = 1000
_MESSAGE_LIMIT = 1000

Json = dict[str, Any]

log = logging.getLogger(__name__)


class Overlays:
    """Remembers what was judged, so that a deployment at rest costs the read of its ConfigMap and nothing more."""

    def __init__(self) -> None:
        self._judged: OrderedDict[str, tuple[str, Overlay]] = OrderedDict()

    async def of(self, api: KubernetesApi, owner: ModelDeployment, image: str) -> Overlay:
        """The overlay, or what is wrong with it; ``image`` is the predictor's.

        Raises ApiError where the ConfigMap cannot be read.
        """
        wanted = owner.spec.predictor.pod_overlay
        if wanted is None:
            self._judged.pop(owner.metadata.uid, None)
            return Overlay()
        found = await api.get("v1", "ConfigMap", owner.metadata.namespace, wanted.config_map)
        text = ((found or {}).get("data") or {}).get(wanted.key)
        where = f"ConfigMap {wanted.config_map}, entry {wanted.key}"
        if text is None:
            return Overlay(problem=Finding(MISSING, f"{where}: there is no such thing in this namespace"))
        key = hashlib.sha256(f"{owner.metadata.generation} {image} {text}".encode()).hexdigest()
        known, judged = self._judged.get(owner.metadata.uid, ("", Overlay()))
        if known == key:
            return judged
        judged, lasting = await _judge(api, owner, image, text, where)
        if lasting:
            self._judged[owner.metadata.uid] = key, judged
            self._judged.move_to_end(owner.metadata.uid)
            if len(self._judged) > _REMEMBERED:
                self._judged.popitem(last=False)
        return judged


async def _judge(
    api: KubernetesApi, owner: ModelDeployment, image: str, text: str, where: str
) -> tuple[Overlay, bool]:  # fmt: skip
    """The verdict, and whether it lasts as long as nothing changes: a quota or a webhook may think otherwise later."""
    try:
        patch = canonical(parse(text))
        # What differs by revision, such as the files' digests, an overlay can guess in one of two revisions at most.
        probes = [(_probe(owner, image, name), _probe(owner, image, name, patch)) for name in _PROBES]
    except OverlayError as error:
        return _problem(INVALID, where, str(error)), True
    for plain, merged in probes:
        if found := violations(plain["spec"]["template"], merged["spec"]["template"]):
            return _problem(REFUSED, where, "; ".join(found)), True
    try:
        await api.try_create(probes[0][1])
    except ApiError as error:
        if error.status in {400, 403, 422}:
            return _problem(REFUSED, where, error.message), error.status != 403
        # Rollback, abort and measuring must go on. The message, which may differ each time, would be written each time.
        log.warning("%s could not be checked: %s", where, error)
        answer = f"{error.reason} {error.status}" if error.status else error.reason
        return _problem(UNCHECKED, where, f"the API server could not check it ({answer.strip()})"), False
    return Overlay(patch=patch), True


def _problem(reason: str, where: str, text: str) -> Overlay:
    return Overlay(problem=Finding(reason, f"{where}: {text}"[:_MESSAGE_LIMIT]))


def _probe(owner: ModelDeployment, image: str, name: str, patch: str = "") -> Json:
    """A Deployment as the next revision's would be, under a name that none ever has."""
    spec = configuration(owner.spec.predictor)
    revision = Revision(version=name, revision=name, image=image, predictor=spec, overlay=patch)
    digest = hashlib.sha256(name.encode()).hexdigest()
    return predictor.deployment(owner, revision, {FILE_MODEL: ArtifactRecord(uri=name, sha256=digest, size=0)}, 0)
