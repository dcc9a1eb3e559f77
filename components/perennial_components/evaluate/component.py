"""The Kubeflow component; its body runs in a process of its own."""

from kfp import dsl

from perennial_components.base import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def evaluate(
    request: str,
    data: dsl.Input[dsl.Dataset],
    rows: dsl.Input[dsl.Dataset],
    signature: dsl.Input[dsl.Artifact],
    served: dsl.Input[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
    evaluation: dsl.Output[dsl.Artifact],
) -> None:
    """Measures the served model on held-out rows, by slice, and beside the champion.

    Args:
        request: JSON of contracts.request.RunRequest.
        data: The rows that ingest read.
        rows: The encoded rows from split.
        signature: The signature from split.
        served: The model as it will be served.
        metrics: The overall metrics.
        confusion: How often each class was taken for each; empty of a Regression.
        evaluation: Everything measured (JSON).
    """
    from perennial_components import storage
    from perennial_components.failure import reported

    with reported("evaluate"):
        from pathlib import Path

        from perennial.contracts.signature import Signature
        from perennial_components.evaluate import core
        from perennial_components.table import read_table

        its = storage.read_json(signature.path, Signature)
        found = core.evaluate(
            storage.read_request(request),
            read_table(data.path),
            storage.read_encoded(rows.path),
            its,
            Path(served.path).read_bytes(),
            core.verified_reader(storage.credentials()),
        )
        storage.write_json(evaluation.path, found)
        for name, value in found.metrics.items():
            metrics.log_metric(name, value)
        if found.confusion:
            confusion.log_confusion_matrix(list(its.classes), [list(row) for row in found.confusion])
