"""Where the newest report is kept, and what a kept one says of itself."""

from dataclasses import dataclass
from datetime import datetime
from html.parser import HTMLParser
from typing import Any

from perennial.api.common import format_time, parse_time
from perennial.api.drift import DriftMonitor
from perennial.contracts.names import ANNOTATION_REQUEST, FILE_REPORT, LABEL_MONITOR, report_configmap
from perennial.render.monitor import configmap

Json = dict[str, Any]


@dataclass(frozen=True)
class About:
    """What a page tells before it is read: its sentence, when it was made (None where it does not say), the verdict."""

    sentence: str
    at: datetime | None
    verdict: str = ""


def manifest(monitor: DriftMonitor, html: str, request_id: str = "") -> Json:
    """The ConfigMap that keeps ``html``; ``request_id`` is the request that it answers, empty where nobody asked."""
    made = configmap(monitor, report_configmap(monitor.metadata.name), {FILE_REPORT: html})
    metadata = made["metadata"]
    metadata["labels"] = {**metadata["labels"], LABEL_MONITOR: monitor.metadata.name}
    if request_id:
        metadata["annotations"] = {ANNOTATION_REQUEST: request_id}
    return made


def head(sentence: str, at: datetime, verdict: str) -> dict[str, str]:
    """The meta elements that :func:`about` reads."""
    return {"description": sentence, "date": format_time(at), "verdict": verdict}


def about(html: str) -> About:
    """Of a page that :func:`perennial.render.report.render` made; empty of any other."""
    parser = _Head()
    parser.feed(html.partition("<body")[0])
    date = parser.found.get("date", "")
    try:
        at = parse_time(date) if date else None
    except ValueError:
        at = None
    return About(parser.found.get("description", ""), at, parser.found.get("verdict", ""))


class _Head(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keeps each named meta element."""
        given = dict(attrs)
        if tag == "meta" and given.get("name"):
            self.found[given["name"] or ""] = given.get("content") or ""
