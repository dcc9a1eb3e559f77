"""Renders a monitor's story as one HTML page that loads nothing from anywhere."""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from perennial.api.drift import MonitorSpec, Performance
from perennial.api.verdict import MonitorStatus, PerformanceEvidence, SignalEvidence
from perennial.contracts.baseline import LABEL, PREDICTION
from perennial.contracts.result import LOWER_IS_BETTER
from perennial.domain.drift.evidence import title
from perennial.domain.drift.performance import ERRORS, JUDGED, RISE_LET_PASS, SHARE_LET_PASS, too_few, worst
from perennial.domain.drift.story import FeatureStory, Story
from perennial.render.report import shapes, words
from perennial.render.report.deeds import deeds, stale, strip, timeline
from perennial.render.report.kept import head

if TYPE_CHECKING:
    import jinja2

PLOTTED = 60
"""Features with charts; with more of them a ConfigMap would not hold the page."""
_BESIDE = {PREDICTION: "what is predicted", LABEL: "what turns out true"}
NONE = "\N{EN DASH}"


@dataclass(frozen=True)
class Card:
    """A feature with its charts."""

    name: str
    look: str
    mark: str
    state: str
    story: FeatureStory
    change: str
    histogram: shapes.Histogram | None
    rows: tuple[shapes.Row, ...]
    gauge: shapes.Gauge | None
    trend: shapes.Trend | None


@dataclass(frozen=True)
class Figure:
    """A number at a glance."""

    title: str
    value: str
    text: str
    look: str = ""


def render(story: Story) -> str:
    """The page, under 900 KB whatever the story holds. Equal stories give equal pages."""
    page: str = _template().render(content(story))
    return page


@cache
def _template() -> "jinja2.Template":
    import jinja2  # noqa: PLC0415 - the operator starts without it

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "moment": words.moment, "chance": words.chance, "number": words.number, "lasted": words.lasted,
        "title_of": title,
    }  # fmt: skip
    files = resources.files(__package__)
    environment.globals["css"] = (files / "page.css").read_text(encoding="utf-8")
    return environment.from_string((files / "page.html").read_text(encoding="utf-8"))


def content(story: Story) -> dict[str, Any]:
    """What the page says, for the template."""
    status = story.status
    sentence = words.headline(story)
    told = next((each for each in (status.performance, status.estimated) if each is not None), None)
    return {
        "story": story, "status": status, "spec": story.spec, "headline": sentence,
        "meta": head(sentence, story.at, status.verdict or ""), "state": words.STATES[status.verdict],
        "cause": words.CAUSES.get(status.cause or "", ""), "compared": words.compared_with(story),
        "deeds": deeds(story), "stale": stale(story), "figures": figures(story),
        "performance": _performance(story), "told": told, "metric": words.METRICS.get(told.metric, "") if told else "",
        "lower_is_better": told is not None and told.metric in LOWER_IS_BETTER,
        "error": told is not None and told.metric in ERRORS,
        "allowed": words.allowed(story.spec.performance, told) if told and story.spec.performance else "",
        "traffic": _traffic(story),
        "cards": [card(each, story) for each in story.features[:PLOTTED]], "plotted": PLOTTED,
        "subject": _subject(story),
        "table": [(each, *_state(each), words.change(each)) for each in story.features],
        "signals": status.signals, "bounds": bounds,
        "timeline": timeline(story), "strip": strip(story), "ends": _ends(story),
        "setup": setup(story.spec, status, story),
    }  # fmt: skip


def _subject(story: Story) -> str:
    """What the charts are of."""
    names = {each.name for each in story.features}
    found = ["What comes in", *(words_ for name, words_ in _BESIDE.items() if name in names)]
    return ", ".join(found)


def card(feature: FeatureStory, story: Story) -> Card:
    """The charts of ``feature``."""
    look, mark, state = _state(feature)
    numeric = feature.kind == "Numeric"
    return Card(
        title(feature.name), look, mark, state, feature, words.change(feature),
        shapes.histogram(feature) if numeric and any(feature.before) else None,
        () if numeric else shapes.rows(feature),
        shapes.gauge(feature.evidence.psi, feature.evidence.threshold) if feature.evidence else None,
        shapes.trend(feature, story.chunks),
    )  # fmt: skip


def _state(feature: FeatureStory) -> tuple[str, str, str]:
    """(Colour's class, mark, words)."""
    if feature.evidence is None:
        return "unknown", "…", "not judged"
    if feature.evidence.drifting:
        return "change", "▲", "over its limit" if feature.evidence.limit else "changed"
    return "good", "✓", "as before"


# --- numbers at a glance ------------------------------------------------------------------------------------------


def figures(story: Story) -> list[Figure]:
    """What a person looks at first."""
    status, spec = story.status, story.spec
    judged = [each for each in story.features if each.evidence]
    drifting = [each for each in judged if each.evidence and each.evidence.drifting]
    found = [
        Figure("Predictions", f"{status.observations:,}".replace(",", "\N{NARROW NO-BREAK SPACE}"), _window(story))
    ]
    if judged:
        found.append(
            Figure("Changed", f"{len(drifting)} of {len(judged)}", "distributions that were judged", _look(drifting))
        )
        worst = max(judged, key=_excess)
        assert worst.evidence is not None  # noqa: S101 - judged has none without
        text = f"PSI of {title(worst.name)}; the limit is {words.number(worst.evidence.threshold)}"
        found.append(Figure("Largest change", words.number(worst.evidence.psi), text, _look(worst.evidence.drifting)))
    found += [_measured(each, spec.performance) for each in (status.performance, status.estimated) if each is not None]
    if status.verdict in {"Drifting", "PerformanceLoss"}:
        wanted = spec.policy.consecutive
        text = f"without overlap agree; {wanted} {'is' if wanted == 1 else 'are'} needed for an action"
        found.append(Figure("Windows in a row", str(status.consecutive), text))
    return found


def _window(story: Story) -> str:
    window, closed = story.spec.window, len(story.chunks)
    chunks = f"{closed} of {window.chunks}" if 0 < closed < window.chunks else f"{window.chunks}"
    return f"in the last {window.length}, in {chunks} chunks"


def _look(wrong: object) -> str:
    return "change" if wrong else "good"


def _excess(feature: FeatureStory) -> float:
    return feature.evidence.psi / max(feature.evidence.threshold, 1e-9) if feature.evidence else 0.0


def _measured(found: PerformanceEvidence, wanted: Performance | None) -> Figure:
    name = words.METRICS.get(found.metric, found.metric)
    name = f"Estimated {name}" if found.source == "Estimated" else name[0].upper() + name[1:]
    of = "predictions" if found.source == "Estimated" else "labels"
    if found.value is None:
        few = too_few(found, wanted)
        return Figure(name, NONE, f"{found.labels} {of} {few}; {words.number(found.reference)} when it was tested")
    value, reference = (
        words.number(each) if found.metric in ERRORS else f"{each:.3f}" for each in (found.value, found.reference)
    )
    text = f"{reference} when it was tested; {found.labels} {of}"
    text += f", {found.delay} late on average" if found.delay else ""
    return Figure(name, value, text, "bad" if found.loss else "good")


# --- performance and traffic --------------------------------------------------------------------------------------


def _performance(story: Story) -> shapes.Chart | None:
    told = next((each for each in (story.status.performance, story.status.estimated) if each is not None), None)
    if told is None or story.spec.performance is None:
        return None
    series = [
        ("by labels", "now", story.performance),
        ("estimated, without labels", "guess", story.estimated),
    ]
    limit = worst(story.spec.performance, told)
    return shapes.chart(series, told.reference, limit, shares=told.metric not in LOWER_IS_BETTER)


@dataclass(frozen=True)
class Traffic:
    """Predictions by chunk: (height in percent, text)."""

    bars: tuple[tuple[float, str], ...]
    times: tuple[shapes.Label, ...]
    most: str


def _traffic(story: Story) -> Traffic | None:
    if len(story.traffic) < 2 or not any(story.traffic) or len(story.traffic) != len(story.chunks):
        return None
    most = max(story.traffic)
    bars = tuple(
        (round(100 * count / most, 1), f"{at:%d %b %H:%M} UTC: {count} predictions")
        for count, at in zip(story.traffic, story.chunks, strict=True)
    )
    return Traffic(bars, shapes.time_labels(story.chunks), words.number(most))


def _ends(story: Story) -> list[shapes.Label]:
    """Of the strip of verdicts."""
    began = [each.since for each in story.status.history] + [story.status.since or story.at]
    return [shapes.Label(0.0, words.moment(min(began)), "start"), shapes.Label(100.0, "now", "end")]


# --- for people who repeat it -------------------------------------------------------------------------------------


def bounds(signal: SignalEvidence) -> str:
    """≤ 0.05, ≥ 0.1."""
    limits = (("≥", signal.min), ("≤", signal.max))
    return ", ".join(f"{sign} {words.number(limit)}" for sign, limit in limits if limit is not None)


def setup(spec: MonitorSpec, status: MonitorStatus, story: Story) -> list[tuple[str, str]]:
    """All that somebody needs who wants to get the same figures."""
    window, inputs, performance, policy = spec.window, spec.inputs, spec.performance, spec.policy
    found = [
        ("Deployment", f"{story.namespace}/{spec.deployment}, version {status.version or 'none'}"),
        ("Window", _span(story)),
        ("Chunks", f"{window.chunks} of {window.length}" + (f"; a season is {window.season}" if window.season else "")),
        ("Fast window", f"{window.fast}, judged as well, each at half of alpha" if window.fast else "none"),
        ("Compared with", _baseline(spec, status)),
        ("Alpha", f"{inputs.alpha:g}, false discovery rate over all that is judged (Benjamini-Hochberg)"),
        ("Tolerance", f"PSI {inputs.tolerance:g}, bias removed; more where the baseline itself varies more"),
        ("Left out", ", ".join(inputs.exclude) or "nothing"),
    ]
    for each in inputs.features:
        own = each.model_dump(exclude={"name"}, exclude_none=True, by_alias=True)
        found.append((f"Only for {each.name}", ", ".join(f"{key} {value:g}" for key, value in own.items())))
    if performance is not None:
        found.append(("Performance", _judged_by(performance, status)))
    acts = [
        f"onInputDrift {policy.on_input_drift}", f"onPredictionDrift {policy.on_prediction_drift}",
        f"onPerformanceLoss {policy.on_performance_loss}", f"consecutive {policy.consecutive}",
        f"cooldown {policy.cooldown}",
    ]  # fmt: skip
    found.append(("Policy", f"mode {spec.mode}; {', '.join(acts)}"))
    found.append(("Spec", f"generation {status.observed_generation or NONE} of DriftMonitor {story.monitor}"))
    return found


def _judged_by(wanted: Performance, status: MonitorStatus) -> str:
    told = status.performance or status.estimated
    if told is not None:
        metric, allowed = told.metric, f"{words.allowed(wanted, told)} is let pass"
    else:
        metric = wanted.metric or " or ".join(known[0] for known in JUDGED.values())
        drop = f"{wanted.max_drop:g}" if wanted.max_drop else f"{SHARE_LET_PASS:g}, of an error {RISE_LET_PASS:g},"
        allowed = f"maxDrop {drop} is let pass"
    return f"{metric} from {wanted.source.lower()}, {allowed}, {wanted.min_labels} labels at least"


def _span(story: Story) -> str:
    end = story.status.window_end
    return (
        f"{story.spec.window.length}, up to {words.moment(end)}"
        if end
        else f"{story.spec.window.length}, none judged yet"
    )


def _baseline(spec: MonitorSpec, status: MonitorStatus) -> str:
    known = status.baseline
    source = known.source if known else spec.baseline.source
    named = known.version if known else ""
    if source == "Serving":
        learnt = f"{known.windows} of {known.wanted} windows" if known else f"{spec.baseline.windows or 3} windows"
        return f"Serving: the first windows of {named or 'the version'} in service, {learnt} learnt"
    return f"{source}: the rows that {named or status.version or 'the serving version'} was trained on"
