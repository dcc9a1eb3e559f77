"""After a pipeline of somebody's own: what it made is measured, counted and registered as ours would be."""

from kfp import dsl

from perennial_components.check.component import check
from perennial_components.ingest.component import ingest
from perennial_components.own.component import claim
from perennial_components.pipelines.measured import measured
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
    return measured(request, request, read, prepared, rows, signature, claimed, claimed)
