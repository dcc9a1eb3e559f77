"""After a pipeline of somebody's own: what it made is measured, counted and registered as ours would be."""

from kfp import dsl

from perennial_components.baseline.component import baseline
from perennial_components.check.component import check
from perennial_components.evaluate.component import evaluate
from perennial_components.ingest.component import ingest
from perennial_components.own.component import claim
from perennial_components.register.component import register
from perennial_components.split.component import split


@dsl.pipeline(name="perennial-own", description="Measures and registers what somebody's own pipeline has made")
def own(request: str) -> dsl.Artifact:
    """Measures and registers the model that is claimed.

    Args:
        request: JSON of contracts.request.RunRequest.

    Returns:
        result.json, as it stands in the store.
    """
    read = ingest(request=request).set_caching_options(enable_caching=False)
    data = read.outputs["data"]
    checked = check(request=request, data=data)
    prepared = split(request=request, data=data, sides=read.outputs["sides"]).after(checked)
    claimed = claim(
        request=request, data=data, rows=prepared.outputs["rows"], signature=prepared.outputs["signature"]
    ).set_caching_options(enable_caching=False)
    rows, signature = claimed.outputs["its_rows"], claimed.outputs["its_signature"]
    evaluated = evaluate(request=request, data=data, rows=rows, signature=signature, served=claimed.outputs["served"])
    counted = baseline(
        request=request,
        data=data,
        rows=rows,
        signature=signature,
        predictions=claimed.outputs["predictions"],
        evaluation=evaluated.outputs["evaluation"],
    )
    registered = register(
        request=request,
        ingested=read.outputs["ingested"],
        profile=prepared.outputs["profile"],
        signature=signature,
        tuned=claimed.outputs["tuned"],
        model=claimed.outputs["model"],
        served=claimed.outputs["served"],
        parity=claimed.outputs["parity"],
        evaluation=evaluated.outputs["evaluation"],
        reference=counted.outputs["reference"],
    ).set_caching_options(enable_caching=False)
    return registered.outputs["result"]
