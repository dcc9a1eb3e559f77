"""Which of several ModelTrainings of one model may work: the oldest."""

from collections.abc import Sequence

from perennial.api.training import ModelTraining


def taken_by(training: ModelTraining, others: Sequence[ModelTraining]) -> str:
    """The name of the older ModelTraining that the model belongs to; empty where it is ``training``'s own.

    One that is being deleted has no say.
    """

    def age(each: ModelTraining) -> tuple[str, str]:
        created = each.metadata.creation_timestamp
        return created.isoformat() if created else "", each.metadata.name

    rivals = [
        each
        for each in others
        if each.spec.model == training.spec.model and each.metadata.uid and each.metadata.deletion_timestamp is None
    ]
    oldest = min([training, *rivals], key=age)
    return "" if oldest.metadata.uid == training.metadata.uid else oldest.metadata.name
