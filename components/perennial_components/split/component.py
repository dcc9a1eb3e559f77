"""The Kubeflow component; its body runs in a process of its own."""

from kfp import dsl

from perennial_components.base import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def split(
    request: str,
    data: dsl.Input[dsl.Dataset],
    sides: dsl.Input[dsl.Dataset],
    rows: dsl.Output[dsl.Dataset],
    signature: dsl.Output[dsl.Artifact],
    profile: dsl.Output[dsl.Artifact],
) -> None:
    """Encodes the rows and looks at what they hold.

    Args:
        request: JSON of contracts.request.RunRequest.
        data: The rows from ingest.
        sides: Which of them are held out, from ingest.
        rows: Features, target and side of every row (NumPy).
        signature: What the model takes and answers (JSON of contracts.signature.Signature).
        profile: What the columns hold, and what looks wrong about it (JSON).
    """
    from perennial_components import storage
    from perennial_components.failure import reported

    with reported("split"):
        from perennial_components.check.profile import profile_of
        from perennial_components.split import core
        from perennial_components.table import read_table
        from perennial_components.tune.auto import chosen

        asked, table = storage.read_request(request), read_table(data.path)
        encoded, found = core.split(asked, table, storage.read_sides(sides.path))
        storage.write_arrays(rows.path, encoded)
        storage.write_json(signature.path, found)
        storage.write_json(profile.path, profile_of(asked, table, encoded, found))
        signature.metadata["left_out"] = chosen(asked, table).left_out
        rows.metadata.update({"rows": len(encoded.target), "held_out": int(encoded.held.sum())})
