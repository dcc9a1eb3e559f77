"""``kubectl perennial report``: asks for a drift report, waits for it, and keeps it as a file."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from perennial.adapters.kubernetes import ApiError
from perennial.api.drift import DriftMonitor
from perennial.cli.cluster import Cluster, Target, connect
from perennial.cli.follow import console
from perennial.cli.monitor import COLOURS
from perennial.cli.request import handled
from perennial.cli.words import ago
from perennial.contracts.names import ANNOTATION_REQUEST, FILE_REPORT, report_configmap
from perennial.render.report import About, about

Json = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """A page; ``old`` is why it is not a new one, empty where it is."""

    html: str
    old: str = ""


def file_of(name: str, output: str | None) -> Path | None:
    """Where the page goes; None: to stdout."""
    return None if output == "-" else Path(output or f"{name}-drift-report.html")


async def report(target: Target, name: str, patience: float) -> Found:
    """A new report of the DriftMonitor ``name``; where none can be had, the one that is kept.

    Raises click.ClickException where there is neither.
    """
    async with connect(target) as cluster:
        asked, why = await _ask(cluster, name, patience)
        raw = await cluster.api.get("v1", "ConfigMap", cluster.namespace, report_configmap(name))
        html = ((raw or {}).get("data") or {}).get(FILE_REPORT)
        if raw is None or html is None:
            none = f"{why or 'the operator has heard the request'}, and no report is kept in {report_configmap(name)}"
            raise click.ClickException(none)
        answers = asked and asked == (raw["metadata"].get("annotations") or {}).get(ANNOTATION_REQUEST)
        return Found(html, "" if answers else why or "the operator has heard the request and made no new one")


async def _ask(cluster: Cluster, name: str, patience: float) -> tuple[str, str]:
    """(The request, empty where it could not be made; why it was not answered, empty where it was)."""
    before = _request(await cluster.read(DriftMonitor, name))
    why = ""
    try:
        await handled(cluster, DriftMonitor, name, f"report/{name}", patience)
    except click.ClickException as error:
        why = error.message
    except ApiError as error:
        if error.status != 403:
            raise
        return "", f"you may not ask for one: {error.message}"
    now = _request(await cluster.read(DriftMonitor, name))
    return (now if now != before else ""), why


def _request(raw: Json) -> str:
    """The identity of the newest request."""
    value: str = (raw["metadata"].get("annotations") or {}).get(ANNOTATION_REQUEST, "")
    return value.rpartition("/")[2]


def save(found: Found, path: Path | None, *, opened: bool) -> None:
    """Writes the page to ``path`` and says what it says; to stdout it is the page alone."""
    if path is None:
        click.echo(found.html)
    else:
        try:
            path.write_text(found.html, encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error
    told = about(found.html)
    if found.old:
        click.echo(f"this is an old one{_made(told, datetime.now(UTC))}: {found.old}", err=True)
    out = console() if path is not None else Console(stderr=True, highlight=False)
    out.print(Text(told.sentence, f"bold {COLOURS.get(told.verdict, '')}".strip()))
    if path is not None:
        out.print(Text(str(path), "dim"), soft_wrap=True)
        if opened:
            click.launch(path.resolve().as_uri())


def _made(told: About, now: datetime) -> str:
    return f", made {ago(told.at, now)} ago" if told.at else ""


def run(target: Target, name: str, patience: float) -> Found:
    """:func:`report` for a command."""
    return asyncio.run(report(target, name, patience))
