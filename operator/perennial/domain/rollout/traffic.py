"""Where requests go: the moves that send them, and the shares that come of it.

The Services come first, for each is one write that takes effect by itself. While an HTTPRoute may still name the
preview Service, that Service selects the stable pods: whatever a Gateway believes in between, a stable pod answers.
"""

from perennial.api.deployment import TrafficStatus
from perennial.domain.rollout.state import Draft, Mirror, Move, NoRoute, Preview, Route, Weigh


def traffic_moves(draft: Draft) -> list[Move]:
    """The traffic as a whole, in an order that may be cut short anywhere; nothing where nothing is on its way."""
    target = draft.rollout.target if draft.rollout else None
    if draft.stable is None:
        main = target.revision if target else None
    else:
        main = None if _shared(draft) else draft.stable.revision
    if main is None and not _shared(draft):
        return []
    preview = Preview(_previewed(draft))
    mirror = Mirror(draft.showing.mirror if draft.showing else 0, target.version if draft.showing and target else "")
    rest = [*_gateway(draft), mirror]
    return [Route(main), preview, *rest] if preview.revision else [Route(main), *rest, preview]


def _shared(draft: Draft) -> bool:
    return draft.showing is not None and draft.showing.shared


def _previewed(draft: Draft) -> str | None:
    if draft.rollout and draft.showing and draft.showing.preview:
        return draft.rollout.target.revision
    route = draft.snapshot.route
    if draft.stable and route and (route.preview or not route.accepted):
        return draft.stable.revision
    return None


def _gateway(draft: Draft) -> list[Move]:
    if not draft.gateway:
        return [NoRoute()]
    stage = draft.showing
    if stage is None or not stage.routed:
        return [Weigh(0)]
    return [Weigh(stage.weight, preview=True, matched=draft.spec.rollout.match is not None)]


def pod_share(draft: Draft) -> float | None:
    """Percent of the ready pods behind the Service that are the new version's; None without pods or a rollout."""
    if draft.rollout is None:
        return None
    new = draft.snapshot.ready(draft.rollout.target) if _shared(draft) or draft.stable is None else 0
    old = draft.snapshot.ready(draft.stable)
    return round(100 * new / (new + old), 1) if new + old else None


def traffic_status(draft: Draft) -> TrafficStatus:
    """What the new version gets: as its stage wants it, and as it really is."""
    if draft.rollout is None or draft.stable is None:
        return TrafficStatus()
    stage, route = draft.showing, draft.snapshot.route
    real = pod_share(draft)
    if draft.gateway:
        real = float(route.weight) if route and route.preview else 0.0
    return TrafficStatus(
        wanted_weight=stage.weight if stage else 0,
        real_weight=real,
        mirror_share=stage.mirror if stage else 0,
        request_share=draft.traffic.request_share,
    )
