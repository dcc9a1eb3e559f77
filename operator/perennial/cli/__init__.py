"""``kubectl perennial``: what is served, how a rollout goes, and the verbs that a person may say to it.

Commands import what they need when they run: ``--help`` and a shell's completion answer at once.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from perennial.cli.cluster import Target

_PHASES = ("Healthy", "Progressing", "Paused", "Holding", "Degraded", "Pending")
_PATIENCE, _PATIENCE_FOR_REPORTS = 10.0, 30.0

Command = Callable[..., None]


def _place(command: Command) -> Command:
    """Where: the options that every kubectl command has."""
    for option in (
        click.option("-n", "--namespace", help="The namespace; without it the context's."),
        click.option("--context", help="The kubeconfig's context."),
        click.option("--kubeconfig", type=click.Path(exists=True, dir_okay=False), help="Another kubeconfig."),
    ):
        command = option(command)
    return command


def _target(place: dict[str, Any], *, everywhere: bool = False) -> "Target":
    from perennial.cli.cluster import Target

    return Target(place["kubeconfig"], place["context"], place["namespace"], everywhere)


def _say(sentence: Coroutine[Any, Any, str]) -> None:
    click.echo(asyncio.run(sentence))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def group() -> None:
    """See how models are served, and decide about their rollouts."""


@group.command()
@click.argument("name", required=False)
@_place
@click.option("-A", "--all-namespaces", is_flag=True, help="The ModelDeployments of every namespace.")
@click.option("-w", "--watch", is_flag=True, help="Go on showing it, until Ctrl-C.")
@click.option("--wait", is_flag=True, help="Until nothing is under way: exit code 0 when Healthy then, otherwise 1.")
@click.option("--until", type=click.Choice(_PHASES), help="Until it is in this phase.")
@click.option("--version", help="With --wait: until this version serves (0), or is kept out (1).")
@click.option("--timeout", default="10m", show_default=True, help="The longest wait; exit code 3 after it.")
@click.option("-o", "--output", type=click.Choice(["json"]), help="For programs.")
def status(name: str | None, **options: Any) -> None:
    """Show how models are served. NAME is a ModelDeployment, or mt/NAME, mv/NAME, dm/NAME; without one: a table."""
    from perennial.api.common import seconds
    from perennial.api.deployment import ModelDeployment
    from perennial.cli import cluster, follow

    kind, name = cluster.place(name, ModelDeployment) if name else (ModelDeployment, None)
    waits = options["wait"] or options["until"]
    if (waits or options["version"]) and (kind is not ModelDeployment or name is None):
        raise click.UsageError("--wait, --until and --version need the name of a ModelDeployment")
    if options["all_namespaces"] and name:
        raise click.UsageError("a name belongs to one namespace: leave out -A")
    try:
        timeout = seconds(options["timeout"]) if waits else None
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    wish = follow.Wish(
        kind, name, watch=options["watch"], settled=options["wait"], until=options["until"],
        version=options["version"], timeout=timeout, as_json=options["output"] == "json",
    )  # fmt: skip
    place = _target(options, everywhere=options["all_namespaces"])
    try:
        code = asyncio.run(follow.status(place, wish))
    except KeyboardInterrupt:
        code = 130 if waits else 0
    raise SystemExit(code)


def _verb(verb: str, about: str) -> None:
    """Adds a verb that is asked of a ModelDeployment."""

    def command(name: str, version: str | None, timeout: float, **options: Any) -> None:
        from perennial.api.deployment import ModelDeployment
        from perennial.cli import cluster, request

        kind, name = cluster.place(name, ModelDeployment)
        if kind is not ModelDeployment:
            raise click.UsageError(f"{verb} is asked of a ModelDeployment, not of a {kind.KIND}")
        said = "promote-full" if options.pop("full", False) else verb
        _say(request.ask(_target(options), name, said, version, timeout))

    command = click.option("--timeout", type=float, default=_PATIENCE, show_default=True, help=_TIMEOUT)(
        _place(command)
    )
    command = click.option("--version", help="The version that is meant; without it the one that it can be about.")(
        command
    )
    if verb == "promote":
        command = click.option("--full", is_flag=True, help="Skip all remaining stages.")(command)
    group.command(verb, help=about)(click.argument("name")(command))


_TIMEOUT = "Seconds to wait for the operator's answer."
_verb("promote", "Go on past a hold or a pause. To the next stage, or after the last one to the promotion.")
_verb("pause", "Stay at this stage. Until resume or promote.")
_verb("resume", "End a pause. A person's own, and the wait for one after inconclusive measurements.")
_verb("abort", "End the rollout. The stable version keeps all requests, the new one is quarantined.")
_verb("retry", "Roll a failed version out again. Held or quarantined, it is released; in a rollout, it begins anew.")
_verb("rollback", "Go back to the last good version. The one that serves is quarantined.")
_verb("release", "Let a quarantined version in again.")


@group.command()
@click.argument("name")
@_place
@click.option("--timeout", type=float, default=_PATIENCE, show_default=True, help=_TIMEOUT)
@click.option("-w", "--watch", is_flag=True, help="Show how it goes: exit code 0 when a version was registered.")
def train(name: str, timeout: float, *, watch: bool, **options: Any) -> None:
    """Ask a ModelTraining for a run."""
    from perennial.cli import request

    name, place = _training(name, "train"), _target(options)
    number = asyncio.run(request.train(place, name, timeout, wait=watch))
    if number is None:
        click.echo(f"a run of {name} is asked for")
        return
    click.echo(f"run {number} of {name} has started")
    if watch:
        _follow_run(place, name, number)


@group.command()
@click.argument("name")
@_place
@click.option("--timeout", type=float, default=_PATIENCE, show_default=True, help=_TIMEOUT)
def cancel(name: str, timeout: float, **options: Any) -> None:
    """End the run of a ModelTraining that is under way."""
    from perennial.cli import request

    _say(request.cancel(_target(options), _training(name, "cancel"), timeout))


@group.command()
@click.argument("name")
@_place
@click.option("--timeout", type=float, default=_PATIENCE, show_default=True, help=_TIMEOUT)
def reproduce(name: str, timeout: float, **options: Any) -> None:
    """Fit a ModelVersion again, and compare. Same data, parameters, seed and image; no search, no new version.

    Exit code 0 when the model file is the same, byte for byte.
    """
    from perennial.api.version import ModelVersion
    from perennial.cli import cluster, request

    kind, name = cluster.place(name, ModelVersion)
    if kind is not ModelVersion:
        raise click.UsageError(f"reproduce is about a ModelVersion, not a {kind.KIND}")
    place = _target(options)
    training, number = asyncio.run(request.reproduce(place, name, timeout))
    click.echo(f"run {number} of {training} has started: it is to reproduce {name}")
    _follow_run(place, training, number)


def _training(name: str, verb: str) -> str:
    from perennial.api.training import ModelTraining
    from perennial.cli import cluster

    kind, name = cluster.place(name, ModelTraining)
    if kind is not ModelTraining:
        raise click.UsageError(f"{verb} is asked of a ModelTraining, not of a {kind.KIND}")
    return name


def _follow_run(place: "Target", name: str, number: int) -> None:
    from perennial.api.training import ModelTraining
    from perennial.cli import follow

    try:
        code = asyncio.run(follow.status(place, follow.Wish(ModelTraining, name, run=number)))
    except KeyboardInterrupt:
        code = 130
    raise SystemExit(code)


@group.command("report")
@click.argument("name")
@_place
@click.option("-o", "--output", help="The file; - is stdout.  [default: NAME-drift-report.html]")
@click.option("--open", "opened", is_flag=True, help="Show it in the browser.")
@click.option("--timeout", type=float, default=_PATIENCE_FOR_REPORTS, show_default=True, help=_TIMEOUT)
def drift_report(name: str, output: str | None, *, opened: bool, timeout: float, **options: Any) -> None:
    """Ask a DriftMonitor for a report: one HTML page that loads nothing from anywhere.

    Where nobody answers, or you may not ask, it is the last one that was made.
    """
    from perennial.api.drift import DriftMonitor
    from perennial.cli import cluster, report

    kind, name = cluster.place(name, DriftMonitor)
    if kind is not DriftMonitor:
        raise click.UsageError(f"report is asked of a DriftMonitor, not of a {kind.KIND}")
    path = report.file_of(name, output)
    if opened and path is None:
        raise click.UsageError("stdout cannot be opened: leave out --open, or name a file by -o")
    report.save(report.run(_target(options), name, timeout), path, opened=opened)


@group.command()
@click.argument("training", required=False)
@_place
@click.option("--timeout", type=float, default=_PATIENCE_FOR_REPORTS, show_default=True, help=_TIMEOUT)
def doctor(training: str | None, timeout: float, **options: Any) -> None:
    """Say what of the installation is wrong, for a namespace; TRAINING is the one ModelTraining to look at.

    Where runs are made in Kubeflow, the operator is asked to ask it. Exit code 1 where something is wrong.
    """
    from perennial.api.training import ModelTraining
    from perennial.cli import cluster, installation

    kind, name = cluster.place(training, ModelTraining) if training else (ModelTraining, None)
    if kind is not ModelTraining:
        raise click.UsageError(f"doctor is about ModelTrainings, not a {kind.KIND}")
    sys.exit(asyncio.run(installation.examine(_target(options), name, timeout)))


@group.group("lint")
def lint_() -> None:
    """Say what is wrong with a file, before a run does."""


@lint_.command("pipeline")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--image", default="", help="The image of spec.pipeline; without it the components must agree on one.")
@click.option(
    "--engine", type=click.Choice(["Embedded", "Kubeflow"]), default="Embedded", show_default=True,
    help="spec.engine.type: Kubeflow runs what the embedded engine cannot.",
)  # fmt: skip
def lint_pipeline(file: str, image: str, engine: Any) -> None:
    """Whether FILE, a pipeline that kfp has compiled, can be the spec.pipeline of a ModelTraining."""
    from pathlib import Path

    from perennial.cli import lint

    sys.exit(lint.pipeline(Path(file), image, engine))


def _approval(command: str, approval: str, about: str) -> None:
    """Adds a decision about a ModelVersion."""

    def decide(name: str, reason: str, **options: Any) -> None:
        from perennial.api.version import ModelVersion
        from perennial.cli import approve, cluster

        kind, name = cluster.place(name, ModelVersion)
        if kind is not ModelVersion:
            raise click.UsageError(f"{command} is about a ModelVersion, not a {kind.KIND}")
        _say(approve.decide(_target(options), name, approval, reason))

    noted = click.option("--reason", default="", help="Why; it is kept with the version, as your user name is.")
    group.command(command, help=about)(click.argument("name")(noted(_place(decide))))


_approval("approve", "Approved", "Approve a ModelVersion. Deployments of {latest: Approved} may roll it out.")
_approval("reject", "Rejected", "Reject a ModelVersion. Deployments of {latest: Approved} never roll it out.")


@group.command("lineage")
@click.argument("name")
@_place
@click.option("-o", "--output", type=click.Choice(["json"]), help="For programs.")
def show_lineage(name: str, output: str | None, **options: Any) -> None:
    """Show where a version comes from: data, code, parameters, run, gates, approver, and where it served.

    NAME is a ModelVersion, or what a prediction has as its model_version.
    """
    from perennial.api.version import ModelVersion
    from perennial.cli import cluster, lineage

    kind, name = cluster.place(name, ModelVersion)
    if kind is not ModelVersion:
        raise click.UsageError(f"lineage is that of a ModelVersion, not of a {kind.KIND}")
    asyncio.run(lineage.show(_target(options), name, as_json=output == "json"))


def main() -> None:
    """Entry point."""
    group(prog_name="kubectl perennial")
