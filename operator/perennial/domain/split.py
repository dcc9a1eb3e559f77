"""How rows were held out, as a version's record keeps it."""

from perennial.api.version import ByTimeRecord, SplitRecord
from perennial.contracts.request import ByTime, Split


def split_record(given: Split) -> SplitRecord:
    """``given`` as a version's record keeps it."""
    by_time = given.by_time
    return SplitRecord(
        test=given.test,
        seed=given.seed,
        key=list(given.key),
        group=given.group or None,
        by_time=ByTimeRecord.model_validate({"column": by_time.column, "from": by_time.start}) if by_time else None,
    )


def recorded_split(record: SplitRecord) -> Split:
    """What :func:`split_record` made the record of."""
    by_time = record.by_time
    return Split(
        test=record.test,
        seed=record.seed,
        key=tuple(record.key),
        group=record.group or "",
        by_time=ByTime(by_time.column, by_time.from_) if by_time else None,
    )
