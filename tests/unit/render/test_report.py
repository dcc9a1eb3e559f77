"""What people read in a drift report, and what must never be in one."""

import dataclasses
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from perennial.api.drift import DriftMonitor
from perennial.api.verdict import MonitorStatus
from perennial.contracts.names import ANNOTATION_REQUEST
from perennial.domain.drift.follow import follow
from perennial.domain.drift.story import Story
from perennial.domain.drift.telling import tell
from perennial.domain.drift.verdict import judge
from perennial.render.report import about, manifest, render
from perennial.render.report.page import PLOTTED
from perennial.render.report.words import headline
from tests.unit.drift.support import chunk, evidence, monitor, monitor_json
from tests.unit.render import report_support as support
from tests.unit.render.report_support import NOW, action, ready, spec, status, story

VOID = {"meta", "rect", "path", "line", "br", "wbr"}


class Page(HTMLParser):
    """Text, elements and attributes; raises where elements are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"wbr", "b"}:
            self.words.append(" ")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def having(self, tag: str, class_: str) -> int:
        return sum(name == tag and class_ in (given.get("class") or "").split() for name, given in self.elements)


def read(told: Story) -> Page:
    return Page(render(told))


def test_the_verdict_comes_first_in_one_sentence_with_what_was_done_and_what_is_waited_for() -> None:
    page = read(story())
    said = "heart-v3 is worse than when it was tested: accuracy 0.74, not 0.85, and what comes in has changed."
    places = [page.text.index(each) for each in (
        "Performance lost", said, "so since 2 March 2026, 03:00 UTC (9 h)", "A retrain of heart-v3 was asked for",
        "3 of 13 features: chol", "Nothing more yet", "run 4 of ModelTraining heart is under way", "Predictions",
    )]  # fmt: skip
    assert places == sorted(places)


def test_an_engineer_finds_n_statistic_threshold_and_p_of_each() -> None:
    text = read(story()).text
    assert "chol ▲ changed 1.84 0.02 < 0.0001 303 4 812 below all of training: 0 % → 36 %" in text
    assert "sex ✓ as before 0.0004 0.02 0.41" in text
    assert "the true classes … not judged \N{EN DASH} \N{EN DASH} \N{EN DASH} 303 46" in text


def test_the_bin_that_moved_is_marked_where_something_changed_and_nowhere_else() -> None:
    drifting = [each for each in support.features() if each.evidence and each.evidence.drifting]
    numbers = sum(each.kind == "Numeric" for each in drifting)
    page = read(story())
    assert page.having("rect", "m") == numbers
    assert page.having("span", "moved") == len(drifting) - numbers
    assert read(support.healthy()).having("rect", "m") == 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"verdict": "Drifting", "cause": "InputDrift"},
         "What comes in has changed: chol, thal, age and 1 more differ from the data that heart-v3 was trained on."),
        ({"verdict": "Drifting", "cause": "PriorShift"}, "other shares than before; heart-v3 recognises each as well"),
        ({"verdict": "Drifting", "cause": "PredictionDrift"}, "predicts something else than it used to"),
        ({"cause": "ConceptDrift"}, "accuracy 0.74, not 0.85, though what comes in has not changed."),
        ({"verdict": "InsufficientData"}, "not enough data yet to judge heart-v3"),
        ({"verdict": "NoTraffic"}, "Nobody asks heart-v3"),
        ({"verdict": "NoMetrics"}, "Prometheus has no figures of heart-v3"),
        ({"verdict": None}, "Nothing has been judged yet."),
    ],
)  # fmt: skip
def test_each_verdict_has_a_sentence_for_people(changed: dict[str, object], said: str) -> None:
    assert said in headline(story(status=status(**changed)))


def test_an_estimate_is_never_told_as_a_measurement() -> None:
    found = status()
    assert found.estimated is not None
    guessed = status(performance=None, estimated=found.estimated.model_copy(update={"loss": True}))
    assert "seems to be worse" in headline(story(status=guessed))
    healthy = story(status=guessed.model_copy(update={"verdict": "Healthy"}))
    assert "by its own estimate as good" in headline(healthy)


def test_a_person_who_is_needed_hears_it_first() -> None:
    asked = ready("the retrain budget of 3 in 7 days is spent", "BudgetSpent", "HumanNeeded")
    text = read(story(status=status(conditions=[*status().conditions, asked]))).text
    assert text.index("A person has to decide") < text.index("A retrain of heart-v3 was asked for")
    assert "the retrain budget of 3 in 7 days is spent" in text


def test_a_monitor_that_only_watches_says_what_it_would_have_done() -> None:
    told = story(spec=spec(mode="Observe"), status=status(actions=[], observed=[action("Rollback", 3.0)]))
    text = read(told).text
    assert "A rollback of heart-v3 would have been asked for" in text
    assert "The monitor only watches" in text


def test_a_policy_of_alerts_is_given_as_the_reason_why_nothing_happens() -> None:
    quiet = status(verdict="Drifting", cause="InputDrift", actions=[], conditions=[ready("Drifting: 3 of 13 features")])
    text = read(story(spec=spec(policy={"onInputDrift": "Alert"}), status=quiet)).text
    assert "nothing else happens policy.onInputDrift: Alert" in text


def test_a_verdict_that_merely_stands_is_not_sold_as_new() -> None:
    away = ready("Prometheus does not answer", "PrometheusUnavailable", status="False")
    assert (
        "There is no newer verdict than this. Prometheus does not answer"
        in read(story(status=status(conditions=[away]))).text
    )
    assert "no newer verdict" not in read(story()).text


def test_signals_stand_with_bounds_and_without_a_figure_with_the_reason() -> None:
    text = read(story()).text
    assert "errors ✓ within bounds 0.0021 ≤ 0.01" in text
    assert "latency-p99 ✕ out of bounds 0.084 ≤ 0.05 3" in text
    assert "admissions ? no figure \N{EN DASH} ≥ 10 the query gives nothing" in text


def test_the_timeline_has_verdicts_and_actions_the_newest_first() -> None:
    text = read(story()).text.partition("What came before")[2]
    order = [text.index(each) for each in (
        "A retrain of heart-v3 was asked for", "Performance lost: heart-v3", "Drifting: heart-v3", "Healthy: heart-v2",
    )]  # fmt: skip
    assert order == sorted(order)


def test_who_repeats_it_finds_how_it_was_set() -> None:
    told = story(spec=spec(window={"length": "48h", "chunks": 48, "fast": "4h", "season": "24h"}))
    text = read(told).text.partition("For people who repeat it")[2]
    for said in (
        "48h, up to 2 March 2026, 12:00 UTC", "48 of 48h; a season is 24h", "4h, judged as well", "Training: the rows",
        "Alpha 0.01", "PSI 0.02", "Left out slope", "maxMissing 0.05", "50 labels at least", "consecutive 2",
    ):  # fmt: skip
        assert said in text


def test_nothing_is_loaded_from_anywhere_and_nothing_is_run() -> None:
    html = render(story())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    assert policy[1] == "default-src 'none'; style-src 'unsafe-inline'"
    page = Page(html)
    assert not {tag for tag, _ in page.elements} & {"script", "link", "img", "iframe", "object", "image", "use"}
    assert not [
        given for _, given in page.elements if {"src", "href", "xlink:href", "onclick", "onload"} & given.keys()
    ]
    assert "url(" not in html
    assert "@import" not in html


def test_names_are_text_whatever_stands_in_them() -> None:
    evil = '<script>alert("x")</script>'
    features = support.features()
    renamed = (dataclasses.replace(features[1], name=evil, bins=(*features[1].bins[:2], evil, *features[1].bins[3:])),)
    html = render(story(features=renamed, sentence=evil, status=status(conditions=[ready(evil, "StoreUnavailable")])))
    assert "<script" not in html
    assert evil in Page(html).text


def test_charts_have_names_and_scrolling_tables_take_the_keyboard() -> None:
    page = read(story())
    assert all(given.get("aria-label") for tag, given in page.elements if tag == "svg")
    assert all(given.get("tabindex") == "0" for tag, given in page.elements if given.get("class") == "scroll")
    headings = [tag for tag, _ in page.elements if tag in {"h1", "h2", "h3"}]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1


def test_its_colours_have_contrast_in_light_and_in_dark() -> None:
    found = re.findall(r":root \{([^}]*)\}", render(story()))
    assert len(found) == 3, "light, dark, print"
    for block in found:
        colours = dict(re.findall(r"--(\w+): (#\w+)", block))
        for text in ("ink", "soft", "good", "change", "bad", "unknown", "act"):
            for ground in ("paper", "wash"):
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        for mark in ("before", "accent", "guess"):
            assert contrast(colours[mark], colours["wash"]) >= 3, mark


def contrast(one: str, other: str) -> float:
    """WCAG 2.2: (L1 + 0.05) / (L2 + 0.05)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * each for each in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_largest_report_fits_a_configmap() -> None:
    many = support.wide(200, 25)
    long = tuple(dataclasses.replace(each, trend=tuple(0.01 * (at % 9) for at in range(200))) for each in many.features)
    chunks = tuple(NOW - timedelta(hours=200 - at) for at in range(200))
    html = render(dataclasses.replace(many, features=long, chunks=chunks, traffic=tuple(range(200))))
    assert len(html.encode()) <= 900_000
    page = Page(html)
    assert page.having("article", "card") == PLOTTED
    assert "feature_199_with_a_long_name" in page.text


def test_a_monitor_that_has_found_nothing_yet_has_a_report_too() -> None:
    bare = Story("clinic", "heart", spec(performance=None), MonitorStatus(), "", NOW)
    text = read(bare).text
    assert "Nothing has been judged yet." in text
    assert "How good it is" not in text
    assert "none judged yet" in text


def test_chunks_without_labels_leave_a_gap_in_the_line() -> None:
    html = render(story(estimated=()))
    path = re.search(r'class="series-now">\s*<path class="stroke-n" d="([^"]*)"', html)
    assert path is not None
    assert path[1].count("M") == 2


def test_log_loss_is_lost_upwards() -> None:
    measured = status().performance
    assert measured is not None
    worse = measured.model_copy(update={"metric": "log_loss", "reference": 0.4, "value": 0.7, "low": 0.6, "high": 0.8})
    told = story(
        spec=spec(performance={"metric": "log_loss"}), status=status(performance=worse, estimated=None), estimated=(),
        performance=support.points(0.4, -0.3, 26),
    )  # fmt: skip
    html = render(told)
    assert "A rise of 0.05 is let pass" in html
    assert html.count("point lost-point") == 12
    assert read(dataclasses.replace(told, performance=support.points(0.4, 0.3, 26))).having("path", "lost-point") == 0
    bare = tuple(dataclasses.replace(each, low=each.value, high=each.value) for each in told.performance)
    assert read(dataclasses.replace(told, performance=bare)).having("path", "lost-point") == 0, "no interval, no claim"


def test_what_a_monitor_gathered_from_counters_can_be_read() -> None:
    watched = monitor(performance={"metric": "accuracy", "source": "Labels"})
    feedback = {("1", "1"): 30.0, ("1", "0"): 3.0}
    counts = {"age": (9, 0, 0, 90, 300, 600, 1), "sex": (0, 0, 320, 680, 0)}
    seen = evidence(*(chunk(counts, feedback) for _ in range(3)), reference=0.9)
    judgement = judge(watched.spec, seen, "heart-v1")
    end = datetime(2026, 3, 2, 12, tzinfo=UTC)
    found = follow(MonitorStatus(), judgement, "heart-v1", end=end, length=timedelta(seconds=60), now=NOW)
    page = read(tell(watched, found, judgement, seen, NOW))
    assert "What comes in has changed: age differs from the data that heart-v1 was trained on." in page.text
    assert page.having("article", "change") == 1
    assert page.having("rect", "b") == 3 + 3, "age had three bins before; three chunks of predictions"
    assert "accuracy by chunk" in page.text.lower()
    assert "11:59:20 11:59:40 12:00:00" in page.text, "chunks of 20 s are told apart"


def test_the_operator_starts_without_what_renders() -> None:
    """It would pay for it at each start, in time and in memory."""
    program = "import sys, perennial.render.report; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_equal_stories_give_equal_pages() -> None:
    assert render(story()) == render(story())


# --- where it is kept ---------------------------------------------------------------------------------------------


def test_the_configmap_belongs_to_the_monitor_and_says_which_request_it_answers() -> None:
    owner = DriftMonitor.parse(monitor_json())
    made = manifest(owner, "<p>", "0f0e")
    assert made["metadata"]["name"] == "heart-drift-report"
    assert made["metadata"]["labels"]["perennial.dev/monitor"] == "heart"
    assert made["metadata"]["annotations"] == {ANNOTATION_REQUEST: "0f0e"}
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert made["data"] == {"report.html": "<p>"}
    assert "annotations" not in manifest(owner, "<p>")["metadata"]


def test_a_kept_report_tells_its_sentence_and_its_age() -> None:
    found = about(render(story()))
    assert found.sentence == headline(story())
    assert found.at == NOW
    assert found.verdict == "PerformanceLoss"
    assert about("<html><body>something else").at is None
