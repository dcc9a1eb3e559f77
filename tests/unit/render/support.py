"""A ModelDeployment to render, and what is rendered of it."""

from typing import Any

from perennial.api.deployment import ModelDeployment, Revision
from perennial.api.version import ArtifactRecord
from perennial.domain.rollout.target import configuration
from perennial.render import pod, predictor

Json = dict[str, Any]

ARTIFACTS = {
    name: ArtifactRecord(uri=f"s3://store/heart/1/{name}", sha256="a" * 64, size=1)
    for name in ("model.onnx", "signature.json", "baseline.json", "report.html")
}


def an_owner(predictor_: Json | None = None, **spec: Any) -> ModelDeployment:
    """The ModelDeployment heart in the namespace clinic."""
    return ModelDeployment.parse({
        "metadata": {"name": "heart", "namespace": "clinic", "uid": "uid-heart"},
        "spec": {"model": "heart", "predictor": predictor_ or {}, **spec},
    })  # fmt: skip


def a_revision(owner: ModelDeployment, name: str = "r1", overlay: str = "") -> Revision:
    """What a rollout of version 1 would roll out."""
    return Revision(
        version="heart-v1", revision=name, image="serving:1", predictor=configuration(owner.spec.predictor),
        overlay=overlay,
    )  # fmt: skip


def a_template(predictor_: Json | None = None) -> Json:
    """The pod template of a predictor."""
    owner = an_owner(predictor_)
    return pod.template(owner, a_revision(owner), ARTIFACTS)


def a_deployment(predictor_: Json | None = None, overlay: str = "") -> Json:
    """The Deployment of a predictor."""
    owner = an_owner(predictor_)
    return predictor.deployment(owner, a_revision(owner, overlay=overlay), ARTIFACTS, 2)


def environment(template: Json) -> dict[str, str]:
    """The predictor's."""
    return {each["name"]: each["value"] for each in template["spec"]["containers"][0]["env"]}
