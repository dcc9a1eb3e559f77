"""The Kubeflow component; its body runs in a process of its own."""

from kfp import dsl

from perennial_components.base import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def export(
    request: str,
    rows: dsl.Input[dsl.Dataset],
    signature: dsl.Input[dsl.Artifact],
    model: dsl.Input[dsl.Model],
    served: dsl.Output[dsl.Model],
    parity: dsl.Output[dsl.Artifact],
) -> None:
    """Converts the fitted model to ONNX and compares both on every row; where that fails, it is served as it is.

    Args:
        request: JSON of contracts.request.RunRequest.
        rows: The encoded rows from split.
        signature: The signature from split.
        model: The fitted model from tune (skops).
        served: The model as it will be served (ONNX, or skops).
        parity: The largest difference found, and why it is not ONNX (JSON).
    """
    from perennial_components import storage
    from perennial_components.failure import reported

    with reported("export"):
        from pathlib import Path

        from perennial.contracts.signature import Signature
        from perennial_components.export import core
        from perennial_components.export.estimator import load_estimator
        from perennial_components.threads import threads_for

        asked, encoded = storage.read_request(request), storage.read_encoded(rows.path)
        spread = float(encoded.target.std()) if asked.task == "Regression" else None
        known = storage.read_json(signature.path, Signature)
        fitted = load_estimator(model.path)
        with threads_for(len(encoded.features)):
            exported, found = core.export(asked, known, fitted, encoded.features, spread)
        Path(served.path).write_bytes(Path(model.path).read_bytes() if exported is None else exported)
        storage.write_json(parity.path, found)
        compared = {} if found.difference is None else {"parity": found.difference}
        served.metadata.update({"framework": "skops" if exported is None else "onnx", **compared})
