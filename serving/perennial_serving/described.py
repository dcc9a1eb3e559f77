"""What every protocol says about the server and its model."""

from typing import Any

from perennial.contracts.names import FILE_MODEL, FILE_SKOPS
from perennial_serving import __version__
from perennial_serving.inference import OUTPUTS, Inference

_PLATFORMS = {FILE_MODEL: "onnxruntime_onnx", FILE_SKOPS: "sklearn_skops"}
EXTENSIONS = ("binary_tensor_data", "model_repository")


def server() -> dict[str, Any]:
    """Name, version and extensions."""
    return {"name": "perennial", "version": __version__, "extensions": list(EXTENSIONS)}


def inputs(inference: Inference) -> list[dict[str, Any]]:
    """A tensor [N] for each feature; ``parameters`` has the categories of one that has any."""
    tensors: list[dict[str, Any]] = []
    for item in inference.model.signature.inputs:
        if item.kind == "Categorical":
            categories = {"parameters": {"categories": item.categories}}
            tensors.append({"name": item.name, "datatype": "BYTES", "shape": [-1], **categories})
        else:
            datatype = "BYTES" if item.wide else "FP64"
            tensors.append({"name": item.name, "datatype": datatype, "shape": [-1]})
    return tensors


def outputs(inference: Inference) -> list[dict[str, Any]]:
    """The tensors [N] that are answered; tokens where a key is mounted."""
    return [
        {"name": name, "datatype": "FP64" if name in {"probability", "prediction"} else "BYTES", "shape": [-1]}
        for name in OUTPUTS[inference.model.signature.task]
        if name != "feedback_token" or inference.feedback.enabled
    ]


def model(inference: Inference) -> dict[str, Any]:
    """The model's metadata as the Open Inference Protocol has it."""
    return {
        "name": inference.settings.model,
        "versions": [inference.settings.version],
        "platform": _PLATFORMS[inference.model.scorer.file],
        "inputs": inputs(inference),
        "outputs": outputs(inference),
    }


def index(inference: Inference, *, ready: bool, only_ready: bool) -> list[dict[str, str]]:
    """The model repository as Triton's extension has it; ``ready``: whether the model is."""
    if only_ready and not ready:
        return []
    state, reason = ("READY", "") if ready else ("UNAVAILABLE", "draining")
    settings = inference.settings
    return [{"name": settings.model, "version": settings.version, "state": state, "reason": reason}]
