"""The stages of a rollout, derived from the spec alone: the one list that canaries, previews and shadows come down to.

Every strategy but Recreate brings the new version up, goes through its stages, and promotes it. What differs between
them is written in the stages, so the flow that walks through them knows no strategies.
"""

from dataclasses import dataclass

from perennial.api.common import seconds
from perennial.api.deployment import DeploymentSpec
from perennial.api.rollout import Preview, Shadow, Step

CANARY_LIMIT = 4
"""A canary by replicas has at most so many times the stable replicas: weights over 80 % are not worth more."""


@dataclass(frozen=True)
class Stage:
    """What the new version gets: ``weight`` and ``mirror`` in percent of the requests, answered by ``pods`` pods.

    ``hold`` is in seconds, None until a person promotes. ``preview``: it stands behind the preview Service;
    ``routed``: the HTTPRoute sends requests there. ``words`` continue "heart-v2 …".
    """

    weight: int
    pods: int
    hold: float | None
    words: str
    mirror: int = 0
    preview: bool = False
    routed: bool = False

    @property
    def shared(self) -> bool:
        """Whether the main Service selects stable and new pods alike."""
        return self.weight > 0 and not self.preview


def stages(spec: DeploymentSpec, replicas: int) -> list[Stage]:
    """The stages of ``spec``'s strategy beside ``replicas`` stable pods, in order."""
    rollout = spec.rollout
    match rollout.strategy:
        case "Canary":
            make = _routed if spec.traffic.provider == "Gateway" else _shared
            return [make(step, replicas) for step in rollout.steps]
        case "BlueGreen":
            return [_previewed(rollout.preview, replicas)] if rollout.preview else []
        case "Shadow":
            return [_shadowed(rollout.shadow, replicas)] if rollout.shadow else []
        case "Recreate":
            return []


def canary_replicas(weight: int, stable: int) -> int:
    """The number of pods beside ``stable`` ones whose share is nearest to ``weight`` percent, at least 1."""
    exact = weight * stable / (100 - weight)
    options = range(max(1, int(exact)), int(exact) + 2)
    nearest = min(options, key=lambda count: abs(100 * count / (count + stable) - weight))
    return min(nearest, CANARY_LIMIT * stable)


def share_of(weight: int, replicas: int) -> int:
    """The number of pods that ``weight`` percent of the requests need where ``replicas`` answer all of them."""
    return max(1, -(-weight * replicas // 100))


def _shared(step: Step, replicas: int) -> Stage:
    return Stage(
        step.weight, canary_replicas(step.weight, replicas), _hold(step), f"takes {step.weight} % {_until(step)}"
    )


def _routed(step: Step, replicas: int) -> Stage:
    return Stage(
        step.weight,
        share_of(step.weight, replicas),
        _hold(step),
        f"takes {step.weight} % {_until(step)}",
        preview=True,
        routed=True,
    )


def _previewed(preview: Preview, replicas: int) -> Stage:
    return Stage(0, replicas, _hold(preview), f"stands behind the preview Service {_until(preview)}", preview=True)


def _shadowed(shadow: Shadow, replicas: int) -> Stage:
    words = f"answers copies of {shadow.share} % of the requests {_until(shadow)}"
    return Stage(0, replicas, _hold(shadow), words, mirror=shadow.share, preview=True)


def _hold(stage: Step | Preview | Shadow) -> float | None:
    return None if stage.hold is None else seconds(stage.hold)


def _until(stage: Step | Preview | Shadow) -> str:
    return "until it is promoted" if stage.hold is None else f"for {stage.hold}"
