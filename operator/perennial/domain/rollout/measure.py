"""What a measurement does to a rollout: it is counted, and it ends the rollout where a limit is exceeded."""

from perennial.api.deployment import Measurement, Revision
from perennial.domain.analysis.judge import KEPT, Unavailable, judge, next_analysis, request_share
from perennial.domain.rollout.end import fail
from perennial.domain.rollout.quarantine import ROLLOUT_FAILED
from perennial.domain.rollout.state import Draft


def take_measurement(draft: Draft, stable: Revision) -> bool:
    """Counts the measurement that was made, if one was due. False when it ended the rollout."""
    rollout, analysis, measured = draft.under_way, draft.spec.rollout.analysis, draft.snapshot.measured
    if measured is None or measured.revision != rollout.target.revision or draft.now < next_analysis(rollout, analysis):
        return True
    found = judge(analysis, measured, rollout.target.version, draft.now)
    results = {each.result for each in found}
    bad, unsure = "Fail" in results, "Inconclusive" in results
    away = isinstance(measured, Unavailable)
    draft.update(
        last_analysis=draft.now,
        measurements=[*found, *rollout.measurements][:KEPT],
        passed=rollout.passed + (results == {"Pass"}),
        failed=rollout.failed + bad,
        inconclusive=rollout.inconclusive + (unsure and not bad),
        no_data=rollout.no_data if away else rollout.no_data + 1 if "NoData" in results else 0,
    )
    share = request_share(measured, stable.version, rollout.target.version)
    draft.traffic = draft.traffic.model_copy(update={"request_share": share})
    return _within_limits(draft, found)


def failing(draft: Draft) -> list[Measurement]:
    """The metrics whose newest measurement is bad."""
    newest: dict[str, Measurement] = {}
    for each in draft.under_way.measurements:
        newest.setdefault(each.name, each)
    return [each for each in newest.values() if each.result == "Fail"]


def comparison(measurement: Measurement) -> str:
    """A measurement in words: what it was, and what it should have been."""
    if measurement.value is None:
        return f"{measurement.name}: {measurement.message}"
    bounds = [] if measurement.max is None else [f"limit {measurement.max:g}"]
    bounds += [] if measurement.min is None else [f"at least {measurement.min:g}"]
    text = ", ".join([f"{measurement.name} was {measurement.value:g}", *bounds])
    return f"{text} ({measurement.message})" if measurement.message else text


def _within_limits(draft: Draft, found: list[Measurement]) -> bool:
    rollout, analysis = draft.under_way, draft.spec.rollout.analysis
    bad = [each for each in found if each.result == "Fail"]
    text = ", ".join(map(comparison, bad))
    if bad and rollout.failed > analysis.failure_limit:
        fail(draft, ROLLOUT_FAILED, f"{text} in {rollout.failed} measurements, {analysis.failure_limit} let pass")
        return False
    if bad:
        counted = f"{rollout.failed} of {analysis.failure_limit} let pass"
        draft.event("Warning", "MeasurementFailed", f"{rollout.target.version}: {text}; {counted}")
    if analysis.no_data_limit is not None and rollout.no_data > analysis.no_data_limit:
        missing = ", ".join(each.name for each in found if each.result == "NoData")
        waited = f"{rollout.no_data} intervals in a row, {analysis.no_data_limit} are waited out"
        fail(draft, "NoData", f"no data for {missing} in {waited}")
        return False
    return True
