"""A person's request to ask Kubeflow Pipelines whether it would take a run: the condition ``Kubeflow`` is the answer.

It starts no run, and is answered while one is under way, or spec.suspend is true. The condition says what was so when
somebody last asked; it goes with the engine.
"""

from perennial.api.training import ModelTraining
from perennial.domain.conditions import Truth, condition, without
from perennial.domain.training import triggers
from perennial.domain.training.state import Draft

CONDITION = "Kubeflow"


def wanted(training: ModelTraining) -> triggers.Request | None:
    """The request, where one waits."""
    request = triggers.requested(training)
    return request if request and request.verb == triggers.CHECK and not request.refusal else None


def answer(draft: Draft) -> bool:
    """Answers the request, if one waits; whether it did.

    Nothing else is to be done with it: where Kubeflow lets nothing through, a run's step is refused, and what was
    decided beside that step is not written.
    """
    training, request = draft.training, wanted(draft.training)
    if request is None:
        return False
    if training.spec.engine.type != "Kubeflow":
        triggers.refuse(draft, request, f"spec.engine.type is {training.spec.engine.type}: no Kubeflow is used")
    elif (found := draft.snapshot.kubeflow.checked) is not None:
        truth: Truth = "True" if found.works else "False"
        conditions = condition(
            draft.status.conditions, CONDITION, truth, found.reason, found.message,
            generation=training.metadata.generation, now=draft.now,
        )  # fmt: skip
        draft.set(conditions=conditions, handled_request=request.id)
    else:
        return False
    draft.again(0.0)
    return True


def forget(draft: Draft) -> None:
    """Takes the condition away where no Kubeflow is used any more."""
    if draft.training.spec.engine.type != "Kubeflow":
        draft.set(conditions=without(draft.status.conditions, CONDITION))
