"""The Kubeflow component; its body runs in a process of its own."""

from kfp import dsl

from perennial_components.base import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def tune(
    request: str,
    rows: dsl.Input[dsl.Dataset],
    signature: dsl.Input[dsl.Artifact],
    model: dsl.Output[dsl.Model],
    tuned: dsl.Output[dsl.Artifact],
    predictions: dsl.Output[dsl.Dataset],
) -> None:
    """Searches the candidates' parameters by cross-validation and fits the best on all training rows.

    Args:
        request: JSON of contracts.request.RunRequest.
        rows: The encoded rows from split.
        signature: The signature from split.
        model: The fitted winner (skops).
        tuned: Every candidate's best parameters and score, and all trials (JSON).
        predictions: The winner's out-of-fold predictions (NumPy).
    """
    from perennial_components import storage
    from perennial_components.failure import reported

    with reported("tune", unexpected="TrainingFailed"):
        from pathlib import Path

        from perennial.contracts.signature import Signature
        from perennial_components import progress
        from perennial_components.export.estimator import save_estimator
        from perennial_components.tune import core
        from perennial_components.tune.file import canonical

        asked = storage.read_request(request)
        fitted, found, out_of_fold = core.tune(
            asked,
            storage.read_json(signature.path, Signature),
            storage.read_encoded(rows.path),
            lambda trial, trials, best: progress.searching(trial, trials, asked.metric, best),
        )
        save_estimator(fitted, model.path)
        Path(model.path).write_bytes(canonical(Path(model.path).read_bytes()))
        storage.write_json(tuned.path, found)
        storage.write_arrays(predictions.path, out_of_fold)
        best = found.candidates[found.winner]
        model.metadata.update({"framework": "scikit-learn", "algorithm": best.algorithm, "score": best.score})
