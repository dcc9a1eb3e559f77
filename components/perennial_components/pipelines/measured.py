"""The end that all our pipelines have: the model is measured, its data are counted, and all is registered."""

from typing import Any

from perennial_components.baseline.component import baseline
from perennial_components.evaluate.component import evaluate
from perennial_components.register.component import register


def measured(
    request: Any, definition: Any, read: Any, prepared: Any, rows: Any, signature: Any, tuned: Any, exported: Any
) -> Any:
    """result.json as it stands in the store. ``read``, ``prepared``, ``tuned`` and ``exported`` are the tasks that made
    the data, their profile, the model and what is served; ``definition`` is the request of those components that
    need not know which run it is.
    """
    data, served = read.outputs["data"], exported.outputs["served"]
    evaluated = evaluate(request=definition, data=data, rows=rows, signature=signature, served=served)
    counted = baseline(
        request=definition,
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
        served=served,
        parity=exported.outputs["parity"],
        evaluation=evaluated.outputs["evaluation"],
        reference=counted.outputs["reference"],
    ).set_caching_options(enable_caching=False)
    return registered.outputs["result"]
