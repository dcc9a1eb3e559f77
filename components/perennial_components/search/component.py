"""The Kubeflow component; its body runs in a process of its own."""

from kfp import dsl

from perennial_components.base import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def search(
    request: str,
    rows: dsl.Input[dsl.Dataset],
    signature: dsl.Input[dsl.Artifact],
    share: int,
    shares: int,
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Tries one share of the candidates' settings by cross-validation, and leaves what it found in the store.

    Args:
        request: JSON of contracts.request.RunRequest.
        rows: The encoded rows from split.
        signature: The signature from split.
        share: Which share it is, from 0.
        shares: How many shares there are.
        metrics: The best score of this share.
    """
    from perennial_components import storage
    from perennial_components.failure import reported

    with reported("search", unexpected="TrainingFailed"):
        from pathlib import Path

        from perennial.contracts.signature import Signature
        from perennial_components.search import files
        from perennial_components.tune import core

        asked = storage.read_request(request)
        given = Path(rows.path).read_bytes(), Path(signature.path).read_bytes()
        known = storage.read_json(signature.path, Signature)
        found = core.search(asked, known, storage.read_encoded(rows.path), (share, shares))
        files.leave(files.address(asked, *given, share, shares), found)
        metrics.log_metric("trials", len(found.trials))
        for best in found.candidates:
            metrics.log_metric(f"{asked.metric} of {best.algorithm}", best.score)
