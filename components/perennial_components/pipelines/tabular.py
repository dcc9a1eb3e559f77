"""Tabular classification and regression: from CSV files to a registered, exported, measured model."""

from kfp import dsl

from perennial_components.baseline.component import baseline
from perennial_components.check.component import check
from perennial_components.evaluate.component import evaluate
from perennial_components.export.component import export
from perennial_components.ingest.component import ingest
from perennial_components.register.component import register
from perennial_components.split.component import split
from perennial_components.tune.component import tune


@dsl.pipeline(name="perennial-tabular", description="Tabular classification and regression")
def tabular(request: str) -> dsl.Artifact:
    """Trains, measures and registers one model.

    Args:
        request: JSON of contracts.request.RunRequest.

    Returns:
        result.json, as it stands in the store.
    """
    read = ingest(request=request).set_caching_options(enable_caching=False)
    data = read.outputs["data"]
    checked = check(request=request, data=data)
    prepared = split(request=request, data=data, sides=read.outputs["sides"]).after(checked)
    rows, signature = prepared.outputs["rows"], prepared.outputs["signature"]
    tuned = tune(request=request, rows=rows, signature=signature)
    exported = export(request=request, rows=rows, signature=signature, model=tuned.outputs["model"])
    evaluated = evaluate(request=request, data=data, rows=rows, signature=signature, served=exported.outputs["served"])
    counted = baseline(
        request=request,
        data=data,
        rows=rows,
        signature=signature,
        predictions=tuned.outputs["predictions"],
        evaluation=evaluated.outputs["evaluation"],
    )
    registered = register(
        request=request,
        ingested=read.outputs["ingested"],
        profile=prepared.outputs["profile"],
        signature=signature,
        tuned=tuned.outputs["tuned"],
        model=tuned.outputs["model"],
        served=exported.outputs["served"],
        parity=exported.outputs["parity"],
        evaluation=evaluated.outputs["evaluation"],
        reference=counted.outputs["reference"],
    ).set_caching_options(enable_caching=False)
    return registered.outputs["result"]
