"""The Kubeflow component; its body runs in a process of its own."""

from kfp import dsl

from perennial_components.base import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def known(
    request: str,
    digest: str,
    data: dsl.Output[dsl.Dataset],
    sides: dsl.Output[dsl.Dataset],
    ingested: dsl.Output[dsl.Artifact],
) -> None:
    """Takes in the rows whose digest is known, and prepares them: for the same digest it may come from a cache.

    Args:
        request: JSON of contracts.request.RunRequest.
        digest: The SHA-256 of the rows' content, from look.
        data: The rows that the preparation leaves, cells as text (Parquet).
        sides: Which of them are held out, by the columns as they were read (NumPy).
        ingested: Digest, rows, columns and their types (JSON).
    """
    from perennial_components import storage
    from perennial_components.failure import RunError, reported

    with reported("ingest"):
        from perennial_components.ingest import core
        from perennial_components.prepare.rows import prepare_rows
        from perennial_components.split import sides as by
        from perennial_components.table import write_table
        from perennial_components.tune.replay import require_same_data

        asked = storage.read_request(request)
        table, found = core.ingest(asked, storage.credentials())
        if found.sha256 != digest:
            raise RunError(
                "DataUnavailable", "the data changed while the run was reading them: it reads them once more"
            )
        require_same_data(asked, found.sha256)
        prepared, places = prepare_rows(asked.prepare, table)
        found_sides = by.sides(asked, table, places)
        write_table(prepared, data.path)
        storage.write_arrays(sides.path, found_sides)
        storage.write_json(ingested.path, found)
        data.metadata.update({"rows": found.rows, "files": found.files, "sha256": found.sha256})
