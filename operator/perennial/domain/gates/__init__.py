"""Gates: what a version must show before it is fit to serve. Fails closed: what cannot be judged has not passed."""

from dataclasses import dataclass

from perennial.api.evaluation import Evaluation
from perennial.api.version import ChampionRecord, GateRecord
from perennial.contracts.request import Champion, Split
from perennial.contracts.result import RunResult
from perennial.domain.gates.bounds import judge
from perennial.domain.gates.champion import compare
from perennial.domain.gates.fairness import between

__all__ = ["Verdict", "between", "compare", "evaluate", "judge"]


@dataclass(frozen=True)
class Verdict:
    """The gates' records in the spec's order, fairness last, and the champion's (None where none is to be met)."""

    gates: tuple[GateRecord, ...]
    champion: ChampionRecord | None = None

    @property
    def passed(self) -> bool:
        """Whether the version is fit to serve; an inconclusive comparison keeps nobody out."""
        return not self.failures and not self.champion_kept

    @property
    def failures(self) -> tuple[GateRecord, ...]:
        """The gates that failed."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def champion_kept(self) -> bool:
        """Whether the deployed version was found to be better, or the new one is not as surely so as it has to be."""
        return self.champion is not None and self.champion.verdict in {"Worse", "Unproven"}

    @property
    def message(self) -> str:
        """What kept the version out, for people; empty where it passed."""
        reasons = [gate.message for gate in self.failures]
        if self.champion is not None and self.champion_kept:
            reasons.append(self.champion.message)
        return "; ".join(reasons)


def evaluate(evaluation: Evaluation, result: RunResult, champion: Champion | None, split: Split) -> Verdict:
    """The verdict on ``result``. ``champion`` is the one that the run was asked to meet, ``split`` the run's own."""
    bounds = [judge(gate, result) for gate in evaluation.gates]
    fairness = [between(gate, result.slices) for gate in evaluation.fairness]
    return Verdict(
        gates=(*bounds, *fairness),
        champion=compare(evaluation.champion, result, champion, split) if evaluation.champion and champion else None,
    )
