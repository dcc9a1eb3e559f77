"""The Kubeflow component; its body runs in a process of its own."""

from kfp import dsl

from perennial_components.base import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def ingest(request: str, data: dsl.Output[dsl.Dataset], ingested: dsl.Output[dsl.Artifact]) -> None:
    """Takes in the rows of the request; never cached, for the data changes behind one address.

    Args:
        request: JSON of contracts.request.RunRequest.
        data: All rows, cells as text (Parquet).
        ingested: Digest, rows, columns and their types (JSON).
    """
    from perennial_components import storage
    from perennial_components.failure import reported

    with reported("ingest"):
        from perennial_components.ingest import core
        from perennial_components.table import write_table
        from perennial_components.tune.replay import require_same_data

        asked = storage.read_request(request)
        table, found = core.ingest(asked, storage.credentials())
        require_same_data(asked, found.sha256)
        write_table(table, data.path)
        storage.write_json(ingested.path, found)
        data.metadata.update({"rows": found.rows, "files": found.files, "sha256": found.sha256})
