"""The Kubeflow component; its body runs in a process of its own."""

from kfp import dsl

from perennial_components.base import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def register(
    request: str,
    ingested: dsl.Input[dsl.Artifact],
    profile: dsl.Input[dsl.Artifact],
    signature: dsl.Input[dsl.Artifact],
    tuned: dsl.Input[dsl.Artifact],
    model: dsl.Input[dsl.Model],
    served: dsl.Input[dsl.Model],
    parity: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    reference: dsl.Input[dsl.Artifact],
    result: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Uploads the run's files, the report among them, and result.json last.

    Args:
        request: JSON of contracts.request.RunRequest.
        ingested: Digest, rows and columns from ingest.
        profile: What the columns hold, from split.
        signature: The signature from split.
        tuned: The candidates' scores from tune.
        model: The fitted model (skops).
        served: The model as it will be served.
        parity: The difference that export found, and whether it is ONNX.
        evaluation: What evaluate measured.
        reference: The baseline.
        result: The run's account (JSON of contracts.result.RunResult).
        report: The account as a page for people.
    """
    from perennial_components import storage
    from perennial_components.failure import reported

    with reported("register"):
        from pathlib import Path

        import msgspec

        from perennial.contracts import names
        from perennial.contracts import result as contract
        from perennial.contracts.baseline import Baseline
        from perennial.contracts.signature import Signature
        from perennial_components import records
        from perennial_components.register import core
        from perennial_components.report.page import render

        read = storage.read_json(ingested.path, records.Ingested)
        seen = storage.read_json(profile.path, records.Profile)
        account = records.Account(
            request=storage.read_request(request),
            ingested=read,
            profile=msgspec.structs.replace(seen, dropped=read.rows - seen.rows),
            signature=storage.read_json(signature.path, Signature),
            tuned=storage.read_json(tuned.path, records.Tuned),
            parity=storage.read_json(parity.path, records.Parity),
            evaluation=storage.read_json(evaluation.path, records.Evaluation),
            left_out=signature.metadata.get("left_out", {}),
        )
        page = render(account, storage.read_json(reference.path, Baseline))
        Path(report.path).write_text(page, encoding="utf-8")
        files = {
            names.FILE_SIGNATURE: Path(signature.path).read_bytes(),
            names.FILE_BASELINE: Path(reference.path).read_bytes(),
            names.FILE_REPORT: page.encode(),
            contract.FILE_REQUEST: msgspec.json.encode(account.request, order="deterministic"),
            contract.FILE_TRIALS: msgspec.json.encode(account.tuned.trials, order="deterministic"),
        }
        if estimator := Path(model.path).read_bytes():
            files[names.FILE_SKOPS] = estimator
        if not account.parity.reason:
            files[names.FILE_MODEL] = Path(served.path).read_bytes()
        content, written = core.register(account, files, storage.credentials(), page)
        Path(result.path).write_bytes(content)
        result.metadata.update({"uri": written.uri, "sha256": written.sha256})
