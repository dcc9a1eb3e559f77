"""As tabular, for Kubeflow Pipelines: the search in many pods, and each component but the first and the last from the
cache where it was run on the same data for the same definition.
"""

from kfp import dsl

from perennial_components.check.component import check
from perennial_components.choose.component import choose
from perennial_components.export.component import export
from perennial_components.known.component import known
from perennial_components.look.component import look
from perennial_components.pipelines.measured import measured
from perennial_components.search.component import search
from perennial_components.split.component import split


# A graph of its own: servers of 2.0 let nothing wait for a loop.
@dsl.pipeline(name="perennial-search")
def spread(
    request: str,
    rows: dsl.Input[dsl.Dataset],
    signature: dsl.Input[dsl.Artifact],
    share_numbers: list[int],
    shares: int,
) -> None:
    """Searches in as many pods as there are shares.

    Args:
        request: JSON of contracts.request.RunRequest.
        rows: The encoded rows from split.
        signature: The signature from split.
        share_numbers: 0, 1, … one for each share of the search.
        shares: How many there are.
    """
    with dsl.ParallelFor(share_numbers, name="shares") as number:
        search(request=request, rows=rows, signature=signature, share=number, shares=shares)


@dsl.pipeline(name="perennial-kubeflow", description="Tabular classification and regression, spread over pods")
def kubeflow(request: str, definition: str, share_numbers: list[int], shares: int) -> dsl.Artifact:
    """Trains, measures and registers one model.

    Args:
        request: JSON of contracts.request.RunRequest.
        definition: The same without what differs from run to run of one definition.
        share_numbers: 0, 1, … one for each share of the search.
        shares: How many there are.

    Returns:
        result.json, as it stands in the store.
    """
    looked = look(request=definition).set_caching_options(enable_caching=False)
    # No display names: servers of 2.0 look for a task by them.
    read = known(request=definition, digest=looked.output)
    data = read.outputs["data"]
    checked = check(request=definition, data=data)
    prepared = split(request=definition, data=data, sides=read.outputs["sides"]).after(checked)
    rows, signature = prepared.outputs["rows"], prepared.outputs["signature"]
    searched = spread(request=definition, rows=rows, signature=signature, share_numbers=share_numbers, shares=shares)
    tuned = choose(request=definition, rows=rows, signature=signature, shares=shares).after(searched)
    exported = export(request=definition, rows=rows, signature=signature, model=tuned.outputs["model"])
    return measured(request, definition, read, prepared, rows, signature, tuned, exported)
