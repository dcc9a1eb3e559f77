"""The Kubeflow component; its body runs in a process of its own."""

from kfp import dsl

from perennial_components.base import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def export(
    request: str,
    rows: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    onnx: dsl.Output[dsl.Model],
    parity: dsl.Output[dsl.Artifact],
) -> None:
    """Converts the fitted model to ONNX and compares both on every row.

    Args:
        request: JSON of contracts.request.RunRequest.
        rows: The encoded rows from split.
        model: The fitted model from tune (skops).
        onnx: The exported model.
        parity: The largest difference found (JSON).
    """
    from perennial_components import storage
    from perennial_components.failure import reported

    with reported("export"):
        from pathlib import Path

        from perennial_components.export import core
        from perennial_components.export.estimator import load_estimator
        from perennial_components.threads import threads_for

        features = storage.read_encoded(rows.path).features
        fitted = load_estimator(model.path)
        exported = core.convert(fitted, features.shape[1], storage.read_request(request).model)
        with threads_for(len(features)):
            found = core.check_parity(fitted, exported, features)
        Path(onnx.path).write_bytes(exported)
        storage.write_json(parity.path, found)
        onnx.metadata.update({"framework": "onnx", "parity": found.difference})
