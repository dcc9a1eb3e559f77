"""Tabular classification and regression: from CSV files to a registered, exported, measured model."""

from kfp import dsl

from perennial_components.check.component import check
from perennial_components.export.component import export
from perennial_components.ingest.component import ingest
from perennial_components.pipelines.measured import measured
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
    return measured(request, request, read, prepared, rows, signature, tuned, exported)
