"""``make demo``: plays the story in the terminal; exit code 0 only if every state was read back from the cluster."""

import asyncio
import os
import sys

from rich.console import Console

from hack.demo.stage import Stage, StageError
from hack.demo.story import Story, StoryError
from hack.demo.view import View, final_table
from perennial.adapters.connection import Connection
from perennial.adapters.kubernetes import KubernetesApi

NAMESPACE = "heart"


async def _play(console: Console) -> int:
    async with KubernetesApi(Connection.load()) as api:
        stage = Stage(namespace=NAMESPACE, api=api, kubeflow=os.environ.get("ENGINE") == "kubeflow")
        with console.status(f"making an empty namespace {NAMESPACE} with its store"):
            await stage.open()
        with console.status("installing the operator (helm upgrade --install)"):
            await stage.install()
        story = Story(stage, overlay="examples/heart-disease-demo", mistake="examples/heart-disease-mislabelled")
        drawing = asyncio.create_task(View(story, console).follow())
        failure = ""
        try:
            await story.play()
            await asyncio.sleep(0.6)  # one more drawing
        except (StoryError, StageError) as error:
            failure = str(error)
        finally:
            drawing.cancel()
            await asyncio.gather(drawing, return_exceptions=True)
        _report(console, story, failure)
        return 1 if failure else 0


def _report(console: Console, story: Story, failure: str) -> None:
    console.print(final_table(story.steps))
    if story.traffic:
        lost = len(story.traffic.lost)
        console.print(
            f"{sum(story.traffic.answered.values())} predictions answered, {lost} lost, {story.traffic.labels} labels"
        )
        for line in story.traffic.lost[:5]:
            console.print(f"  lost: {line}", style="yellow", highlight=False)
    times = story.times
    if times.drift_to_verdict is not None:
        console.print(f"first drifted request → verdict: {times.drift_to_verdict:.0f} s")
    if times.verdict_to_last_bad_answer is not None:
        console.print(f"verdict → last answer of the bad version: {times.verdict_to_last_bad_answer:.1f} s")
    console.print(
        f'\nLook around:  [bold]eval "$(hack/cluster/env)"; kubectl -n {NAMESPACE} get mlops[/]'
        f"\n              Prometheus {os.environ.get('PROMETHEUS_URL', '')}"
        f"\n              the model  http://127.0.0.1:{story.port}/v2/models/heart-disease"
        "\n              [bold]make cluster-down[/] ends it all"
    )
    if failure:
        console.print(f"\n[red]the story did not come true:[/] {failure}", highlight=False)


def main() -> None:
    """Entry point."""
    sys.exit(asyncio.run(_play(Console())))


if __name__ == "__main__":
    main()
