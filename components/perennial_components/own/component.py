"""The Kubeflow component; its body runs in a process of its own."""

from kfp import dsl

from perennial_components.base import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def claim(
    request: str,
    data: dsl.Input[dsl.Dataset],
    rows: dsl.Input[dsl.Dataset],
    signature: dsl.Input[dsl.Artifact],
    its_rows: dsl.Output[dsl.Dataset],
    its_signature: dsl.Output[dsl.Artifact],
    model: dsl.Output[dsl.Model],
    served: dsl.Output[dsl.Model],
    tuned: dsl.Output[dsl.Artifact],
    parity: dsl.Output[dsl.Artifact],
    predictions: dsl.Output[dsl.Dataset],
) -> None:
    """Takes what a pipeline of somebody's own left, verifies it, and asks its model for the rows held out.

    Args:
        request: JSON of contracts.request.RunRequest.
        data: The rows that ingest read.
        rows: The encoded rows from split.
        signature: The signature from split.
        its_rows: The rows encoded by its own signature.
        its_signature: The signature that it gave.
        model: Its estimator (skops); empty where it has none.
        served: Its model as it will be served.
        tuned: What it says of itself (JSON).
        parity: Whether it is ONNX.
        predictions: Its answers for the rows held out (NumPy).
    """
    from perennial_components import storage
    from perennial_components.failure import reported

    with reported("claim"):
        from pathlib import Path

        from perennial.contracts.signature import Signature
        from perennial_components.own import core
        from perennial_components.table import read_table

        found = core.claim(
            storage.read_request(request),
            read_table(data.path),
            storage.read_encoded(rows.path),
            storage.read_json(signature.path, Signature),
            storage.credentials(),
        )
        storage.write_arrays(its_rows.path, found.rows)
        storage.write_json(its_signature.path, found.signature)
        Path(model.path).write_bytes(found.estimator or b"")
        Path(served.path).write_bytes(found.model)
        storage.write_json(tuned.path, found.tuned)
        storage.write_json(parity.path, found.parity)
        storage.write_arrays(predictions.path, found.predictions)
