"""The Kubeflow component; its body runs in a process of its own."""

from kfp import dsl

from perennial_components.base import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def choose(
    request: str,
    rows: dsl.Input[dsl.Dataset],
    signature: dsl.Input[dsl.Artifact],
    shares: int,
    model: dsl.Output[dsl.Model],
    tuned: dsl.Output[dsl.Artifact],
    predictions: dsl.Output[dsl.Dataset],
) -> None:
    """Fits the best setting that the shares of the search have found on all training rows.

    Args:
        request: JSON of contracts.request.RunRequest.
        rows: The encoded rows from split.
        signature: The signature from split.
        shares: How many shares the search had.
        model: The fitted winner (skops).
        tuned: Every candidate's best parameters and score, and all trials (JSON).
        predictions: The winner's out-of-fold predictions (NumPy).
    """
    from perennial_components import storage
    from perennial_components.failure import reported

    with reported("tune", unexpected="TrainingFailed"):
        from pathlib import Path

        from perennial.contracts.signature import Signature
        from perennial_components.export.estimator import save_estimator
        from perennial_components.search import files
        from perennial_components.tune import core
        from perennial_components.tune.file import canonical

        asked = storage.read_request(request)
        given = Path(rows.path).read_bytes(), Path(signature.path).read_bytes()
        known, encoded = storage.read_json(signature.path, Signature), storage.read_encoded(rows.path)
        # A share that the store has lost meanwhile is searched here.
        shared = [
            files.collect(files.address(asked, *given, number, shares))
            or core.search(asked, known, encoded, (number, shares))
            for number in range(shares)
        ]
        fitted, found, out_of_fold = core.tune(asked, known, encoded, found=shared)
        save_estimator(fitted, model.path)
        Path(model.path).write_bytes(canonical(Path(model.path).read_bytes()))
        storage.write_json(tuned.path, found)
        storage.write_arrays(predictions.path, out_of_fold)
        best = found.candidates[found.winner]
        model.metadata.update({"framework": "scikit-learn", "algorithm": best.algorithm, "score": best.score})
