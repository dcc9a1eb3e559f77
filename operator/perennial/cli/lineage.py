"""``kubectl perennial lineage``: all that a version is made of and what became of it, from its record and its marks."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from perennial.api.common import API_VERSION
from perennial.api.deployment import ModelDeployment
from perennial.api.version import ModelVersion
from perennial.cli.cluster import Target, connect
from perennial.cli.words import short_image
from perennial.contracts.names import ANNOTATION_APPROVAL_REASON, ANNOTATION_APPROVED_AT, ANNOTATION_APPROVED_BY

Json = dict[str, Any]
_DIGITS = 12
_VERDICTS = {"Better": "green", "Worse": "red", "Unproven": "red", "Inconclusive": "yellow"}


async def show(target: Target, name: str, *, as_json: bool) -> None:
    """Prints the lineage of the ModelVersion ``name``. Raises click.ClickException where there is none."""
    async with connect(target) as cluster:
        raw = await cluster.api.get(API_VERSION, ModelVersion.KIND, cluster.namespace, name)
        if raw is None:
            raise click.ClickException(
                f"there is no ModelVersion {name} in the namespace {cluster.namespace}; where its ModelTraining has a "
                "spec.retention, it may have gone with its files"
            )
        deployments = await cluster.api.list(API_VERSION, ModelDeployment.KIND, cluster.namespace)
    found = lineage(raw, deployments)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        Console(highlight=False, soft_wrap=True).print(tree(found))


def lineage(raw: Json, deployments: Sequence[Json]) -> Json:
    """The lineage as plain data; ``raw`` and ``deployments`` are as the API server holds them."""
    record, status = raw["spec"]["record"], raw.get("status") or {}
    name = raw["metadata"]["name"]
    return {
        "version": name,
        "namespace": raw["metadata"].get("namespace", ""),
        "model": record["model"],
        "created": record["created"],
        "score": record["score"]["text"],
        "run": {
            "training": record["training"], "number": record["run"], "trigger": record["trigger"],
            "result": record["result"],
        },
        "data": {**record["data"], "split": record["split"]},
        "code": {
            "image": record.get("image", ""), "pipeline": record.get("pipeline", ""),
            "gitRevision": record.get("gitRevision", ""), "packages": record.get("packages", {}),
        },
        "algorithm": record["algorithm"],
        "parameters": record["parameters"],
        "seed": record["seed"],
        "artifacts": record["artifacts"],
        "mlflow": record.get("mlflow"),
        "metrics": record["metrics"],
        "intervals": record.get("intervals", {}),
        "gates": record.get("gates", []),
        "champion": record.get("champion"),
        "approval": _approval(raw),
        "serves": status.get("serving", []),
        "served": [
            {"deployment": each["metadata"]["name"], "since": served.get("since"), "until": served["until"]}
            for each in deployments
            for served in (each.get("status") or {}).get("history") or ()
            if served["version"] == name and served.get("until")
        ],
        "quarantined": status.get("quarantined", []),
    }  # fmt: skip


def _approval(raw: Json) -> Json:
    """What was decided, and by whom: ``by`` is a user name where one is noted, and otherwise in words."""
    record, notes = raw["spec"]["record"], raw["metadata"].get("annotations") or {}
    state, by = raw["spec"]["approval"], notes.get(ANNOTATION_APPROVED_BY, "")
    champion = record.get("champion") or {}
    failed = not all(gate["passed"] for gate in record.get("gates", ()))
    if not by and state == "Pending":
        by = "nobody yet"
    elif not by and state == "Rejected" and (failed or champion.get("verdict") in {"Worse", "Unproven"}):
        by = "its gates"
    elif not by and state == "Approved" and record.get("approval") == "Automatic":
        by = "its gates, for approval is Automatic"
    return {
        "state": state,
        "by": by or "somebody who is not noted: not by kubectl perennial",
        "at": notes.get(ANNOTATION_APPROVED_AT),
        "reason": notes.get(ANNOTATION_APPROVAL_REASON),
    }


def tree(found: Json) -> Tree:
    """The lineage in the terminal."""
    head = Text.assemble(
        (f"{found['namespace']}/{found['version']}", "bold cyan"), f"  {found['score']}",
        (f"  registered {found['created']}", "dim"),
    )  # fmt: skip
    root = Tree(head, guide_style="dim")
    for title, lines in (
        ("run", _run(found)), ("data", _data(found)), ("code", _code(found)), ("model", _model(found)),
        ("gates", _gates(found)), ("champion", _champion(found)), ("approval", _decision(found)),
        ("service", _service(found)),
    ):  # fmt: skip
        if shown := list(lines):
            node = root.add(Text.assemble((f"{title}  ", "bold"), shown[0]))
            for line in shown[1:]:
                node.add(line)
    return root


def _run(found: Json) -> Iterable[Text]:
    run, trigger = found["run"], found["run"]["trigger"]
    by = f"{trigger['by']} ({trigger['type']})" if trigger.get("by") else trigger["type"]
    yield Text(f"{run['number']} of ModelTraining {run['training']}, triggered by {by}")
    if trigger.get("id"):
        yield Text(f"trigger {trigger['id']}", "dim")
    yield Text(f"{run['result']['uri']}  sha256 {run['result']['sha256'][:_DIGITS]}", "dim")
    if found["mlflow"]:
        yield Text(f"MLflow: {json.dumps(found['mlflow'])}", "dim")


def _data(found: Json) -> Iterable[Text]:
    data, split = found["data"], found["data"]["split"]
    yield Text(f"{data['source']}  {data['rows']} rows, {len(data['columns'])} columns")
    yield Text(f"sha256 {data['sha256']}", "dim")
    rest = ", ".join(f"{key} {json.dumps(value)}" for key, value in split.items() if value not in (None, [], ""))
    yield Text(f"held out: {data['testRows']} rows ({rest})", "dim")


def _code(found: Json) -> Iterable[Text]:
    code = found["code"]
    yield Text(short_image(code["image"]) or "its image is not recorded")
    if code["image"]:
        yield Text(f"image {code['image']}", "dim")
    yield Text(f"pipeline sha256 {code['pipeline']}", "dim")
    if code["gitRevision"]:
        yield Text(f"git revision {code['gitRevision']}", "dim")


def _model(found: Json) -> Iterable[Text]:
    values = ", ".join(f"{key}={value}" for key, value in sorted(found["parameters"].items()))
    yield Text(f"{found['algorithm']}({values})  seed {found['seed']}")
    for name, artifact in sorted(found["artifacts"].items()):
        yield Text(f"{name}  sha256 {artifact['sha256'][:_DIGITS]}", "dim")
    for name, value in sorted(found["metrics"].items()):
        between = found["intervals"].get(name)
        sure = f"  (95 %: {between['low']:.4g} to {between['high']:.4g})" if between else ""
        yield Text(f"{name} {value:.4g}{sure}", "dim")


def _gates(found: Json) -> Iterable[Text]:
    passed = sum(gate["passed"] for gate in found["gates"])
    yield Text(f"{passed} of {len(found['gates'])} passed" if found["gates"] else "none")
    for gate in found["gates"]:
        colour = "green" if gate["passed"] else "red"
        yield Text.assemble(("✔ " if gate["passed"] else "✖ ", colour), gate["message"] or gate["metric"])


def _champion(found: Json) -> Iterable[Text]:
    champion = found["champion"]
    if champion is None:
        yield Text("none was met")
        return
    verdict = champion["verdict"]
    yield Text.assemble((champion["version"], "cyan"), "  ", (verdict, _VERDICTS.get(verdict, "")))
    yield Text(champion.get("message", ""), "dim")
    if gain := champion.get("gain"):
        between = f"95 %: {gain['low']:+.4g} to {gain['high']:+.4g}"
        likely = f"probability {gain['probability']:.3g} by {gain['method']}"
        yield Text(f"gain in {gain['metric']} {gain['value']:+.4g} ({between}), {likely}", "dim")


def _decision(found: Json) -> Iterable[Text]:
    decided = found["approval"]
    at = f" at {decided['at']}" if decided["at"] else ""
    colour = {"Approved": "green", "Rejected": "red"}.get(decided["state"], "yellow")
    yield Text.assemble((decided["state"], colour), f" by {decided['by']}{at}")
    if decided["reason"]:
        yield Text(decided["reason"], "dim")


def _service(found: Json) -> Iterable[Text]:
    lines = [Text(f"{each['role']} in {each['deployment']} since {each['since']}") for each in found["serves"]]
    lines += [
        Text(f"served in {each['deployment']} from {each['since'] or '?'} to {each['until']}")
        for each in found["served"]
    ]
    lines += [
        Text(f"quarantined in {each['deployment']} since {each['since']}: {each['reason']}", "magenta")
        for each in found["quarantined"]
    ]
    yield from lines or [Text("never")]
