"""The Kubeflow component; its body runs in a process of its own."""

from kfp import dsl

from perennial_components.base import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def baseline(
    request: str,
    data: dsl.Input[dsl.Dataset],
    rows: dsl.Input[dsl.Dataset],
    signature: dsl.Input[dsl.Artifact],
    predictions: dsl.Input[dsl.Dataset],
    evaluation: dsl.Input[dsl.Artifact],
    reference: dsl.Output[dsl.Artifact],
) -> None:
    """Counts what training data and predictions looked like, in the bins that serving counts.

    Args:
        request: JSON of contracts.request.RunRequest.
        data: The rows that ingest read.
        rows: The encoded rows from split.
        signature: The signature from split.
        predictions: The out-of-fold predictions from tune.
        evaluation: What evaluate measured.
        reference: The baseline (JSON of contracts.baseline.Baseline).
    """
    from perennial_components import storage
    from perennial_components.failure import reported

    with reported("baseline"):
        from perennial.contracts.signature import Signature
        from perennial_components.baseline import core
        from perennial_components.records import Evaluation
        from perennial_components.table import read_table

        found = core.baseline(
            read_table(data.path),
            storage.read_encoded(rows.path),
            storage.read_json(signature.path, Signature),
            storage.read_out_of_fold(predictions.path),
            storage.read_json(evaluation.path, Evaluation),
            storage.read_request(request).time,
        )
        storage.write_json(reference.path, found)
