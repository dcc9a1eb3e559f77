"""How rows were held out, as a version's record keeps it, and in what two versions differ there."""

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


def split_difference(its: Split, own: Split) -> str:
    """The settings in which ``its`` differs from ``own``, for people; empty where they are the same."""
    said = []
    if its.test != own.test:
        said.append(f"test {its.test:g}, now {own.test:g}")
    if its.seed != own.seed:
        said.append(f"seed {its.seed}, now {own.seed}")
    pairs = (
        ("key", ", ".join(its.key), ", ".join(own.key)),
        ("group", its.group, own.group),
        ("byTime", _told(its.by_time), _told(own.by_time)),
    )
    said += [f"{name} {before or 'none'}, now {now or 'none'}" for name, before, now in pairs if before != now]
    return "; ".join(said)


def _told(by_time: ByTime | None) -> str:
    return f"{by_time.column} from {by_time.start}" if by_time else ""
