"""The Kubeflow component; its body runs in a process of its own."""

from kfp import dsl

from perennial_components.base import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def check(request: str, data: dsl.Input[dsl.Dataset], checked: dsl.Output[dsl.Artifact]) -> None:
    """Refuses data that fails a declared check or cannot be learned from.

    Args:
        request: JSON of contracts.request.RunRequest.
        data: The rows that ingest read.
        checked: What was checked (JSON).
    """
    from perennial_components import storage
    from perennial_components.failure import reported

    with reported("check"):
        from perennial_components.check import core
        from perennial_components.table import read_table

        found = core.check(storage.read_request(request), read_table(data.path))
        storage.write_json(checked.path, found)
