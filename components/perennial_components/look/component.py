"""The Kubeflow component; its body runs in a process of its own."""

from kfp import dsl

from perennial_components.base import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def look(request: str) -> str:
    """Looks at the rows of the request; never cached, for the data changes behind one address.

    Args:
        request: JSON of contracts.request.RunRequest.

    Returns:
        The SHA-256 of the rows' content.
    """
    from perennial_components import storage
    from perennial_components.failure import reported

    with reported("look"):
        from perennial_components.ingest import core

        _, found = core.ingest(storage.read_request(request), storage.credentials())
    return found.sha256
