"""``kubectl perennial report``: a new page where the operator answers, otherwise the kept one with its age."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from perennial.adapters.kubernetes import ApiError
from perennial.cli import group, report
from perennial.cli.cluster import Cluster
from perennial.contracts.names import ANNOTATION_REQUEST
from perennial.render.report import render
from tests.unit.cli.support import Json
from tests.unit.render.report_support import story

SENTENCE = "heart-v3 is worse than when it was tested: accuracy 0.74, not 0.85, and what comes in has changed."


def page(hours: float = 0.0) -> str:
    """A report that was made so long ago."""
    return render(dataclasses.replace(story(), at=datetime.now(UTC) - timedelta(hours=hours)))


@dataclass
class Server:
    """The API server with the operator behind it: ``answers`` is what the operator keeps on request; None: it is away.

    ``refused``: the operator's Event; ``forbidden``: the person may not annotate.
    """

    kept: str | None = None
    answers: str | None = None
    refused: str = ""
    forbidden: bool = False
    exists: bool = True
    kept_for: str = "an-older-request"
    metadata: Json = field(default_factory=lambda: {"name": "heart", "namespace": "ward", "uid": "u-1"})
    handled: str = ""

    async def get(self, _api_version: str, kind: str, _namespace: str, name: str) -> Json | None:
        if kind == "ConfigMap":
            assert name == "heart-drift-report"
            made = {
                "metadata": {"annotations": {ANNOTATION_REQUEST: self.kept_for}},
                "data": {"report.html": self.kept},
            }
            return made if self.kept is not None else None
        return {"metadata": self.metadata, "status": {"handledRequest": self.handled}} if self.exists else None

    async def annotate(self, *_place: str, annotations: dict[str, str] | None = None) -> None:
        request = (annotations or cast("dict[str, str]", _place[-1]))[ANNOTATION_REQUEST]
        if self.forbidden:
            raise ApiError(403, "Forbidden", "driftmonitors is forbidden")
        verb, subject, identity = request.split("/")
        assert (verb, subject) == ("report", "heart")
        self.metadata = {**self.metadata, "annotations": {ANNOTATION_REQUEST: request}}
        if self.answers is not None and not self.refused:
            self.kept, self.kept_for = self.answers, identity
        self.handled = identity if self.answers is not None else ""

    async def watch(self, *_place: Any, **_more: Any) -> AsyncIterator[Any]:
        yield SimpleNamespace(type="Applied", object=await self.get("", "DriftMonitor", "", "heart"))
        await asyncio.Event().wait()

    async def list(self, *_place: Any) -> list[Json]:
        involved = {"uid": "u-1"}
        message = f"request {self.handled} was refused: {self.refused}"
        event = {"reason": "RequestRefused", "involvedObject": involved, "message": message}
        return [event] if self.refused else []


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The command against a server, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(server: Server, *arguments: str) -> Result:
        @contextlib.asynccontextmanager
        async def connect(_target: object) -> AsyncIterator[Cluster]:
            yield Cluster(cast("Any", server), "ward", asyncio.Event())

        monkeypatch.setattr(report, "connect", connect)
        return CliRunner().invoke(group, ["report", *(arguments or ("dm/heart",)), "--timeout", "0.2"])

    return run


def test_a_new_report_is_saved_and_its_sentence_said(ask: Any) -> None:
    new = page()
    result = ask(Server(kept=page(9), answers=new))
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [SENTENCE, "heart-drift-report.html"]
    assert result.stderr == ""
    assert Path("heart-drift-report.html").read_text() == new


def test_it_can_go_to_another_file_or_down_a_pipe(ask: Any) -> None:
    new = page()
    assert ask(Server(answers=new), "heart", "-o", "here.html").stdout.splitlines()[-1] == "here.html"
    piped = ask(Server(answers=new), "heart", "-o", "-")
    assert piped.stdout == new + "\n"
    assert SENTENCE in " ".join(piped.stderr.split())
    assert [each.name for each in Path().iterdir()] == ["here.html"]


def test_without_an_operator_it_is_the_kept_one_and_says_how_old(ask: Any) -> None:
    result = ask(Server(kept=page(3)))
    assert result.exit_code == 0
    assert "this is an old one, made 3h ago: no operator answered within 0.2 s" in result.stderr
    assert Path("heart-drift-report.html").read_text().startswith("<!doctype html>")


def test_who_may_not_ask_gets_the_kept_one(ask: Any) -> None:
    result = ask(Server(kept=page(50), forbidden=True))
    assert result.exit_code == 0
    assert "made 2d2h ago: you may not ask for one: driftmonitors is forbidden" in result.stderr


def test_a_refusal_is_told_with_the_kept_one(ask: Any) -> None:
    result = ask(Server(kept=page(1), answers=page(), refused="nothing has been judged yet"))
    assert "made 1h ago: refused: nothing has been judged yet" in result.stderr


def test_with_none_kept_the_reason_is_the_error(ask: Any) -> None:
    result = ask(Server())
    assert result.exit_code == 1
    assert "no operator answered within 0.2 s" in result.stderr
    assert "no report is kept in heart-drift-report" in result.stderr
    assert list(Path().iterdir()) == []


def test_an_answer_that_made_nothing_new_is_not_sold_as_new(ask: Any) -> None:
    server = Server(kept=page(2))
    server.answers = server.kept
    server_kept_for = server.kept_for

    async def annotate(*place: Any) -> None:
        await Server.annotate(server, *place)
        server.kept_for = server_kept_for

    server.annotate = annotate  # type: ignore[method-assign]
    assert (
        "this is an old one, made 2h ago: the operator has heard the request and made no new one" in ask(server).stderr
    )


def test_what_cannot_be_is_said_before_anybody_is_asked(ask: Any) -> None:
    assert "asked of a DriftMonitor, not of a ModelDeployment" in ask(Server(), "md/heart").stderr
    assert "stdout cannot be opened" in ask(Server(), "heart", "-o", "-", "--open").stderr
    assert "there is no DriftMonitor heart" in ask(Server(exists=False)).stderr
    assert "cannot be written" in ask(Server(answers=page()), "heart", "-o", "no/such/folder.html").stderr


def test_it_can_be_shown_in_the_browser(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(report.click, "launch", shown.append)
    ask(Server(answers=page()), "heart", "--open")
    assert shown == [(Path.cwd() / "heart-drift-report.html").as_uri()]
