"""The Kubeflow component; its body runs in a process of its own."""

from kfp import dsl

from perennial_components.base import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def split(
    request: str,
    data: dsl.Input[dsl.Dataset],
    rows: dsl.Output[dsl.Dataset],
    signature: dsl.Output[dsl.Artifact],
) -> None:
    """Encodes the rows and holds some of them out, by a hash of their content.

    Args:
        request: JSON of contracts.request.RunRequest.
        data: The rows that ingest read.
        rows: Features, target and side of every row (NumPy).
        signature: What the model takes and answers (JSON of contracts.signature.Signature).
    """
    from perennial_components import storage
    from perennial_components.failure import reported

    with reported("split"):
        from perennial_components.split import core
        from perennial_components.table import read_table
        from perennial_components.tune.auto import chosen

        asked, table = storage.read_request(request), read_table(data.path)
        encoded, found = core.split(asked, table)
        storage.write_arrays(rows.path, encoded)
        storage.write_json(signature.path, found)
        signature.metadata["left_out"] = chosen(asked, table).left_out
        rows.metadata.update({"rows": len(encoded.target), "held_out": int(encoded.held.sum())})
