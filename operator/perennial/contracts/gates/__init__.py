"""Gates: what a version must show before it is fit to serve. Fails closed: what cannot be judged has not passed.

A run judges itself by these functions for its report, and the operator judges it by the same ones: it believes the
figures that a run measured, never the run's verdict.
"""

from perennial.contracts.gates.bounds import judge
from perennial.contracts.gates.champion import compare
from perennial.contracts.gates.fairness import between
from perennial.contracts.gates.judged import Judged, Measured, Met, Verdict
from perennial.contracts.request import Champion, Gates, Split

__all__ = ["Judged", "Measured", "Met", "Verdict", "between", "compare", "evaluate", "judge"]


def evaluate(gates: Gates, champion: Champion | None, split: Split, measured: Measured) -> Verdict:
    """The verdict on what was ``measured``. ``champion`` is the one to be met, ``split`` the run's own."""
    bounds = [judge(gate, measured.metrics, measured.slices) for gate in gates.bounds]
    fairness = [between(gate, measured.slices) for gate in gates.fairness]
    met = compare(champion, split, measured.metrics, measured.champion) if champion else None
    return Verdict((*bounds, *fairness), met)
